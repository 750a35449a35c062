//! Messaging: events out of the outboxes of keyed commits and of `publish`, delivered at least once to subscriptions.
//! Here are the words and the contract; [`embedded`] is the backend without a server, [`conformance`] the suite that
//! every backend has to pass, [`glue`] the WIT interface. Running a handler is [`Deliver`]'s, policy on it the mesh's.

mod bound;
pub mod conformance;
mod dead_letter;
mod delivery;
pub mod embedded;
mod event;
mod event_bytes;
mod forwarder;
pub mod glue;
mod history;
mod letters;
mod message_log;
mod progress;
mod pump;
mod queue;
mod recent;
mod retention;
mod unsaved;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;

use weft_core::Failure;

use crate::outbox::OutboxSource;

pub use dead_letter::{DeadLetter, DeadLetterFilter};
pub use delivery::{Deliver, Delivery, DeliveryError, Subscription, SubscriptionStatus};
pub(crate) use event::rfc3339;
pub use event::{DEFAULT_PRIORITY, Event, EventError, Handling, MAX_DATA_BYTES, MAX_ID_BYTES, to_cloudevent_json};
pub use history::{EventFilter, EventPage, ReadFrom};

/// The most events of one [`Broker::publish_all`].
pub const MAX_PUBLISHED: usize = 1_000;

/// Why an event was not published, or a dead letter not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// Not a topic, not JSON, not as its schema wants it, too large.
    #[error(transparent)]
    Invalid(#[from] EventError),
    /// A work queue that covers the topic has no room.
    #[error("the queue {subscription} has its {max_length} events; publish again later")]
    Full {
        /// Its id.
        subscription: Arc<str>,
        /// How many may wait.
        max_length: u32,
    },
    /// The backend did not answer.
    #[error(transparent)]
    Unavailable(#[from] Failure),
}

/// Events and who gets them.
///
/// The contract, kept by every backend:
/// * An event whose publishing was answered is durable. An id of one source is taken once: publishing it again within
///   the window answers as the first time did and delivers nothing more. (It saves work. What protects an effect is the
///   handler's keyed commit.)
/// * Events of an outbox come in commit order, each once, and are taken from the outbox when they are durable here.
/// * Every event is delivered to each subscription whose pattern covers its topic, at least once, until the handler
///   takes it or it is a dead letter. What was taken may come again after a crash, never without one. Subscriptions of
///   one group count as one: each event goes to one of them.
/// * With `order = "key"`, events with the same ordering key come one after the other, in order, retries included; those
///   of other keys and those without one are not held up by them. A delayed event takes its place when it is due.
/// * After `max_attempts` refusals, a rejection, or its time to live, the event is a dead letter. The next one of its key
///   follows, or waits for the letter, as `when_dead` has it.
/// * A subscription keeps its place under its id, and whether it is paused. A new one begins where its rules say.
pub trait Broker: Debug + Send + Sync + 'static {
    /// Publishes an event; it is durable when this answers.
    fn publish(&self, event: Event) -> BoxFuture<'_, Result<(), PublishError>>;

    /// Publishes at most [`MAX_PUBLISHED`] events in this order; they are durable when this answers. All are checked
    /// before any is taken, so a refusal takes none; if the backend fails in the middle, some may have been taken.
    fn publish_all(&self, events: Vec<Event>) -> BoxFuture<'_, Result<(), PublishError>>;

    /// Forwards the events of an outbox until [`Broker::shutdown`].
    fn forward(&self, outbox: Arc<dyn OutboxSource>);

    /// Makes `subscriptions` the ones that are served. Those that were served and are not in the list end after the
    /// deliveries that run; those in it whose rules changed go on with the new ones.
    fn serve(&self, subscriptions: Vec<Subscription>, deliver: Arc<dyn Deliver>) -> BoxFuture<'_, Result<(), Failure>>;

    /// How the served subscriptions stand.
    fn status(&self) -> Vec<SubscriptionStatus>;

    /// Why events cannot be taken, if that is so.
    fn unhealthy(&self) -> Option<String>;

    /// At most `limit` events from a place on, oldest first.
    fn read(&self, from: ReadFrom, filter: EventFilter, limit: usize) -> BoxFuture<'_, Result<EventPage, Failure>>;

    /// At most `limit` events before a place, newest first.
    fn read_back(
        &self,
        before: ReadFrom,
        filter: EventFilter,
        limit: usize,
    ) -> BoxFuture<'_, Result<EventPage, Failure>>;

    /// Everything from this position on is kept. Whoever reads on from before it may have missed events.
    fn kept_from(&self) -> u64;

    /// The position behind the newest durable event: where a page that reached the end has its `next`.
    fn head(&self) -> u64;

    /// Resolves when there are durable events at `position` or behind it: at once, if there are already. Of a broker that
    /// is gone it never resolves.
    fn published_after(&self, position: u64) -> BoxFuture<'static, ()>;

    /// Starts no more deliveries of a served subscription until [`Broker::resume`], over restarts as well. Answers false
    /// if it is not served.
    fn pause(&self, subscription: &str) -> BoxFuture<'_, Result<bool, Failure>>;

    /// Goes on with a subscription that was paused. Answers false if it is not served.
    fn resume(&self, subscription: &str) -> BoxFuture<'_, Result<bool, Failure>>;

    /// Goes on at another place: what is not settled is forgotten, and what was settled behind the place comes again.
    /// Dead letters stay. Answers false if it is not served.
    fn seek(&self, subscription: &str, to: ReadFrom) -> BoxFuture<'_, Result<bool, Failure>>;

    /// Dead letters, oldest first, without their data; at most `limit`.
    fn dead_letters(&self, filter: DeadLetterFilter, limit: usize) -> BoxFuture<'_, Result<Vec<DeadLetter>, Failure>>;

    /// One dead letter with its data.
    fn dead_letter(&self, id: i64) -> BoxFuture<'_, Result<Option<DeadLetter>, Failure>>;

    /// Changes the data of a dead letter, which has to be an event as [`Broker::publish`] takes it. Answers false if there
    /// is none, or it is being replayed.
    fn edit(&self, id: i64, data: Bytes) -> BoxFuture<'_, Result<bool, PublishError>>;

    /// Delivers dead letters again, with fresh attempts, to the subscription they come from, now or as soon as it is
    /// served. Answers how many.
    fn replay(&self, filter: DeadLetterFilter) -> BoxFuture<'_, Result<usize, Failure>>;

    /// Forgets dead letters. Answers how many. One that is being replayed stays.
    fn purge(&self, filter: DeadLetterFilter) -> BoxFuture<'_, Result<usize, Failure>>;

    /// Starts no more deliveries, waits at most `grace` for those that run, notes what was settled, and closes. What
    /// was cut off comes again after the next start.
    fn shutdown(&self, grace: Duration) -> BoxFuture<'_, ()>;
}
