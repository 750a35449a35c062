//! Where a context's database and the message log meet: events of a keyed commit wait in the database's outbox, in
//! commit order, until the message log has them on disk. The database is the authority; the log is completed from it.

use futures::future::BoxFuture;

use weft_core::Failure;

/// An event that left with a commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutboxEvent {
    /// Position in the outbox: commit order, ascending, never used twice.
    pub position: i64,
    /// CloudEvents `id`: UUIDv7, made by the commit.
    pub id: String,
    /// CloudEvents `source`: `/<context>/<owner>`.
    pub source: String,
    /// The topic.
    pub topic: String,
    /// CloudEvents `type`.
    pub kind: String,
    /// CloudEvents `subject`.
    pub subject: Option<String>,
    /// Events with the same ordering key are delivered in commit order.
    pub ordering_key: Option<String>,
    /// Carried through the whole of one business operation.
    pub correlation_id: Option<String>,
    /// W3C trace context of the commit.
    pub traceparent: Option<String>,
    /// Milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// Not delivered before this many milliseconds have passed since `time_ms`.
    pub delay_ms: Option<u64>,
    /// Not delivered after this many milliseconds since `time_ms`.
    pub ttl_ms: Option<u64>,
    /// Higher goes first where a subscription has a backlog.
    pub priority: Option<u8>,
    /// CloudEvents `dataschema`.
    pub dataschema: Option<String>,
    /// JSON.
    pub data: Vec<u8>,
}

/// The outbox of one context.
pub trait OutboxSource: Send + Sync + 'static {
    /// The context's name.
    fn context(&self) -> &str;
    /// Resolves when a commit with events has happened since the last call of `pending` (or at once, if unsure).
    fn changed(&self) -> BoxFuture<'_, ()>;
    /// At most `limit` waiting events, oldest first.
    fn pending(&self, limit: usize) -> BoxFuture<'_, Result<Vec<OutboxEvent>, Failure>>;
    /// Removes events up to and including `position`: the message log has them on disk. Need not be flushed.
    fn forwarded(&self, position: i64) -> BoxFuture<'_, Result<(), Failure>>;
}
