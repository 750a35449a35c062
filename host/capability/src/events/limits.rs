//! The limits of the event store that are part of its contract, so that they are the same on every backend.

/// Most events in one answer.
pub const READ: u32 = 1_000;
/// Most bytes of data and metadata in one answer; one event always fits.
pub const READ_BYTES: usize = 8 * 1024 * 1024;
/// The most events of a commit.
pub const EVENTS: usize = 1_000;
/// The longest name of a stream, in bytes.
pub const STREAM_BYTES: usize = 255;
/// The longest type, id, correlation id and causation id, in bytes each.
pub const NAME_BYTES: usize = 255;
/// The largest data of an event, in bytes.
pub const DATA_BYTES: usize = 256 * 1024;
/// The largest metadata of an event, in bytes.
pub const METADATA_BYTES: usize = 16 * 1024;
/// The largest snapshot, in bytes.
pub const SNAPSHOT_BYTES: usize = 8 * 1024 * 1024;
/// The most types of a filter.
pub const FILTER_TYPES: usize = 100;
