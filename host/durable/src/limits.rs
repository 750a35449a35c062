//! Limits on the attempts of steps, shared by all sagas of a host: how many in a second, how many at a time, by name
//! and key. Kept in memory: a host that starts anew begins with empty limits. A saga that has to wait for the rate gets
//! the time of its turn, so that it can sleep until then; one that waits for a place is told when one is free.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::Notify;

use crate::types::LimitUse;

/// Names and keys that are remembered at most; idle ones are forgotten first.
const MAX_BUCKETS: usize = 100_000;

/// One limit. Without either bound it limits nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limit {
    /// Attempts that may begin in `per_ms`, evenly spread.
    pub rate: Option<Rate>,
    /// Attempts that may run at the same time.
    pub concurrency: Option<u32>,
}

/// So many in so much time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many; at least 1.
    pub count: u32,
    /// In how many milliseconds.
    pub per_ms: u64,
}

/// The limits of a host. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Limits(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    limits: RwLock<HashMap<String, Limit>>,
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct State {
    buckets: HashMap<LimitKey, Bucket>,
    /// The turns of steps that wait, by their keys: in microseconds.
    turns: HashMap<String, u64>,
}

type LimitKey = (String, Option<String>);

#[derive(Debug, Default)]
struct Bucket {
    /// When the next turn is, in microseconds since the Unix epoch.
    next_us: u64,
    /// When the last attempts began, as many as the rate permits: one whose turn was before comes late, and those after
    /// it are on time.
    begun_us: VecDeque<u64>,
    /// From when on nothing that has begun counts.
    clear_us: u64,
    running: u32,
}

/// Whether an attempt may begin.
#[derive(Debug)]
pub(crate) enum Admission {
    /// It may, and its places are taken until this is dropped.
    Now(Places),
    /// Not before this time, in milliseconds since the Unix epoch.
    At(u64),
    /// When a place is free.
    Full,
    /// There is no limit of this name.
    Unknown(String),
}

/// The places of one attempt.
#[derive(Debug, Default)]
pub(crate) struct Places {
    limits: Option<Limits>,
    taken: Vec<LimitKey>,
}

impl Limits {
    /// Limits by their names.
    #[must_use]
    pub fn new(limits: HashMap<String, Limit>) -> Self {
        Self(Arc::new(Shared { limits: RwLock::new(limits), ..Shared::default() }))
    }

    /// Replaces the limits; what runs keeps its places.
    pub fn set(&self, limits: HashMap<String, Limit>) {
        *self.0.limits.write().unwrap_or_else(PoisonError::into_inner) = limits;
        self.0.freed.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves when a place has become free since this was called.
    pub(crate) fn freed(&self) -> tokio::sync::futures::Notified<'_> {
        self.0.freed.notified()
    }

    /// Asks for the attempt of the step `step_key`. The turn that is answered is kept for that step.
    pub(crate) fn admit(&self, uses: &[LimitUse], step_key: &str, now_ms: u64) -> Admission {
        if uses.is_empty() {
            return Admission::Now(Places::default());
        }
        let mut wanted = Vec::with_capacity(uses.len());
        let limits = self.0.limits.read().unwrap_or_else(PoisonError::into_inner);
        for used in uses {
            let Some(limit) = limits.get(&used.name) else { return Admission::Unknown(used.name.clone()) };
            wanted.push(((used.name.clone(), used.key.clone()), *limit));
        }
        drop(limits);
        let mut state = self.state();
        let now_us = now_ms.saturating_mul(1000);
        let turn_us = match state.turns.get(step_key) {
            Some(turn_us) => *turn_us,
            None => state.reserve(&wanted, now_us),
        };
        if turn_us > now_us {
            state.turns.insert(step_key.to_owned(), turn_us);
            return Admission::At(turn_us.div_ceil(1000));
        }
        let room_us = wanted.iter().map(|(key, limit)| state.room_us(key, limit)).max().unwrap_or_default();
        if room_us > now_us {
            state.turns.insert(step_key.to_owned(), turn_us);
            return Admission::At(room_us.div_ceil(1000));
        }
        let is_full = |(key, limit): &(LimitKey, Limit)| {
            let running = state.buckets.get(key).map_or(0, |bucket| bucket.running);
            limit.concurrency.is_some_and(|most| running >= most)
        };
        if wanted.iter().any(is_full) {
            state.turns.insert(step_key.to_owned(), turn_us);
            return Admission::Full;
        }
        state.turns.remove(step_key);
        let mut taken = Vec::new();
        for (key, limit) in wanted {
            if let Some(rate) = limit.rate {
                state.buckets.entry(key.clone()).or_default().begin(rate, now_us);
            }
            if limit.concurrency.is_some() {
                state.buckets.entry(key.clone()).or_default().running += 1;
                taken.push(key);
            }
        }
        Admission::Now(Places { limits: Some(self.clone()), taken })
    }

    /// A step that will not come gives up its turn; the time is lost for the others, so that nobody comes too early.
    pub(crate) fn forgo(&self, step_key: &str) {
        self.state().turns.remove(step_key);
    }
}

impl State {
    /// The first time at which all these rates let another attempt begin; it is spoken for from now on.
    fn reserve(&mut self, wanted: &[(LimitKey, Limit)], now_us: u64) -> u64 {
        if self.buckets.len() >= MAX_BUCKETS {
            self.buckets.retain(|_, bucket| bucket.running > 0 || bucket.next_us.max(bucket.clear_us) > now_us);
        }
        let rates: Vec<_> = wanted.iter().filter_map(|(key, limit)| Some((key, limit.rate?))).collect();
        let next = rates.iter().map(|(key, _)| self.buckets.get(*key).map_or(0, |bucket| bucket.next_us));
        let turn_us = next.max().unwrap_or_default().max(now_us);
        for (key, rate) in rates {
            let interval_us = rate.per_us().div_ceil(u64::from(rate.count.max(1)));
            self.buckets.entry(key.clone()).or_default().next_us = turn_us.saturating_add(interval_us);
        }
        turn_us
    }
}

impl State {
    /// From when on one more attempt is not too many.
    fn room_us(&self, key: &LimitKey, limit: &Limit) -> u64 {
        let (Some(rate), Some(bucket)) = (limit.rate, self.buckets.get(key)) else { return 0 };
        let is_full = bucket.begun_us.len() >= rate.most();
        let first_us = bucket.begun_us.front().filter(|_| is_full);
        first_us.map_or(0, |at_us| at_us.saturating_add(rate.per_us()))
    }
}

impl Bucket {
    fn begin(&mut self, rate: Rate, now_us: u64) {
        self.begun_us.push_back(now_us);
        while self.begun_us.len() > rate.most() {
            self.begun_us.pop_front();
        }
        // An idle bucket may be forgotten only when these do not count any more.
        self.clear_us = now_us.saturating_add(rate.per_us());
    }
}

impl Rate {
    fn most(self) -> usize {
        self.count.max(1) as usize
    }

    fn per_us(self) -> u64 {
        self.per_ms.saturating_mul(1000)
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        let Some(limits) = &self.limits else { return };
        if self.taken.is_empty() {
            return;
        }
        let mut state = limits.state();
        for key in &self.taken {
            if let Some(bucket) = state.buckets.get_mut(key) {
                bucket.running = bucket.running.saturating_sub(1);
            }
        }
        drop(state);
        limits.0.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limits(rate: Option<Rate>, concurrency: Option<u32>) -> Limits {
        Limits::new(HashMap::from([("pay".to_owned(), Limit { rate, concurrency })]))
    }

    fn uses(key: Option<&str>) -> Vec<LimitUse> {
        vec![LimitUse { name: "pay".to_owned(), key: key.map(str::to_owned) }]
    }

    #[test]
    fn places_are_given_back() {
        let limits = limits(None, Some(1));
        let Admission::Now(first) = limits.admit(&uses(None), "a", 0) else { panic!("the first") };
        assert!(matches!(limits.admit(&uses(None), "b", 0), Admission::Full));
        assert!(matches!(limits.admit(&uses(Some("other")), "c", 0), Admission::Now(_)), "each key for itself");
        drop(first);
        assert!(matches!(limits.admit(&uses(None), "b", 0), Admission::Now(_)));
        let unknown = [LimitUse { name: "mail".to_owned(), key: None }];
        assert!(matches!(limits.admit(&unknown, "d", 0), Admission::Unknown(name) if name == "mail"));
    }

    #[test]
    fn one_that_comes_late_makes_those_after_it_wait() {
        let limits = limits(Some(Rate { count: 2, per_ms: 10_000 }), None);
        let admit = |step, now_ms| match limits.admit(&uses(None), step, now_ms) {
            Admission::Now(_) => None,
            Admission::At(at_ms) => Some(at_ms),
            other => panic!("{other:?}"),
        };
        assert_eq!(admit("a", 0), None);
        assert_eq!([admit("b", 0), admit("c", 0), admit("d", 0)], [Some(5000), Some(10_000), Some(15_000)]);
        assert_eq!(admit("b", 6000), None, "its turn was at 5000");
        assert_eq!(admit("c", 10_000), None);
        assert_eq!(admit("d", 15_000), Some(16_000));
        assert_eq!(admit("d", 16_000), None);
    }

    proptest! {
        /// In no window of a second are there more beginnings than the rate permits, whoever asks and whenever.
        #[test]
        fn the_rate_is_never_passed(count in 1_u32..50, asks in proptest::collection::vec(0_u64..200, 1..200)) {
            let limits = limits(Some(Rate { count, per_ms: 1000 }), None);
            let mut now_ms = 1_000_000;
            let mut begun = Vec::new();
            let mut waiting = std::collections::BTreeSet::new();
            let asks = asks.into_iter().chain([1_000_000]).enumerate();
            for (number, pause_ms) in asks {
                now_ms += pause_ms;
                while let Some((at_ms, _)) = waiting.first().filter(|(at_ms, _)| *at_ms <= now_ms) {
                    let (at_ms, step): (u64, String) = (*at_ms, waiting.pop_first().unwrap().1);
                    prop_assert!(matches!(limits.admit(&uses(None), &step, at_ms), Admission::Now(_)));
                    begun.push(at_ms);
                }
                let step = format!("s{number}");
                match limits.admit(&uses(None), &step, now_ms) {
                    Admission::Now(_) => begun.push(now_ms),
                    Admission::At(at_ms) => drop(waiting.insert((at_ms, step))),
                    other => panic!("{other:?}"),
                }
            }
            prop_assert!(waiting.is_empty());
            begun.sort_unstable();
            for (index, first_ms) in begun.iter().enumerate() {
                let within = begun[index..].iter().take_while(|at_ms| **at_ms < first_ms + 1000).count();
                prop_assert!(within <= count as usize, "{within} of {count}");
            }
        }
    }
}
