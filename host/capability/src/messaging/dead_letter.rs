//! Dead letters: events that a subscription could not deliver, as an operator sees them.

use std::sync::Arc;

use super::Event;

/// An event that a subscription gave up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its number, ascending.
    pub id: i64,
    /// The subscription: [`super::Subscription::id`].
    pub subscription: Arc<str>,
    /// The digest of the component that was called last, if one was.
    pub digest: Option<Arc<str>>,
    /// The event.
    pub event: Event,
    /// Why the last delivery failed.
    pub error: String,
    /// How many deliveries were attempted since it was published, or replayed last.
    pub attempts: u32,
    /// W3C trace context of the last one.
    pub traceparent: String,
    /// When the last one failed, in milliseconds since the Unix epoch.
    pub failed_at_ms: u64,
    /// Whether it is being delivered again.
    pub replaying: bool,
}

/// Which dead letters; all without any restriction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLetterFilter {
    /// Only of this subscription ([`super::Subscription::id`]).
    pub subscription: Option<String>,
    /// Only this one.
    pub id: Option<i64>,
}
