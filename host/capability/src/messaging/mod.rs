//! Messaging: events out of the outboxes of keyed commits and of `publish`, delivered at least once to subscriptions.
//! Here are the words and the contract; [`embedded`] is the backend without a server, [`conformance`] the suite that
//! every backend has to pass, [`glue`] the WIT interface. Running a handler is [`Deliver`]'s, policy on it the mesh's.

pub mod conformance;
mod dead_letter;
pub mod embedded;
mod event;
mod forwarder;
pub mod glue;
mod message_log;
mod progress;
mod pump;
mod queue;
mod retention;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use weft_core::{Failure, Trace, manifest};

use crate::outbox::OutboxSource;

pub use dead_letter::{DeadLetter, DeadLetterFilter};
pub use event::{Event, EventError, MAX_DATA_BYTES, MAX_ID_BYTES, to_cloudevent_json};

/// A subscription of one component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The component that handles the events.
    pub component: Arc<str>,
    /// Topic, retries, concurrency, start.
    pub rules: manifest::Subscription,
}

impl Subscription {
    /// `<component>/<name>`: what its place in the log is kept under.
    #[must_use]
    pub fn id(&self) -> Arc<str> {
        format!("{}/{}", self.component, self.rules.name).into()
    }
}

/// One delivery of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The event.
    pub event: Arc<Event>,
    /// 1 for the first delivery.
    pub attempt: u32,
    /// The subscription's name.
    pub subscription: Arc<str>,
    /// The span of this delivery: in the trace of the publisher, or in a new one.
    pub trace: Trace,
}

/// Why a delivery did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// The handler asks for another delivery later.
    #[error("the handler asks to try again: {0}")]
    Retry(String),
    /// The handler never wants the event again.
    #[error("the handler refuses the event: {0}")]
    Reject(String),
    /// The handler did not answer. A delivery that was never attempted because the host has no room, the handler is
    /// not available, or the host goes down, does not count as an attempt.
    #[error(transparent)]
    Failed(Failure),
}

/// Runs a handler.
pub trait Deliver: Send + Sync + 'static {
    /// Resolves when the handler has answered. It has to end by itself (a deadline); dropping it gives it up.
    fn deliver(&self, component: &str, delivery: Delivery) -> BoxFuture<'static, Result<(), DeliveryError>>;
}

/// Why an event was not published.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// Not a topic, not JSON, too large.
    #[error(transparent)]
    Invalid(#[from] EventError),
    /// The backend did not answer.
    #[error(transparent)]
    Unavailable(#[from] Failure),
}

/// How a subscription stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionStatus {
    /// `<component>/<name>`.
    pub id: Arc<str>,
    /// Events read from the log that are not settled yet.
    pub waiting: u64,
    /// Bytes of the log behind the newest event read; 0 if all are read.
    pub unread_bytes: u64,
    /// Deliveries that run now.
    pub in_flight: u64,
    /// Deliveries that succeeded since the host started.
    pub delivered: u64,
    /// Deliveries that did not, since the host started.
    pub failed: u64,
    /// Why it goes no further, if it has stopped by itself.
    pub stopped: Option<String>,
}

/// Events and who gets them.
///
/// The contract, kept by every backend:
/// * An event whose publishing was answered is durable. An id of one source is taken once: publishing it again soon
///   answers as the first time did and delivers nothing more. (How soon is the backend's: it saves work. What protects
///   an effect is the handler's keyed commit.)
/// * Events of an outbox come in commit order, each once, and are taken from the outbox when they are durable here.
/// * Every event is delivered to each subscription whose pattern covers its topic, at least once, until the handler
///   takes it or it is a dead letter. What was taken may come again after a crash, never without one.
/// * Events with the same ordering key come one after the other, in order, retries included; those of other keys and
///   those without one are not held up by them.
/// * After `max_attempts` refusals, or a rejection, the event is a dead letter, and the next one of its key follows.
/// * A subscription keeps its place under its id. A new one begins where its rules say.
pub trait Broker: Debug + Send + Sync + 'static {
    /// Publishes an event; it is durable when this answers.
    fn publish(&self, event: Event) -> BoxFuture<'_, Result<(), PublishError>>;

    /// Forwards the events of an outbox until [`Broker::shutdown`].
    fn forward(&self, outbox: Arc<dyn OutboxSource>);

    /// Makes `subscriptions` the ones that are served. Those that were served and are not in the list end after the
    /// deliveries that run; those in it whose rules changed go on with the new ones.
    fn serve(&self, subscriptions: Vec<Subscription>, deliver: Arc<dyn Deliver>) -> BoxFuture<'_, Result<(), Failure>>;

    /// How the served subscriptions stand.
    fn status(&self) -> Vec<SubscriptionStatus>;

    /// Why events cannot be taken, if that is so.
    fn unhealthy(&self) -> Option<String>;

    /// Dead letters, oldest first, without their data; at most `limit`.
    fn dead_letters(&self, filter: DeadLetterFilter, limit: usize) -> BoxFuture<'_, Result<Vec<DeadLetter>, Failure>>;

    /// One dead letter with its data.
    fn dead_letter(&self, id: i64) -> BoxFuture<'_, Result<Option<DeadLetter>, Failure>>;

    /// Delivers dead letters again, with fresh attempts, to the subscription they come from, now or as soon as it is
    /// served. Answers how many.
    fn replay(&self, filter: DeadLetterFilter) -> BoxFuture<'_, Result<usize, Failure>>;

    /// Forgets dead letters. Answers how many. One that is being replayed stays.
    fn purge(&self, filter: DeadLetterFilter) -> BoxFuture<'_, Result<usize, Failure>>;

    /// Starts no more deliveries, waits at most `grace` for those that run, notes what was settled, and closes. What
    /// was cut off comes again after the next start.
    fn shutdown(&self, grace: Duration) -> BoxFuture<'_, ()>;
}
