//! Keepers of the counts that hosts share ([`weft_core::shared_limits`]), each held to the same contract.

pub mod redis;

#[cfg(test)]
mod conformance;
