//! When a failed attempt is tried again.

use weft_core::Backoff;

use crate::types::RetryPolicy;

/// The delay after the `ended`-th attempt (from 1), as [`Backoff::wait_ms`].
pub(crate) fn delay_ms(policy: &RetryPolicy, ended: u32, retry_after_ms: Option<u32>, random: u64) -> u64 {
    let RetryPolicy { max_attempts: _, base_ms, factor_percent, cap_ms } = *policy;
    Backoff { base_ms, factor_percent, cap_ms }.wait_ms(ended, retry_after_ms, random)
}

/// 64 bits that depend on all of the step's identity and on nothing else.
pub(crate) fn random(step_key: &str, undo: bool, attempt: u32) -> u64 {
    let seed = crate::clock::seed(&format!("{step_key}/{undo}/{attempt}"));
    seed.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_attempt_has_a_number_of_its_own() {
        assert_ne!(random("k/a#1", false, 1), random("k/a#1", false, 2));
        assert_eq!(random("k/a#1", false, 1), random("k/a#1", false, 1));
    }
}
