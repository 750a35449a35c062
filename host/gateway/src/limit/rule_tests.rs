//! What each strategy promises, against all that was admitted, under simulated time.

use proptest::prelude::*;

use super::*;

const S: u64 = NS_PER_S;

/// One caller over time.
struct Caller {
    rule: Rule,
    state: State,
    /// When what was admitted was admitted.
    admitted: Vec<u64>,
}

impl Caller {
    fn new(rule: Rule) -> Self {
        Self { rule, state: rule.fresh(0), admitted: Vec::new() }
    }

    fn standing(&mut self, at_ns: u64) -> Standing {
        self.rule.settle(&mut self.state, at_ns);
        self.rule.standing(&self.state, at_ns)
    }

    fn request(&mut self, at_ns: u64) -> Option<Mark> {
        (self.standing(at_ns).remaining > 0).then(|| {
            self.admitted.push(at_ns);
            self.rule.take(&mut self.state, at_ns)
        })
    }

    /// A request that another limit refuses.
    fn request_in_vain(&mut self, at_ns: u64) {
        if let Some(mark) = self.request(at_ns) {
            self.admitted.pop();
            self.rule.give_back(&mut self.state, mark);
        }
    }

    fn within(&self, from_ns: u64, to_ns: u64) -> u64 {
        self.admitted.iter().filter(|at| (from_ns..=to_ns).contains(at)).count() as u64
    }

    fn check(&self) {
        match self.rule {
            Rule::Sliding { limit, window_ns } => {
                for first in &self.admitted {
                    assert!(self.within(*first, first + window_ns - 1) <= limit.into(), "{:?}", self.admitted);
                }
            }
            Rule::Fixed { limit, window_ns } => {
                let mut rest = &self.admitted[..];
                while let Some(start) = rest.first() {
                    let count = rest.iter().take_while(|at| **at < start + window_ns).count();
                    assert!(count <= limit as usize, "{:?}", self.admitted);
                    rest = &rest[count..];
                }
            }
            Rule::Bucket { capacity, refill, unit } => {
                for first in &self.admitted {
                    for last in self.admitted.iter().filter(|last| *last >= first) {
                        let most = u64::from(capacity) * unit + refill * (last - first);
                        assert!(self.within(*first, *last) * unit <= most, "{:?}", self.admitted);
                    }
                }
            }
            Rule::Concurrency { .. } => unreachable!("has no time"),
        }
    }
}

fn rules() -> impl Strategy<Value = Rule> {
    let window = (1_u32..8, 1_u64..4).prop_map(|(limit, s)| (limit, s * S));
    prop_oneof![
        window.clone().prop_map(|(limit, window_ns)| Rule::Fixed { limit, window_ns }),
        window.prop_map(|(limit, window_ns)| Rule::Sliding { limit, window_ns }),
        (1_u32..8, 1_u64..8, prop_oneof![Just(S), Just(60 * S)]).prop_map(|(capacity, refill, unit)| Rule::Bucket {
            capacity,
            refill,
            unit
        }),
    ]
}

/// What happens next: how much time passes, and whether another limit refuses the request then.
fn steps() -> impl Strategy<Value = Vec<(u64, bool)>> {
    let passes = prop_oneof![Just(0), 0..S / 10, 0..4 * S];
    proptest::collection::vec((passes, proptest::bool::weighted(0.2)), 1..200)
}

proptest! {
    #[test]
    fn no_strategy_admits_more_than_it_promises(rule in rules(), steps in steps()) {
        let mut caller = Caller::new(rule);
        let mut now_ns = 0;
        for (passes, in_vain) in steps {
            now_ns += passes;
            if in_vain {
                caller.request_in_vain(now_ns);
            } else {
                let _ = caller.request(now_ns);
            }
        }
        caller.check();
    }

    #[test]
    fn who_waits_as_long_as_it_is_told_is_admitted(rule in rules(), steps in steps()) {
        let mut caller = Caller::new(rule);
        let mut now_ns = 0;
        for (passes, _) in steps {
            now_ns += passes;
            if caller.request(now_ns).is_none() {
                let standing = caller.standing(now_ns);
                prop_assert!(standing.reset_ns > 0);
                let early = now_ns + standing.reset_ns - 1;
                // A moment earlier it is refused still, so that nobody is told to wait longer than need be.
                let mut early_state = caller.state.clone();
                rule.settle(&mut early_state, early);
                prop_assert_eq!(rule.standing(&early_state, early).remaining, 0);
                now_ns += standing.reset_ns;
                prop_assert!(caller.request(now_ns).is_some(), "{:?}", caller.state);
            }
        }
    }

    #[test]
    fn a_sliding_window_refuses_for_a_sixtieth_longer_at_most(limit in 1_u32..8, steps in steps()) {
        let window_ns = 3 * S;
        let mut caller = Caller::new(Rule::Sliding { limit, window_ns });
        let mut now_ns = 0;
        for (passes, _) in steps {
            now_ns += passes;
            if caller.request(now_ns).is_none() {
                let from_ns = now_ns.saturating_sub(window_ns + slot_ns(window_ns));
                prop_assert!(caller.within(from_ns, now_ns) >= limit.into(), "{now_ns}: {:?}", caller.admitted);
            }
        }
    }

    #[test]
    fn what_is_idle_is_as_good_as_unknown(rule in rules(), steps in steps()) {
        let mut caller = Caller::new(rule);
        let mut now_ns = 0;
        for (passes, _) in steps {
            now_ns += passes;
            let standing = caller.standing(now_ns);
            if rule.is_idle(&caller.state) {
                prop_assert_eq!(standing, rule.standing(&rule.fresh(now_ns), now_ns));
            }
            caller.request(now_ns);
        }
    }
}

#[test]
fn a_state_of_a_sliding_window_stays_small() {
    let mut caller = Caller::new(Rule::Sliding { limit: 1_000_000, window_ns: 60 * S });
    for step in 0..100_000 {
        caller.request(step * S / 100);
        let State::Sliding(slots) = &caller.state else { panic!("{:?}", caller.state) };
        assert!(slots.len() <= SLOTS as usize + 2, "{}", slots.len());
    }
}

#[test]
fn a_fixed_window_begins_with_a_request_and_lets_twice_as_many_through_around_its_end() {
    let mut caller = Caller::new(Rule::Fixed { limit: 2, window_ns: 10 * S });
    let admitted = [0, 9, 9, 10, 10, 10, 19, 20].map(|s| caller.request(s * S).is_some());
    assert_eq!(admitted, [true, true, false, true, true, false, false, true]);
}

#[test]
fn a_bucket_fills_evenly_and_exactly() {
    // Three each second: a third of a second is no whole number of nanoseconds.
    let mut caller = Caller::new(Rule::Bucket { capacity: 1, refill: 3, unit: S });
    let mut now_ns = 0;
    let mut count = 0;
    while now_ns <= 1_000 * S {
        if caller.request(now_ns).is_some() {
            count += 1;
        }
        now_ns += caller.standing(now_ns).reset_ns;
    }
    // A third of a nanosecond is lost with each, as nobody can come between two nanoseconds.
    assert!((3_000..=3_001).contains(&count), "{count}");
    let standing = Caller::new(Rule::Bucket { capacity: 100, refill: 10, unit: S }).standing(0);
    assert_eq!(standing, Standing { remaining: 100, reset_ns: 0 });
}

#[test]
fn windows_are_told_in_whole_seconds() {
    let rule = |strategy| Rule::from(strategy).window_s();
    assert_eq!(rule(RateStrategy::TokenBucket { capacity: 100, refill: 10, interval_s: 1 }), Some(10));
    assert_eq!(rule(RateStrategy::TokenBucket { capacity: 5, refill: 2, interval_s: 1 }), Some(3));
    assert_eq!(rule(RateStrategy::SlidingWindow { limit: 1, window_s: 900 }), Some(900));
    assert_eq!(rule(RateStrategy::Concurrency { limit: 1 }), None);
}
