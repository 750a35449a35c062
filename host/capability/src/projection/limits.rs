//! The limits of read models that are part of the contract, so that they are the same on every backend.

/// The most statements of a step.
pub const STATEMENTS: usize = 10_000;
/// The longest id of a reader and name of a table, in bytes each.
pub const NAME_BYTES: usize = 255;
