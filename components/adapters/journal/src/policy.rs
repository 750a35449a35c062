//! When a failed attempt is tried again.

use sha2::{Digest, Sha256};

use crate::types::RetryPolicy;

/// The delay after the `ended`-th attempt (from 1): full jitter under an exponential bound, and at least what the
/// callee asked for. `random` is any 64 bits.
pub(crate) fn delay_ms(policy: &RetryPolicy, ended: u32, retry_after_ms: Option<u32>, random: u64) -> u64 {
    let cap = u64::from(policy.cap_ms);
    let factor = u64::from(policy.factor_percent);
    let mut bound = u64::from(policy.base_ms).min(cap);
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

/// 64 bits that depend on all of the step's identity and on nothing else.
pub(crate) fn random(step_key: &str, undo: bool, attempt: u32) -> u64 {
    let seed: [u8; 32] = Sha256::digest(format!("{step_key}/{undo}/{attempt}").as_bytes()).into();
    seed.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_the_cap_and_honour_retry_after() {
        let policy = RetryPolicy { max_attempts: 9, base_ms: 100, factor_percent: 200, cap_ms: 1000 };
        let longest = |ended| (0..2000).map(|random| delay_ms(&policy, ended, None, random)).max().unwrap();
        assert_eq!([1, 2, 3, 4, 5, 99].map(longest), [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(delay_ms(&policy, 1, Some(5000), 7), 5000);
        assert_eq!(delay_ms(&RetryPolicy { cap_ms: 0, ..policy }, 3, None, 7), 0);
        assert_ne!(random("k/a#1", false, 1), random("k/a#1", false, 2));
    }
}
