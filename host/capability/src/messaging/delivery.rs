//! Who gets events, one delivery of one event, what became of it, and how a subscription stands.

use std::sync::Arc;

use futures::future::BoxFuture;

use weft_core::{Failure, Trace, manifest};

use super::Event;

/// A subscription of one component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The component that handles the events.
    pub component: Arc<str>,
    /// Topic, retries, concurrency, start.
    pub rules: manifest::Subscription,
}

impl Subscription {
    /// What its place in the log is kept under: `<component>/<name>`, or `@<group>`, which all of a group share.
    #[must_use]
    pub fn id(&self) -> Arc<str> {
        match &self.rules.group {
            Some(group) => format!("@{group}").into(),
            None => format!("{}/{}", self.component, self.rules.name).into(),
        }
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
    /// The handler asks for another delivery after a time of its own choice. It counts as an attempt.
    #[error("the handler asks to try again in {delay_ms} ms: {message}")]
    RetryAfter {
        /// Why.
        message: String,
        /// When, in milliseconds from now.
        delay_ms: u64,
    },
    /// The handler never wants the event again.
    #[error("the handler refuses the event: {0}")]
    Reject(String),
    /// The handler did not answer. A delivery that was never attempted because the host has no room, the handler is
    /// not available, or the host goes down, does not count as an attempt.
    #[error(transparent)]
    Failed(Failure),
}

/// Runs a handler. What is answered is polled beside the subscription's own work: heavy work belongs on a task.
pub trait Deliver: Send + Sync + 'static {
    /// Resolves when the handler has answered. It has to end by itself (a deadline); dropping it gives it up.
    fn deliver(&self, component: &str, delivery: Delivery) -> BoxFuture<'static, Result<(), DeliveryError>>;

    /// As [`Deliver::deliver`] for several events in one call of the handler; answers for each, in their order. Asked of
    /// a subscription with a `batch` greater than 1, also for a single event.
    fn deliver_batch(
        &self,
        component: &str,
        deliveries: Vec<Delivery>,
    ) -> BoxFuture<'static, Vec<Result<(), DeliveryError>>> {
        let each: Vec<_> = deliveries.into_iter().map(|delivery| self.deliver(component, delivery)).collect();
        Box::pin(futures::future::join_all(each))
    }

    /// The digest of a component, for dead letters.
    fn digest(&self, _component: &str) -> Option<Arc<str>> {
        None
    }
}

/// How a subscription stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionStatus {
    /// [`Subscription::id`].
    pub id: Arc<str>,
    /// `<component>/<name>` of everyone who is served under this id: one, or the members of the group.
    pub members: Vec<Arc<str>>,
    /// Events read from the log that are not settled yet.
    pub waiting: u64,
    /// Events that are set aside: delayed, or held by a dead letter of their key.
    pub parked: u64,
    /// Bytes of the log behind the newest event read; 0 if all are read.
    pub unread_bytes: u64,
    /// Events that are not settled, those that are not read included, which may be of other topics: about so many.
    pub lag: u64,
    /// Deliveries that run now.
    pub in_flight: u64,
    /// Calls of the handler that may run at once now.
    pub instances: u64,
    /// Deliveries that succeeded since the host started.
    pub delivered: u64,
    /// Deliveries that did not, since the host started.
    pub failed: u64,
    /// Whether it is paused.
    pub paused: bool,
    /// Why it goes no further at the moment; it tries again by itself.
    pub stopped: Option<String>,
}
