//! Events: publishing from a saga step, events that leave with a keyed commit, and what a subscription receives.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Failure;
use crate::bindings::weft::messaging::producer;
use crate::bindings::weft::sql::types::OutgoingEvent;

pub use crate::bindings::weft::messaging::deliveries::{Delivery, Later, Refusal};
pub use crate::bindings::weft::messaging::types::Event;

/// An event on its way out.
#[derive(Clone, Debug)]
pub struct Outgoing(producer::Outgoing);

impl Outgoing {
    /// An event of CloudEvents type `kind` with JSON data.
    pub fn new<T: Serialize>(topic: &str, kind: &str, data: &T) -> Self {
        // A value of ours that does not serialize (a map with keys that are no strings) is a defect; the host refuses
        // the empty data as not JSON, with a clear error.
        let data = serde_json::to_vec(data).unwrap_or_default();
        Self(producer::Outgoing {
            topic: topic.to_string(),
            id: None,
            type_: kind.to_string(),
            subject: None,
            ordering_key: None,
            correlation_id: None,
            dataschema: None,
            delay_ms: None,
            ttl_ms: None,
            priority: None,
            data,
        })
    }

    /// Sets the CloudEvents subject.
    #[must_use]
    pub fn subject(mut self, subject: &str) -> Self {
        self.0.subject = Some(subject.to_string());
        self
    }

    /// Events with the same ordering key are delivered in order.
    #[must_use]
    pub fn ordering_key(mut self, key: &str) -> Self {
        self.0.ordering_key = Some(key.to_string());
        self
    }

    /// Sets what the event belongs to, usually a saga's key.
    #[must_use]
    pub fn correlation_id(mut self, id: &str) -> Self {
        self.0.correlation_id = Some(id.to_string());
        self
    }

    /// Sets the id that makes a publish repeatable. An event that leaves with a commit gets its id from the commit.
    #[must_use]
    pub fn id(mut self, id: &str) -> Self {
        self.0.id = Some(id.to_string());
        self
    }

    /// Sets the version of its schema: `/schemas/<type>/<version>`.
    #[must_use]
    pub fn dataschema(mut self, schema: &str) -> Self {
        self.0.dataschema = Some(schema.to_string());
        self
    }

    /// Delivered no sooner than after so many milliseconds.
    #[must_use]
    pub fn delay_ms(mut self, delay_ms: u64) -> Self {
        self.0.delay_ms = Some(delay_ms);
        self
    }

    /// Delivered within so many milliseconds, or it is a dead letter.
    #[must_use]
    pub fn ttl_ms(mut self, ttl_ms: u64) -> Self {
        self.0.ttl_ms = Some(ttl_ms);
        self
    }

    /// 0 to 9, 4 by default: a higher one goes first.
    #[must_use]
    pub fn priority(mut self, priority: u8) -> Self {
        self.0.priority = Some(priority);
        self
    }

    /// Publishes from a saga step; `id` is the step's key, so that a repeated publish is the same event.
    pub async fn publish(self, id: String) -> Result<String, Failure> {
        let event = producer::Outgoing { id: Some(id), ..self.0 };
        producer::publish(event).await.map_err(failure)
    }
}

/// Publishes events together, with one flush; all of them are checked before any is taken. Answers their ids.
pub async fn publish_all(events: impl IntoIterator<Item = Outgoing>) -> Result<Vec<String>, Failure> {
    let events: Vec<_> = events.into_iter().map(|event| event.0).collect();
    producer::publish_all(events).await.map_err(failure)
}

fn failure(error: producer::Error) -> Failure {
    match error {
        producer::Error::Unavailable(message) => Failure::unknown(message),
        producer::Error::Denied(message) | producer::Error::Invalid(message) | producer::Error::Full(message) => {
            Failure::not_attempted(message)
        }
    }
}

impl From<Outgoing> for OutgoingEvent {
    fn from(event: Outgoing) -> Self {
        let producer::Outgoing {
            topic,
            id: _,
            type_,
            subject,
            ordering_key,
            correlation_id,
            dataschema,
            delay_ms,
            ttl_ms,
            priority,
            data,
        } = event.0;
        Self { topic, type_, subject, ordering_key, correlation_id, delay_ms, ttl_ms, priority, dataschema, data }
    }
}

/// The data of an event. What cannot be decoded today cannot be tomorrow: it goes to the dead letters.
pub fn decode<T: DeserializeOwned>(event: &Event) -> Result<T, Refusal> {
    serde_json::from_slice(&event.data).map_err(|error| Refusal::Reject(format!("data of {}: {error}", event.type_)))
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Retry(failure.message)
    }
}

impl crate::Fallible for Refusal {
    fn failure(&self) -> Option<&Failure> {
        None
    }

    fn from_failure(failure: Failure) -> Self {
        failure.into()
    }
}

impl From<crate::sql::Error> for Refusal {
    fn from(error: crate::sql::Error) -> Self {
        Failure::from(error).into()
    }
}
