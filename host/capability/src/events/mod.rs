//! The event store: streams of events in a context's database, appended by keyed commits. Here are the words and the
//! contract. The embedded backend is that of [`crate::sql`], the WIT interface is in `glue`, and the suite that any
//! backend has to pass. What is made of the events (projections) is elsewhere.

pub(crate) mod check;
pub mod conformance;
pub mod glue;
pub mod limits;

use futures::future::BoxFuture;

use crate::sql::{Commit, Committed, SqlError};

/// An event on its way into a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// Unique in the context; a UUIDv7 is made without it.
    pub id: Option<String>,
    /// CloudEvents `type`.
    pub kind: String,
    /// Where it is published.
    pub topic: String,
    /// Carried through the whole of one business operation.
    pub correlation_id: Option<String>,
    /// Id of the event or command that brought this one about.
    pub causation_id: Option<String>,
    /// W3C trace context of the commit.
    pub traceparent: Option<String>,
    /// A JSON object.
    pub metadata: Option<Vec<u8>>,
    /// JSON.
    pub data: Vec<u8>,
}

/// An event of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedEvent {
    /// Its place among all events of the context: from 1, ascending in commit order, never used twice.
    pub position: u64,
    /// `<category>-<id>`.
    pub stream: String,
    /// Its place in the stream: from 1, without gaps.
    pub version: u64,
    /// Unique in the context.
    pub id: String,
    /// CloudEvents `type`.
    pub kind: String,
    /// Where it was published.
    pub topic: String,
    /// Milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// Carried through the whole of one business operation.
    pub correlation_id: Option<String>,
    /// Id of the event or command that brought this one about.
    pub causation_id: Option<String>,
    /// A JSON object.
    pub metadata: Option<Vec<u8>>,
    /// JSON.
    pub data: Vec<u8>,
}

/// What a stream has to hold for an append to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpectedVersion {
    /// Whatever it holds.
    Any,
    /// No event yet.
    NoStream,
    /// A last event of this version.
    Exact(u64),
}

/// Events for one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// `<category>-<id>`.
    pub stream: String,
    /// What it has to hold.
    pub expected: ExpectedVersion,
    /// In order; at least one.
    pub events: Vec<NewEvent>,
}

/// What a stream comes to at a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// `<category>-<id>`.
    pub stream: String,
    /// The version of the last event that is in it.
    pub version: u64,
    /// Of the data's form.
    pub form: u32,
    /// The writer's bytes.
    pub data: Vec<u8>,
    /// Milliseconds since the Unix epoch.
    pub time_ms: u64,
}

/// Which way to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Oldest first.
    Forward,
    /// Newest first.
    Backward,
}

/// Which events; all by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Streams whose name begins with `<category>-`.
    pub category: Option<String>,
    /// Any of these types; all if it is empty.
    pub kinds: Vec<String>,
    /// From this time on, in milliseconds since the Unix epoch.
    pub since_ms: Option<u64>,
    /// Before this time.
    pub until_ms: Option<u64>,
}

/// Some events in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// In the order asked for.
    pub events: Vec<RecordedEvent>,
    /// Read on from here; `None` at the end.
    pub next: Option<u64>,
}

/// Why the event store did not do as asked.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum EventStoreError {
    /// Somebody else appended first. Client fault; reading the stream again and deciding anew may help.
    #[error("the stream `{stream}` is at version {actual}, not as expected ({expected:?})")]
    Conflict {
        /// The stream.
        stream: String,
        /// What it should have held.
        expected: ExpectedVersion,
        /// The version of its last event; 0 if it has none.
        actual: u64,
    },
    /// Not a stream, a type, a topic, JSON, or past a limit. Client fault; trying again does not help.
    #[error("{0}")]
    Invalid(String),
    /// As the database says.
    #[error(transparent)]
    Sql(#[from] SqlError),
}

/// The event store of one context.
///
/// The contract, for every backend:
/// * An append is a keyed commit: all that [`crate::sql::Database`] promises of those holds, and the events land with it
///   or not at all. Events of one append are neighbours in their stream; versions have no gaps.
/// * Of two appends that expect the same version, one lands and the other is a conflict. A conflict leaves nothing, not
///   even the key.
/// * Positions ascend in commit order: who has read up to a position never finds an event before it later.
/// * Appended events leave by the outbox of the context in the order of their positions, under their ids.
/// * What was appended stays; there is no retention.
pub trait EventStore: Send + Sync + 'static {
    /// Appends under a key.
    ///
    /// # Errors
    /// [`EventStoreError`].
    fn append(&self, commit: Commit, appends: Vec<Append>) -> BoxFuture<'_, Result<Committed, EventStoreError>>;

    /// At most `limit` events of a stream from `version` on, and at most [`limits::READ_BYTES`]; `limit` is cut to
    /// [`limits::READ`]. The page's `next` is a version.
    ///
    /// # Errors
    /// [`EventStoreError`].
    fn read_stream(
        &self,
        stream: String,
        version: u64,
        direction: Direction,
        limit: u32,
    ) -> BoxFuture<'_, Result<Page, EventStoreError>>;

    /// At most `limit` events of the context from `position` on, and at most [`limits::READ_BYTES`]. `limit` is cut to
    /// [`limits::READ`]; events that the filter leaves out are passed over and do not count. One call passes over a bounded
    /// number, so that a page may be without events and still have a `next`, which is a position.
    ///
    /// # Errors
    /// [`EventStoreError`].
    fn read_all(
        &self,
        position: u64,
        direction: Direction,
        filter: Filter,
        limit: u32,
    ) -> BoxFuture<'_, Result<Page, EventStoreError>>;

    /// The position of the newest event; 0 if there is none.
    ///
    /// # Errors
    /// [`EventStoreError`].
    fn head(&self) -> BoxFuture<'_, Result<u64, EventStoreError>>;

    /// Resolves when there is an event behind `position`.
    fn appended_after(&self, position: u64) -> BoxFuture<'static, ()>;

    /// The version of the stream's last event; 0 if it has none.
    ///
    /// # Errors
    /// [`EventStoreError`].
    fn stream_version(&self, stream: String) -> BoxFuture<'_, Result<u64, EventStoreError>>;

    /// Keeps a snapshot, unless a newer one of the stream is there.
    ///
    /// # Errors
    /// [`EventStoreError`].
    fn save_snapshot(
        &self,
        stream: String,
        version: u64,
        form: u32,
        data: Vec<u8>,
    ) -> BoxFuture<'_, Result<(), EventStoreError>>;

    /// The newest snapshot of a stream.
    ///
    /// # Errors
    /// [`EventStoreError`].
    fn latest_snapshot(&self, stream: String) -> BoxFuture<'_, Result<Option<Snapshot>, EventStoreError>>;
}
