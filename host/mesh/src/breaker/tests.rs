//! The breaker against a model that keeps every call in a list, over random calls, waits and orders by hand; and the
//! states one by one.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

const POLICY: BreakerPolicy = BreakerPolicy {
    failure_threshold: 5,
    success_threshold: 3,
    volume_threshold: 10,
    error_rate_percent: 50,
    window: Duration::from_secs(10),
    reset_after: Duration::from_secs(30),
};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn call(breaker: &mut Breaker, verdict: Verdict, now: Duration) -> bool {
    let (admitted, _) = breaker.admit(now);
    admitted.map(|admission| breaker.record(admission, verdict, now)).is_ok()
}

fn opened_at(now: Duration) -> Breaker {
    let mut breaker = Breaker::new(POLICY);
    (0..10).for_each(|_| assert!(call(&mut breaker, Verdict::Failure, now)));
    assert_eq!(breaker.view(now).state, BreakerState::Open);
    breaker
}

#[test]
fn opens_at_the_volume_the_count_and_the_rate_together() {
    for (successes, failures, state) in [
        // Too few calls.
        (0, 9, BreakerState::Closed),
        // Too few failures.
        (6, 4, BreakerState::Closed),
        // Less than half.
        (11, 10, BreakerState::Closed),
        (5, 5, BreakerState::Open),
        (10, 10, BreakerState::Open),
    ] {
        let mut breaker = Breaker::new(POLICY);
        (0..successes).for_each(|_| assert!(call(&mut breaker, Verdict::Success, seconds(1))));
        (0..failures).for_each(|_| assert!(call(&mut breaker, Verdict::Failure, seconds(1))));
        assert_eq!(breaker.view(seconds(1)).state, state, "{successes} successes, {failures} failures");
    }
}

#[test]
fn failures_that_are_older_than_the_window_do_not_count() {
    let mut breaker = Breaker::new(POLICY);
    (0..9).for_each(|_| assert!(call(&mut breaker, Verdict::Failure, seconds(1))));
    assert!(call(&mut breaker, Verdict::Failure, seconds(11)));
    assert_eq!(breaker.view(seconds(11)).state, BreakerState::Closed);
    assert_eq!((breaker.view(seconds(11)).calls, breaker.view(seconds(11)).failures), (1, 1));
}

#[test]
fn is_tried_again_after_a_while_and_closes_after_three_successes() {
    let mut breaker = opened_at(seconds(1));
    assert_eq!(breaker.admit(seconds(11)).0, Err(seconds(20)));
    assert_eq!(breaker.view(seconds(11)).retry_after, Some(seconds(20)));
    for number in 1..=3 {
        assert!(call(&mut breaker, Verdict::Success, seconds(31)));
        let state = if number < 3 { BreakerState::HalfOpen } else { BreakerState::Closed };
        assert_eq!(breaker.view(seconds(31)).state, state);
    }
    assert_eq!(breaker.view(seconds(31)).calls, 0, "a closed breaker begins anew");
}

#[test]
fn a_failure_while_half_open_opens_it_again() {
    let mut breaker = opened_at(seconds(1));
    assert!(call(&mut breaker, Verdict::Success, seconds(31)));
    assert!(call(&mut breaker, Verdict::Failure, seconds(32)));
    assert_eq!(breaker.admit(seconds(61)).0, Err(seconds(1)));
    assert_eq!(breaker.view(seconds(61)).opened, 2);
}

#[test]
fn half_open_it_lets_as_many_through_as_it_needs() {
    let mut breaker = opened_at(seconds(1));
    let mut admitted: Vec<_> = (0..3).map(|_| breaker.admit(seconds(31)).0.unwrap()).collect();
    assert_eq!(breaker.admit(seconds(31)).0, Err(Duration::ZERO));
    // One that tells nothing frees its place.
    assert_eq!(breaker.record(admitted.pop().unwrap(), Verdict::Nothing, seconds(31)), None);
    assert!(breaker.admit(seconds(31)).0.is_ok());
}

#[test]
fn what_was_let_in_earlier_is_no_news() {
    let mut breaker = Breaker::new(POLICY);
    let late: Vec<_> = (0..20).map(|_| breaker.admit(seconds(1)).0.unwrap()).collect();
    (0..10).for_each(|_| assert!(call(&mut breaker, Verdict::Failure, seconds(1))));
    let probe = breaker.admit(seconds(31)).0.unwrap();
    for admission in late {
        assert_eq!(breaker.record(admission, Verdict::Failure, seconds(31)), None);
    }
    assert_eq!(breaker.view(seconds(31)).state, BreakerState::HalfOpen);
    assert_eq!(breaker.record(probe, Verdict::Success, seconds(31)), None);
}

#[test]
fn by_hand_it_stays_until_it_is_reset() {
    let mut breaker = Breaker::new(POLICY);
    let opened = Transition { from: BreakerState::Closed, to: BreakerState::Open };
    assert_eq!(breaker.force_open(seconds(1)), Some(opened));
    assert!(breaker.admit(seconds(1_000)).0.is_err());
    assert!(breaker.view(seconds(1_000)).forced);
    breaker.force_closed();
    (0..100).for_each(|_| assert!(call(&mut breaker, Verdict::Failure, seconds(1_000))));
    breaker.reset();
    assert!(!breaker.view(seconds(1_000)).forced);
    (0..10).for_each(|_| assert!(call(&mut breaker, Verdict::Failure, seconds(1_001))));
    assert_eq!(breaker.view(seconds(1_001)).state, BreakerState::Open);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Begin,
    End(Verdict),
    Wait(u64),
    ForceOpen,
    ForceClosed,
    Reset,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let verdict = prop_oneof![4 => Just(Verdict::Failure), 4 => Just(Verdict::Success), 1 => Just(Verdict::Nothing)];
    let step = prop_oneof![
        30 => Just(Step::Begin),
        30 => verdict.prop_map(Step::End),
        10 => (0u64..3_000).prop_map(Step::Wait),
        2 => (25_000u64..35_000).prop_map(Step::Wait),
        1 => Just(Step::ForceOpen),
        1 => Just(Step::ForceClosed),
        1 => Just(Step::Reset),
    ];
    prop::collection::vec(step, 0..400)
}

/// What a breaker is by the words of the requirement: a list of what happened since the last change of state.
#[derive(Debug)]
struct Model {
    state: BreakerState,
    forced: bool,
    since_ms: u64,
    generation: u64,
    under_way: u32,
    successes: u32,
    /// When each call ended, and whether it failed.
    ended: Vec<(u64, bool)>,
}

impl Model {
    fn change(&mut self, state: BreakerState, now_ms: u64) {
        let generation = self.generation + 1;
        let forced = self.forced;
        *self = Self { state, forced, since_ms: now_ms, generation, under_way: 0, successes: 0, ended: Vec::new() };
    }

    fn begin(&mut self, now_ms: u64) -> Option<u64> {
        if self.state == BreakerState::Open && !self.forced && now_ms - self.since_ms >= 30_000 {
            self.change(BreakerState::HalfOpen, now_ms);
        }
        match self.state {
            BreakerState::Closed => Some(self.generation),
            BreakerState::HalfOpen if self.under_way < 3 => {
                self.under_way += 1;
                Some(self.generation)
            }
            _ => None,
        }
    }

    fn end(&mut self, generation: u64, verdict: Verdict, now_ms: u64) {
        if generation != self.generation {
            return;
        }
        self.under_way = self.under_way.saturating_sub(1);
        match (self.state, verdict) {
            (_, Verdict::Nothing) | (BreakerState::Open, _) => {}
            (BreakerState::Closed, verdict) => {
                self.ended.push((now_ms, verdict == Verdict::Failure));
                let recent = self.ended.iter().filter(|(at, _)| at / 1_000 + 10 > now_ms / 1_000);
                let (calls, failures) =
                    recent.fold((0, 0), |(calls, failures), (_, failed)| (calls + 1, failures + u32::from(*failed)));
                let too_much = verdict == Verdict::Failure && calls >= 10 && failures >= 5 && failures * 2 >= calls;
                if too_much && !self.forced {
                    self.change(BreakerState::Open, now_ms);
                }
            }
            (BreakerState::HalfOpen, Verdict::Failure) => self.change(BreakerState::Open, now_ms),
            (BreakerState::HalfOpen, Verdict::Success) => {
                self.successes += 1;
                if self.successes == 3 {
                    self.change(BreakerState::Closed, now_ms);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn is_the_model(steps in steps()) {
        let mut breaker = Breaker::new(POLICY);
        let mut model = Model {
            state: BreakerState::Closed, forced: false, since_ms: 0, generation: 0, under_way: 0, successes: 0, ended: Vec::new(),
        };
        let (mut now_ms, mut open) = (0, Vec::new());
        for step in steps {
            let now = Duration::from_millis(now_ms);
            match step {
                Step::Begin => {
                    let (admitted, _) = breaker.admit(now);
                    let expected = model.begin(now_ms);
                    prop_assert_eq!(admitted.is_ok(), expected.is_some());
                    open.extend(admitted.ok().zip(expected));
                }
                Step::End(verdict) if !open.is_empty() => {
                    let (admission, generation) = open.remove(0);
                    breaker.record(admission, verdict, now);
                    model.end(generation, verdict, now_ms);
                }
                Step::End(_) => {}
                Step::Wait(ms) => now_ms += ms,
                Step::ForceOpen => {
                    breaker.force_open(now);
                    model.forced = true;
                    model.change(BreakerState::Open, now_ms);
                }
                Step::ForceClosed => {
                    breaker.force_closed();
                    model.forced = true;
                    model.change(BreakerState::Closed, now_ms);
                }
                Step::Reset => {
                    breaker.reset();
                    model.forced = false;
                    model.change(BreakerState::Closed, now_ms);
                }
            }
            let view = breaker.view(Duration::from_millis(now_ms));
            prop_assert_eq!((view.state, view.forced), (model.state, model.forced));
        }
    }
}
