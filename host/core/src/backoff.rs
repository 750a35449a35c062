//! How long to wait before something that failed is tried again. When it is worth trying at all is up to whoever tries.

/// Full jitter under a bound that grows: with many who wait, no two waves of attempts come together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The longest first wait, in milliseconds.
    pub base_ms: u32,
    /// By how much the longest wait grows each time, in percent: 200 doubles it.
    pub factor_percent: u32,
    /// The longest wait at all, in milliseconds.
    pub cap_ms: u32,
}

impl Backoff {
    /// The wait after the `ended`-th attempt (from 1), in milliseconds: at random up to the bound, and at least what the callee
    /// asked for. `random` is any 64 bits.
    #[must_use]
    pub fn wait_ms(&self, ended: u32, retry_after_ms: Option<u32>, random: u64) -> u64 {
        let cap = u64::from(self.cap_ms);
        let factor = u64::from(self.factor_percent);
        let mut bound = u64::from(self.base_ms).min(cap);
        for _ in 1..ended {
            let grown = bound.saturating_mul(factor) / 100;
            if grown == bound || bound == cap {
                break;
            }
            bound = grown.min(cap);
        }
        let jittered = random % (bound + 1);
        jittered.max(retry_after_ms.map_or(0, u64::from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_cap_and_honour_retry_after() {
        let backoff = Backoff { base_ms: 100, factor_percent: 200, cap_ms: 1000 };
        let longest = |ended| (0..2000).map(|random| backoff.wait_ms(ended, None, random)).max().unwrap();
        assert_eq!([1, 2, 3, 4, 5, 99].map(longest), [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(backoff.wait_ms(1, Some(5000), 7), 5000);
        assert_eq!(Backoff { cap_ms: 0, ..backoff }.wait_ms(3, None, 7), 0);
        let shrinking = Backoff { factor_percent: 50, ..backoff };
        assert!((0..2000).all(|random| shrinking.wait_ms(3, None, random) <= 25));
    }
}
