//! What is known of the events that came last: their ids, and now and then where the log stood at which time and how
//! many events lay before it.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

/// So many ids are known whatever their age: a crash may make an outbox repeat what it brought last.
const ALWAYS_KNOWN: usize = 32_768;
/// One in so many bytes of the log is noted with its time.
const MARK_EVERY_BYTES: u64 = 1_024 * 1_024;

/// How long ids are known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) ids: usize,
    pub(super) ms: u64,
}

/// A place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) position: u64,
    pub(super) time_ms: u64,
    /// Events before it, since the log was opened first in this process.
    count: u64,
}

/// Identities are hashes already.
#[derive(Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        let bytes = bytes.first_chunk::<8>().copied().unwrap_or_default();
        self.0 ^= u64::from_le_bytes(bytes);
    }
}

#[derive(Debug)]
pub(super) struct Recent {
    window: Window,
    /// Where the record of an id ends.
    ends: HashMap<u128, u64, BuildHasherDefault<AsItIs>>,
    order: VecDeque<(u128, u64)>,
    marks: VecDeque<Mark>,
    count: u64,
}

impl Recent {
    pub(super) fn new(window: Window) -> Self {
        Self { window, ends: HashMap::default(), order: VecDeque::new(), marks: VecDeque::new(), count: 0 }
    }

    /// Where the record of an event ends that came already.
    pub(super) fn end_of(&self, identity: u128) -> Option<u64> {
        self.ends.get(&identity).copied()
    }

    /// Notes an event at `position` whose record ends at `end`.
    pub(super) fn remember(&mut self, identity: u128, time_ms: u64, position: u64, end: u64) {
        if self.marks.back().is_none_or(|last| position >= last.position + MARK_EVERY_BYTES) {
            self.marks.push_back(Mark { position, time_ms, count: self.count });
        }
        self.count += 1;
        self.order.push_back((identity, time_ms));
        self.ends.insert(identity, end);
        while self.order.len() > ALWAYS_KNOWN.min(self.window.ids)
            && let Some((oldest, at_ms)) = self.order.front().copied()
            && (self.order.len() > self.window.ids || at_ms.saturating_add(self.window.ms) < time_ms)
        {
            self.order.pop_front();
            self.ends.remove(&oldest);
        }
    }

    /// The position of the second mark: all before it is no younger than the time there.
    pub(super) fn second_mark(&self) -> Option<Mark> {
        self.marks.get(1).copied()
    }

    pub(super) fn forget_first_mark(&mut self) {
        self.marks.pop_front();
    }

    /// Where to look from for the first event of a time: all before it is older.
    pub(super) fn before_time(&self, time_ms: u64) -> Option<u64> {
        let after = self.marks.partition_point(|mark| mark.time_ms < time_ms);
        self.marks.get(after.checked_sub(1)?).map(|mark| mark.position)
    }

    /// The last noted place before `position`.
    pub(super) fn before_position(&self, position: u64) -> Option<u64> {
        let after = self.marks.partition_point(|mark| mark.position < position);
        self.marks.get(after.checked_sub(1)?).map(|mark| mark.position)
    }

    /// About how many events lie between `position` and `end`, where the log ends.
    pub(super) fn count_behind(&self, position: u64, end: u64) -> u64 {
        if position >= end {
            return 0;
        }
        let after = self.marks.partition_point(|mark| mark.position <= position);
        let (next, next_count) = self.marks.get(after).map_or((end, self.count), |mark| (mark.position, mark.count));
        let (last, last_count) = after
            .checked_sub(1)
            .and_then(|before| self.marks.get(before))
            .map_or((position, 0), |mark| (mark.position, mark.count));
        let (part, whole) = (next.saturating_sub(position), next.saturating_sub(last).max(1));
        let share = u128::from(next_count - last_count) * u128::from(part) / u128::from(whole);
        let share = u64::try_from(share).unwrap_or(u64::MAX);
        (share + (self.count - next_count)).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_known_by_number_and_by_age() {
        let mut recent = Recent::new(Window { ids: 40_000, ms: 1_000 });
        for n in 0..50_000_u64 {
            recent.remember(n.into(), 0, n, n + 1);
        }
        assert_eq!((recent.end_of(9_999), recent.end_of(10_000)), (None, Some(10_001)), "40,000 at most");
        recent.remember(60_000, 1_001, 60_000, 60_001);
        let oldest = 50_000 - (ALWAYS_KNOWN as u128 - 1);
        assert_eq!(recent.end_of(oldest - 1), None, "what is older than the window");
        assert!(recent.end_of(oldest).is_some(), "but the last ones in any case");
    }

    #[test]
    fn places_are_found_by_time_and_counted_behind() {
        let mut recent = Recent::new(Window { ids: 10, ms: 1 });
        let mib = MARK_EVERY_BYTES;
        for n in 0..40 {
            recent.remember(n.into(), n * 10, n * mib / 4, (n + 1) * mib / 4);
        }
        let end = 10 * mib;
        assert_eq!(recent.before_time(45), Some(mib), "the fourth of ten marks is of 40 ms, at one MiB");
        assert_eq!(recent.before_time(0), None);
        assert_eq!(recent.before_position(mib), Some(0));
        assert_eq!((recent.count_behind(0, end), recent.count_behind(5 * mib, end)), (40, 20));
        assert_eq!((recent.count_behind(end - 1, end), recent.count_behind(end, end)), (1, 0));
        assert_eq!(recent.count_behind(mib / 2, end), 38);
    }
}
