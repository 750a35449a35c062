//! Which events were handled, and how often: the check that every event that was acknowledged came, and came once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use tokio::sync::Notify;

/// A consumer that gets nothing new for so long gets nothing more.
const STALLED: Duration = Duration::from_secs(60);

/// Events by number, of which there are at most as many as it was made for.
#[derive(Debug)]
pub struct Seen {
    bits: Vec<AtomicU64>,
    distinct: AtomicU64,
    again: AtomicU64,
    /// The count that is waited for.
    wanted: AtomicU64,
    reached: Notify,
}

impl Seen {
    /// For the numbers below `most`.
    #[must_use]
    pub fn new(most: u64) -> Self {
        let words = usize::try_from(most.div_ceil(64)).unwrap_or(usize::MAX);
        Self {
            bits: (0..words).map(|_| AtomicU64::new(0)).collect(),
            distinct: AtomicU64::new(0),
            again: AtomicU64::new(0),
            wanted: AtomicU64::new(u64::MAX),
            reached: Notify::new(),
        }
    }

    /// Notes an event.
    ///
    /// # Errors
    /// If no event has this number.
    pub fn see(&self, number: u64) -> anyhow::Result<()> {
        let word = usize::try_from(number / 64).ok().and_then(|word| self.bits.get(word));
        let bit = 1 << (number % 64);
        if word.with_context(|| format!("no event has the number {number}"))?.fetch_or(bit, Ordering::Relaxed) & bit
            != 0
        {
            self.again.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        // Sequentially consistent with `reached`: of the two one sees what the other has written.
        let distinct = self.distinct.fetch_add(1, Ordering::SeqCst) + 1;
        if distinct >= self.wanted.load(Ordering::SeqCst) {
            self.reached.notify_waiters();
        }
        Ok(())
    }

    /// Resolves when so many different events were handled.
    ///
    /// # Errors
    /// If for a long time none comes.
    pub async fn reached(&self, count: u64) -> anyhow::Result<()> {
        self.wanted.store(count, Ordering::SeqCst);
        loop {
            let reached = self.reached.notified();
            let before = self.distinct.load(Ordering::SeqCst);
            if before >= count {
                return Ok(());
            }
            let waited = tokio::time::timeout(STALLED, reached).await;
            let now = self.distinct.load(Ordering::SeqCst);
            if waited.is_err() && now == before {
                bail!("{} of {count} events did not come", count - now);
            }
        }
    }

    /// That all of `count` events came, each once.
    ///
    /// # Errors
    /// If not.
    pub fn each_once(&self, count: u64) -> anyhow::Result<()> {
        let (distinct, again) = (self.distinct.load(Ordering::SeqCst), self.again.load(Ordering::SeqCst));
        ensure!(distinct == count && again == 0, "of {count} events {distinct} came, and {again} of them again");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_that_is_missing_or_comes_again_is_noticed() {
        let seen = Seen::new(3);
        seen.see(0).unwrap();
        seen.see(2).unwrap();
        assert!(seen.each_once(3).is_err());
        seen.reached(2).await.unwrap();
        seen.see(1).unwrap();
        seen.reached(3).await.unwrap();
        seen.each_once(3).unwrap();
        seen.see(1).unwrap();
        assert!(seen.each_once(3).is_err());
        assert!(seen.see(64).is_err());
    }
}
