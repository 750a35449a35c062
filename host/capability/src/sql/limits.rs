//! The limits of the sql capability that are part of its contract, so that they are the same on every backend.

/// The longest text of a statement, in bytes.
pub const SQL_BYTES: usize = 64 * 1024;
/// The most parameters of a statement.
pub const PARAMETERS: usize = 999;
/// The most statements of a commit.
pub const STATEMENTS: usize = 1_000;
/// The most bytes of a commit: texts, parameters, events and answer together.
pub const COMMIT_BYTES: usize = 16 * 1024 * 1024;
/// The largest single value, in bytes.
pub const VALUE_BYTES: usize = 8 * 1024 * 1024;
/// The most events of a commit.
pub const EVENTS: usize = 1_000;
/// The largest data of an event, in bytes.
pub const EVENT_BYTES: usize = 1024 * 1024;
/// The most rows of a query, or of one step of a cursor.
pub const QUERY_ROWS: usize = 10_000;
/// The most bytes of values of a query, or of one step of a cursor.
pub const RESULT_BYTES: usize = 8 * 1024 * 1024;
/// The longest owner, key or fingerprint, in bytes.
pub const KEY_BYTES: usize = 1024;
