//! The memory of the whole host: one budget that the linear memories of all instances share. What one instance may have
//! is `limits`'; how much there is for all is said by whoever assembles the host.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// An instance that has no more than this may have it of the last eighth of the budget, which others leave: so those that need
/// little find room beside those that take all they can get.
const LITTLE: usize = 4 << 20;

/// So many bytes for all instances. A counter and no lock: every memory that begins or grows passes here.
#[derive(Debug)]
pub(crate) struct HostMemory {
    limit: usize,
    used: AtomicUsize,
}

impl HostMemory {
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicUsize::new(0) })
    }

    /// What all instances have now, and what they may have, in bytes.
    pub fn used_and_limit(&self) -> (u64, u64) {
        let bytes = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        (bytes(self.used.load(Relaxed)), bytes(self.limit))
    }

    /// Takes so much for an instance that then has `own`; whether there was so much left. Nothing else is ordered by the
    /// counter, so relaxed is enough.
    fn take(&self, bytes: usize, own: usize) -> bool {
        if bytes == 0 {
            return true;
        }
        let limit = if own <= LITTLE { self.limit } else { self.limit - self.limit / 8 };
        let more = |used: usize| used.checked_add(bytes).filter(|used| *used <= limit);
        self.used.fetch_update(Relaxed, Relaxed, more).is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Relaxed);
    }
}

/// What one instance holds of it; given back when that ends, however it ends.
#[derive(Debug)]
pub(crate) struct Held {
    of: Arc<HostMemory>,
    bytes: usize,
}

impl Held {
    pub fn nothing_of(host: Arc<HostMemory>) -> Self {
        Self { of: host, bytes: 0 }
    }

    /// Takes more; whether there was so much left.
    pub fn grow(&mut self, bytes: usize) -> bool {
        let own = self.bytes.saturating_add(bytes);
        let is_there = self.of.take(bytes, own);
        if is_there {
            self.bytes = own;
        }
        is_there
    }

    /// Gives a part back: a memory did not grow after all.
    pub fn shrink(&mut self, bytes: usize) {
        let less = bytes.min(self.bytes);
        self.bytes -= less;
        self.of.give_back(less);
    }

    /// What all instances together may have, in MiB.
    pub fn limit_mb(&self) -> usize {
        self.of.limit >> 20
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.of.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn what_is_taken_comes_back_and_no_more_is_taken_than_there_is() {
        let host = HostMemory::new(100);
        let (mut one, mut other) = (Held::nothing_of(host.clone()), Held::nothing_of(host.clone()));
        assert!(one.grow(60) && other.grow(40) && !other.grow(1) && one.grow(0));
        one.shrink(10);
        assert!(other.grow(10) && !one.grow(usize::MAX));
        // No more comes back than was taken.
        one.shrink(1_000);
        assert_eq!(host.used.load(Relaxed), 50);
        drop(other);
        assert_eq!(host.used.load(Relaxed), 0);
        drop(one);
        assert_eq!(host.used.load(Relaxed), 0);
    }

    #[test]
    fn the_last_eighth_is_for_those_that_need_little() {
        let host = HostMemory::new(16 * LITTLE);
        let (mut large, mut small) = (Held::nothing_of(host.clone()), Held::nothing_of(host.clone()));
        assert!(large.grow(14 * LITTLE) && !large.grow(1));
        assert!(small.grow(LITTLE) && !small.grow(1));
        let mut other = Held::nothing_of(host);
        assert!(other.grow(LITTLE) && !small.grow(1) && !other.grow(1));
    }

    #[test]
    fn instances_on_several_threads_share_it() {
        const EACH: usize = 10;
        let host = HostMemory::new(3 * EACH);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        let mut held = Held::nothing_of(host.clone());
                        for _ in 0..EACH {
                            held.grow(1);
                        }
                        assert!(host.used.load(Relaxed) <= 3 * EACH);
                    }
                });
            }
        });
        assert_eq!(host.used.load(Relaxed), 0);
    }
}
