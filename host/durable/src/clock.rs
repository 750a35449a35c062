//! What a durable function sees of time and chance, so that a replay sees the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

/// The clock of one run: it shows the time of the last record that the journal delivered. Clones show the same.
#[derive(Clone, Debug, Default)]
pub struct SagaClock(Arc<AtomicU64>);

impl SagaClock {
    /// Milliseconds since the Unix epoch; 0 before a saga has begun.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn advance_to(&self, at_ms: u64) {
        self.0.fetch_max(at_ms, Ordering::Relaxed);
    }
}

/// The seed of a saga's random source: the same for the same key.
#[must_use]
pub fn seed(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_never_goes_back_and_the_seed_is_the_keys() {
        let clock = SagaClock::default();
        let shown = clock.clone();
        clock.advance_to(5);
        clock.advance_to(3);
        assert_eq!(shown.now_ms(), 5);
        assert_eq!(seed("a"), seed("a"));
        assert_ne!(seed("a"), seed("b"));
    }
}
