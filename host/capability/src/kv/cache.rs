//! Recently read entries in memory, exact: the writer takes a key out before its write is answered, and a read that
//! began before that cannot put an old value back.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Entry;

/// What one of the two generations may hold, in bytes.
const GENERATION_BYTES: usize = 8 * 1_024 * 1_024;
/// Larger values are not worth their place.
const MAX_CACHED_BYTES: usize = 16 * 1_024;
/// What a key and its slot cost beside their bytes; an estimate.
const OVERHEAD_BYTES: usize = 128;

type Key = (Box<str>, Box<str>);
/// `None` remembers that the key does not exist.
type Slot = Option<Entry>;

/// Two generations: when the young one is full it becomes the old one, and what nobody asked for again is dropped.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    young: HashMap<Key, Slot>,
    old: HashMap<Key, Slot>,
    young_bytes: usize,
    /// Counts invalidations; tells a read that a write passed it by.
    writes: u64,
}

/// Proves that a read began before the value it brings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket(u64);

impl Cache {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of the key, or a ticket for bringing it.
    pub(super) fn get(&self, label: &str, key: &str) -> Result<Slot, Ticket> {
        let mut state = self.state();
        let id = (label.into(), key.into());
        if let Some(slot) = state.young.get(&id) {
            return Ok(slot.clone());
        }
        let Some(slot) = state.old.remove(&id) else { return Err(Ticket(state.writes)) };
        state.insert(id, slot.clone());
        Ok(slot)
    }

    /// Keeps what was read, unless anything was written since the ticket was given.
    pub(super) fn put(&self, ticket: Ticket, label: &str, key: &str, slot: &Slot) {
        let mut state = self.state();
        let bytes = slot.as_ref().map_or(0, |entry| entry.value.len());
        if state.writes == ticket.0 && bytes <= MAX_CACHED_BYTES {
            state.insert((label.into(), key.into()), slot.clone());
        }
    }

    /// Forgets keys that were just written.
    pub(super) fn forget<'a>(&self, label: &str, keys: impl Iterator<Item = &'a str>) {
        let mut state = self.state();
        state.writes += 1;
        for key in keys {
            let id = (label.into(), key.into());
            if let Some(slot) = state.young.remove(&id) {
                state.young_bytes = state.young_bytes.saturating_sub(cost(&id, &slot));
            }
            state.old.remove(&id);
        }
    }
}

impl State {
    fn insert(&mut self, id: Key, slot: Slot) {
        let bytes = cost(&id, &slot);
        if self.young_bytes + bytes > GENERATION_BYTES {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        if let Some(before) = self.young.get(&id) {
            self.young_bytes = self.young_bytes.saturating_sub(cost(&id, before));
        }
        self.young_bytes += bytes;
        self.young.insert(id, slot);
    }
}

fn cost((label, key): &Key, slot: &Slot) -> usize {
    OVERHEAD_BYTES + label.len() + key.len() + slot.as_ref().map_or(0, |entry| entry.value.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(bytes: usize) -> Slot {
        Some(Entry { value: vec![0; bytes].into(), version: 1, expires_at_ms: None })
    }

    #[test]
    fn a_read_that_a_write_passed_by_is_not_kept() {
        let cache = Cache::default();
        let ticket = cache.get("s", "k").unwrap_err();
        cache.forget("s", ["k"].into_iter());
        cache.put(ticket, "s", "k", &entry(1));
        assert!(cache.get("s", "k").is_err());
    }

    #[test]
    fn both_generations_stay_under_their_bound_and_forget_what_was_written() {
        let cache = Cache::default();
        let mut largest = 0;
        for n in 0..4_000 {
            let key = n.to_string();
            let ticket = cache.get("s", &key).unwrap_err();
            cache.put(ticket, "s", &key, &entry(MAX_CACHED_BYTES));
            largest = largest.max(cache.state().young_bytes);
        }
        assert!(largest <= GENERATION_BYTES);
        assert!(cache.state().old.len() * MAX_CACHED_BYTES <= GENERATION_BYTES);
        assert!(cache.get("s", "3999").is_ok());
        assert!(cache.get("s", "0").is_err());
        let old = cache.state().old.keys().next().unwrap().1.clone();
        cache.forget("s", [&*old].into_iter());
        assert!(cache.get("s", &old).is_err());
    }
}
