//! Copies of calls, to a version that shows what it would answer and whose answers nobody gets: how many at a time, and how what it
//! answers compares. Which calls are copied belongs to `versions`; that a copy has no effects, to whoever runs it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Copies to one version that run at a time. One more is not made: copies must not take from calls what those need.
pub const MAX_MIRRORED: usize = 16;

/// What became of the copies that one version got.
#[derive(Debug, Default)]
pub(crate) struct MirrorStats {
    running: AtomicUsize,
    calls: AtomicU64,
    failures: AtomicU64,
    differ: AtomicU64,
    skipped: AtomicU64,
}

/// Counts of the copies that one version got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MirrorView {
    /// Copies that came to an end.
    pub calls: u64,
    /// Those without an answer.
    pub failures: u64,
    /// Those with another answer than the call had.
    pub differ: u64,
    /// Copies that were not made: too many ran, or the call was too large to keep.
    pub skipped: u64,
}

impl MirrorStats {
    pub fn view(&self) -> MirrorView {
        let [calls, failures, differ, skipped] =
            [&self.calls, &self.failures, &self.differ, &self.skipped].map(|count| count.load(Relaxed));
        MirrorView { calls, failures, differ, skipped }
    }

    /// A place for one copy.
    pub fn begin(self: &Arc<Self>, name: Arc<str>) -> Option<Mirror> {
        let taken =
            self.running.fetch_update(Relaxed, Relaxed, |running| (running < MAX_MIRRORED).then_some(running + 1));
        if taken.is_err() {
            self.skipped.fetch_add(1, Relaxed);
            return None;
        }
        Some(Mirror { name, stats: self.clone() })
    }
}

/// A copy that is made. Its place is free again when this is dropped.
#[derive(Debug)]
#[must_use]
pub struct Mirror {
    /// What the engine knows the version by that gets it.
    pub name: Arc<str>,
    stats: Arc<MirrorStats>,
}

impl Mirror {
    /// Tells what came of the copy: whether it was answered, and whether as the call was, if that was answered too.
    pub fn tell(self, is_answered: bool, is_alike: Option<bool>) {
        self.stats.calls.fetch_add(1, Relaxed);
        if !is_answered {
            self.stats.failures.fetch_add(1, Relaxed);
        } else if is_alike == Some(false) {
            self.stats.differ.fetch_add(1, Relaxed);
        }
    }

    /// Tells that the call is too large to be copied.
    pub fn skip(self) {
        self.stats.skipped.fetch_add(1, Relaxed);
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.stats.running.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_copies_run_at_a_time_and_each_is_counted_once() {
        let stats = Arc::<MirrorStats>::default();
        let begin = || stats.begin("c@a".into());
        let mut running: Vec<_> = (0..MAX_MIRRORED).map(|_| begin().unwrap()).collect();
        assert!(begin().is_none());
        for (is_answered, is_alike) in [(true, Some(true)), (true, Some(false)), (true, None), (false, Some(false))] {
            running.pop().unwrap().tell(is_answered, is_alike);
        }
        running.pop().unwrap().skip();
        assert_eq!(stats.view(), MirrorView { calls: 4, failures: 1, differ: 1, skipped: 2 });
        let again: Vec<_> = (0..5).map(|_| begin().unwrap()).collect();
        assert!(begin().is_none());
        drop((running, again));
        assert!(begin().is_some());
    }
}
