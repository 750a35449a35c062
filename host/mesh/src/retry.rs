//! Whether a call that failed is made again: what kind of failure it was, whether the call may be made twice, and whether so
//! many calls are made again already that more would only add to what is wrong.

use std::time::Duration;

use weft_core::{Failure, Outcome, Reason, Target};

use crate::breaker::Verdict;
use crate::policy::RetryPolicy;
use crate::window::Window;

/// Over which the budget is kept: ten slices of [`SHORT`].
const LONG: Duration = Duration::from_secs(10);
/// In which no more is spent than the busiest slice of the ten pays for, so that what was not spent while all went well is
/// not spent at once when a callee begins to fail.
const SHORT: Duration = Duration::from_secs(1);
/// Calls made again within either that need no budget: else a callee with few calls would never be tried again.
const FREE: u64 = 3;
/// A call that its caller has given up counts against the callee if it had this much time, or all that its own deadline gives.
const FAIR_CHANCE: Duration = Duration::from_secs(1);

const CALLS: usize = 0;
const EXTRA: usize = 1;

/// How many calls are made beyond those that callers asked for.
#[derive(Debug)]
pub(crate) struct Budget {
    percent: u64,
    long: Window<2>,
    short: Window<1>,
}

impl Budget {
    pub fn new(percent: u32) -> Self {
        Self { percent: percent.into(), long: Window::new(LONG), short: Window::new(SHORT) }
    }

    /// Notes a call that somebody asked for.
    pub fn earn(&mut self, now: Duration) {
        self.long.count(now, CALLS);
    }

    /// Takes what one more call costs, if it is there.
    pub fn spend(&mut self, now: Duration) -> bool {
        let is_there = self.left(now) > 0;
        if is_there {
            self.long.count(now, EXTRA);
            self.short.count(now, 0);
        }
        is_there
    }

    /// How many more calls there is enough for now.
    pub fn left(&mut self, now: Duration) -> u64 {
        if self.percent == 0 {
            return 0;
        }
        let ([calls, extra], [busiest, _], [lately]) = (self.long.sums(now), self.long.most(now), self.short.sums(now));
        let left = |calls: u64, extra| FREE.max(calls * self.percent / 100).saturating_sub(extra);
        left(calls, extra).min(left(busiest, lately))
    }
}

/// Whether another attempt may give another answer and do no harm. What did not begin may always be made again; what may have had
/// its effect only if it has it once however often it is made.
pub(crate) fn is_worth_it(failure: &Failure, is_idempotent: impl Fn() -> bool) -> bool {
    let may_help = match failure.reason {
        Reason::Deadline | Reason::Trapped | Reason::Unavailable | Reason::Overloaded | Reason::Internal => true,
        // The same call would come to the same end, or nobody waits for it any more.
        Reason::CpuLimit | Reason::ResourceLimit | Reason::Denied | Reason::ShuttingDown | Reason::Cancelled => false,
    };
    may_help && (failure.outcome == Outcome::NotAttempted || is_idempotent())
}

/// Whether the policy declares a function idempotent.
pub(crate) fn is_declared(policy: &RetryPolicy, target: &Target) -> bool {
    let is_target =
        |declared: &str| declared == "*" || declared.split_once('#') == Some((&*target.interface, &*target.function));
    policy.idempotent.iter().any(|declared| is_target(declared))
}

/// Whether the policy declares a method idempotent.
pub(crate) fn is_declared_method(policy: &RetryPolicy, method: &str) -> bool {
    policy.idempotent.iter().any(|declared| **declared == *"*" || **declared == *method)
}

/// What a breaker makes of an answer that took `took`, or of what stands for one. A typed error of the function is an answer like any
/// other.
pub(crate) fn verdict(failure: Option<&Failure>, took: Duration, deadline: Duration) -> Verdict {
    let Some(failure) = failure else { return Verdict::Success };
    match failure.reason {
        // Of a caller that had hardly any time left, it says nothing.
        Reason::Deadline if took < deadline.min(FAIR_CHANCE) => Verdict::Nothing,
        Reason::Deadline
        | Reason::Trapped
        | Reason::CpuLimit
        | Reason::ResourceLimit
        | Reason::Unavailable
        | Reason::Internal => Verdict::Failure,
        Reason::Overloaded | Reason::Denied | Reason::ShuttingDown | Reason::Cancelled => Verdict::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use weft_core::Fault;

    use super::*;

    proptest! {
        /// In no window are there more extra calls than the share of the calls, or the few that are free.
        #[test]
        fn a_budget_is_kept(steps in prop::collection::vec((0u64..700, 1u64..40, prop::bool::weighted(0.5)), 1..400)) {
            let mut budget = Budget::new(20);
            let (mut now_ms, mut asked, mut extra) = (0u64, Vec::new(), Vec::new());
            for (wait_ms, times, is_call) in steps {
                now_ms += wait_ms;
                let now = Duration::from_millis(now_ms);
                for _ in 0..times {
                    if is_call {
                        budget.earn(now);
                        asked.push(now_ms);
                    } else if budget.spend(now) {
                        extra.push(now_ms);
                    }
                }
                let slices = |all: &[u64], slice_ms: u64, slices| {
                    all.iter().filter(|at| **at / slice_ms + slices > now_ms / slice_ms).count()
                };
                // Calls fall out of the window before those that they paid for, so as many may be there as of the whole time
                // since.
                let (made, paid) = (slices(&extra, 1_000, 10), slices(&asked, 1_000, 20));
                prop_assert!(made <= (paid / 5).max(3), "{made} of {paid} in ten seconds");
                let of_second = |second| asked.iter().filter(|at| **at / 1_000 == second).count();
                let busiest = (0..12).map(|ago| of_second((now_ms / 1_000).saturating_sub(ago))).max().unwrap_or_default();
                let made = slices(&extra, 100, 10);
                prop_assert!(made <= (busiest / 5).max(3), "{made} in a second, and the busiest had {busiest}");
            }
        }
    }

    #[test]
    fn calls_that_fail_late_are_paid_for_as_well() {
        let mut budget = Budget::new(20);
        (0..100).for_each(|_| budget.earn(Duration::ZERO));
        let later = Duration::from_millis(2_500);
        assert_eq!((0..100).filter(|_| budget.spend(later)).count(), 20);
    }

    #[test]
    fn what_was_saved_while_all_went_well_is_not_spent_at_once() {
        let mut budget = Budget::new(20);
        let mut extra = [0; 20];
        for ms in 0..20_000_u64 {
            let now = Duration::from_millis(ms);
            budget.earn(now);
            // From the tenth second on all fail, and each may be made again.
            if ms >= 10_000 && budget.spend(now) {
                extra[usize::try_from(ms / 1_000).unwrap()] += 1;
            }
        }
        let all: u32 = extra.iter().sum();
        assert!((1_900..=2_020).contains(&all), "{extra:?}");
        assert!(extra.iter().all(|extra| *extra <= 400), "{extra:?}");
    }

    #[test]
    fn a_budget_of_nothing_gives_nothing() {
        let mut budget = Budget::new(0);
        assert!(!budget.spend(Duration::ZERO) && budget.left(Duration::ZERO) == 0);
    }

    #[test]
    fn a_budget_says_what_is_left_of_it() {
        let (mut budget, now) = (Budget::new(20), Duration::ZERO);
        for calls in 0..40 {
            assert_eq!(budget.left(now), FREE.max(calls / 5), "after {calls} calls");
            budget.earn(now);
        }
        while budget.left(now) > 0 {
            assert!(budget.spend(now));
        }
        assert!(!budget.spend(now));
        // In another second these calls pay for none beyond the few.
        let later = now + SHORT;
        assert_eq!(budget.left(later), 0, "over ten seconds it is spent");
        assert_eq!(budget.left(now + LONG), FREE);
    }

    #[test]
    fn what_may_have_happened_is_made_again_only_if_that_does_no_harm() {
        for reason in [
            Reason::Overloaded,
            Reason::Deadline,
            Reason::Trapped,
            Reason::CpuLimit,
            Reason::ResourceLimit,
            Reason::Unavailable,
            Reason::Denied,
            Reason::ShuttingDown,
            Reason::Cancelled,
            Reason::Internal,
        ] {
            let helps = matches!(
                reason,
                Reason::Overloaded | Reason::Deadline | Reason::Trapped | Reason::Unavailable | Reason::Internal
            );
            let (before, after) =
                (Failure::not_attempted(Fault::Host, reason, ""), Failure::unknown(Fault::Host, reason, ""));
            assert_eq!(is_worth_it(&before, || false), helps, "{reason:?}");
            assert_eq!(is_worth_it(&after, || true), helps, "{reason:?}");
            assert!(!is_worth_it(&after, || false), "{reason:?}");
        }
    }

    #[test]
    fn a_caller_without_time_says_nothing_of_the_callee() {
        let late = Failure::unknown(Fault::Guest, Reason::Deadline, "");
        let (ms, ten) = (Duration::from_millis, Duration::from_secs(10));
        assert_eq!(verdict(Some(&late), ms(20), ten), Verdict::Nothing);
        assert_eq!(verdict(Some(&late), ms(1_000), ten), Verdict::Failure);
        assert_eq!(verdict(Some(&late), ms(20), ms(20)), Verdict::Failure);
        assert_eq!(verdict(None, ms(20), ten), Verdict::Success);
    }

    #[test]
    fn functions_are_declared_by_name() {
        let target = Target { component: "c".into(), interface: "a:b/c@1.0.0".into(), function: "get".into() };
        for (declared, is) in [("*", true), ("a:b/c@1.0.0#get", true), ("a:b/c@1.0.0#set", false), ("a:b/c#get", false)]
        {
            let policy = RetryPolicy { idempotent: [declared.into()].into(), ..RetryPolicy::default() };
            assert_eq!(is_declared(&policy, &target), is, "{declared}");
        }
    }
}
