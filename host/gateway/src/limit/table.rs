//! The callers of one limit, in shards with a lock each. Bounded: a caller of whom nothing is known takes no place, and
//! where all places are taken by callers that still count, newcomers are counted together, shard by shard. So nobody is
//! ever admitted more often than the limit says, and under a flood of callers newcomers may be admitted less often.
//! A caller that gets a place later begins with what the newcomers had used up together, which is at least its own part.

use std::sync::{Mutex, MutexGuard, PoisonError};

use hashbrown::HashTable;

use super::key::{Hashed, Who};
use super::rule::{Mark, Rule, Standing, State};

/// Locks of one limit.
const SHARDS: usize = 32;
/// How long a shard that was full of callers that count is not searched again for others.
const SWEEP_EVERY_NS: u64 = 1_000_000_000;

/// All callers of a limit.
#[derive(Debug)]
pub(super) struct Table {
    pub rule: Rule,
    /// One less than there are.
    shards: Box<[Mutex<Shard>]>,
    last: Mutex<Shard>,
}

/// Some of the callers.
#[derive(Debug, Default)]
pub(super) struct Shard {
    entries: HashTable<Entry>,
    places: usize,
    /// Those who found no place, as one.
    newcomers: Option<State>,
    next_sweep_ns: u64,
    pub admitted: u64,
    pub refused: u64,
}

#[derive(Debug)]
struct Entry {
    caller: Hashed,
    state: State,
}

/// What was taken, and from whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    mark: Mark,
    from_newcomers: bool,
}

impl Table {
    /// `max_keys` bounds the callers that are told apart, give or take the luck of their distribution over shards.
    /// Requests in flight have a bound of their own, so that concurrency needs none here.
    pub fn new(rule: Rule, max_keys: u32) -> Self {
        let keys = if rule.is_concurrency() { usize::MAX } else { usize::try_from(max_keys).unwrap_or(usize::MAX) };
        let shard = || Mutex::new(Shard { places: keys.div_ceil(SHARDS), ..Shard::default() });
        Self { rule, shards: (1..SHARDS).map(|_| shard()).collect(), last: shard() }
    }

    /// The shard of a caller.
    pub fn lock(&self, hash: u64) -> MutexGuard<'_, Shard> {
        // The table inside uses the lowest bits and the highest seven.
        let number = usize::try_from(hash >> 32).unwrap_or_default() % SHARDS;
        self.shards.get(number).unwrap_or(&self.last).lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Each shard in turn, the others unlocked.
    pub fn shards(&self) -> impl Iterator<Item = MutexGuard<'_, Shard>> {
        let all = self.shards.iter().chain([&self.last]);
        all.map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Shard {
    /// How a caller stands now.
    pub fn standing(&mut self, rule: Rule, caller: &Hashed, now_ns: u64) -> Standing {
        let own = self.entries.find_mut(caller.hash, |entry| entry.caller.key == caller.key);
        // Without a place of its own it counts among the newcomers, and begins with what they have used when it gets one.
        let state = match (own, &mut self.newcomers) {
            (Some(entry), _) => &mut entry.state,
            (None, Some(newcomers)) => newcomers,
            (None, None) => return rule.standing(&rule.fresh(now_ns), now_ns),
        };
        rule.settle(state, now_ns);
        rule.standing(state, now_ns)
    }

    /// Admits a request of a caller that has room.
    pub fn take(&mut self, rule: Rule, caller: &Hashed, now_ns: u64) -> Taken {
        self.admitted = self.admitted.saturating_add(1);
        let (state, from_newcomers) = self.state(rule, caller, now_ns);
        rule.settle(state, now_ns);
        Taken { mark: rule.take(state, now_ns), from_newcomers }
    }

    /// The caller's own state, or that of the newcomers if there is no place.
    fn state(&mut self, rule: Rule, caller: &Hashed, now_ns: u64) -> (&mut State, bool) {
        if let Some(newcomers) = &mut self.newcomers {
            rule.settle(newcomers, now_ns);
            if rule.is_idle(newcomers) {
                self.newcomers = None;
            }
        }
        let is_known = self.entries.find(caller.hash, |entry| entry.caller.key == caller.key).is_some();
        if !is_known && !self.has_place(rule, now_ns) {
            return (self.newcomers.get_or_insert_with(|| rule.fresh(now_ns)), true);
        }
        let newcomers = &self.newcomers;
        let entry = self
            .entries
            .entry(caller.hash, |entry| entry.caller.key == caller.key, |entry| entry.caller.hash)
            .or_insert_with(|| {
                let state = newcomers.clone().unwrap_or_else(|| rule.fresh(now_ns));
                Entry { caller: caller.clone(), state }
            });
        (&mut entry.into_mut().state, false)
    }

    /// Whether there is a place, now or after callers are forgotten of whom nothing counts any more.
    fn has_place(&mut self, rule: Rule, now_ns: u64) -> bool {
        if self.entries.len() < self.places {
            return true;
        }
        if now_ns < self.next_sweep_ns {
            return false;
        }
        self.entries.retain(|entry| {
            rule.settle(&mut entry.state, now_ns);
            !rule.is_idle(&entry.state)
        });
        let is_full = self.entries.len() >= self.places;
        if is_full {
            self.next_sweep_ns = now_ns.saturating_add(SWEEP_EVERY_NS);
        }
        !is_full
    }

    /// Undoes [`Shard::take`], or ends a request in flight.
    pub fn give_back(&mut self, rule: Rule, caller: &Hashed, taken: Taken) {
        if !rule.is_concurrency() {
            self.admitted = self.admitted.saturating_sub(1);
        }
        if taken.from_newcomers {
            if let Some(newcomers) = &mut self.newcomers {
                rule.give_back(newcomers, taken.mark);
            }
            return;
        }
        let found = self.entries.find_entry(caller.hash, |entry| entry.caller.key == caller.key);
        let Ok(mut found) = found else { return };
        rule.give_back(&mut found.get_mut().state, taken.mark);
        if rule.is_idle(&found.get().state) {
            found.remove();
        }
    }

    /// The callers that have places.
    pub fn callers(&mut self, rule: Rule, now_ns: u64) -> impl Iterator<Item = (&Who, Standing)> {
        self.entries.iter_mut().map(move |entry| {
            rule.settle(&mut entry.state, now_ns);
            (&entry.caller.key, rule.standing(&entry.state, now_ns))
        })
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
