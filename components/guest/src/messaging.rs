//! Events: publishing from a saga step, events that leave with a keyed commit, and what a subscription receives.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Failure;
use crate::bindings::weft::messaging::producer;
use crate::bindings::weft::sql::types::OutgoingEvent;

pub use crate::bindings::exports::subscription::exports::weft::messaging::handler::{Delivery, Refusal};
pub use crate::bindings::weft::messaging::types::Event;

/// An event on its way out.
#[derive(Clone, Debug, Default)]
pub struct Outgoing {
    topic: String,
    kind: String,
    subject: Option<String>,
    ordering_key: Option<String>,
    correlation_id: Option<String>,
    delay_ms: Option<u64>,
    ttl_ms: Option<u64>,
    priority: Option<u8>,
    dataschema: Option<String>,
    data: Vec<u8>,
}

impl Outgoing {
    /// An event of CloudEvents type `kind` with JSON data.
    pub fn new<T: Serialize>(topic: &str, kind: &str, data: &T) -> Self {
        // A value of ours that does not serialize (a map with keys that are no strings) is a defect; the host refuses
        // the empty data as not JSON, with a clear error.
        let data = serde_json::to_vec(data).unwrap_or_default();
        let (topic, kind) = (topic.to_string(), kind.to_string());
        Self { topic, kind, data, ..Self::default() }
    }

    /// Sets the CloudEvents subject.
    #[must_use]
    pub fn subject(mut self, subject: &str) -> Self {
        self.subject = Some(subject.to_string());
        self
    }

    /// Events with the same ordering key are delivered in order.
    #[must_use]
    pub fn ordering_key(mut self, key: &str) -> Self {
        self.ordering_key = Some(key.to_string());
        self
    }

    /// Sets what the event belongs to, usually a saga's key.
    #[must_use]
    pub fn correlation_id(mut self, id: &str) -> Self {
        self.correlation_id = Some(id.to_string());
        self
    }

    /// Not delivered before this time has passed.
    #[must_use]
    pub fn delay_ms(mut self, delay_ms: u64) -> Self {
        self.delay_ms = Some(delay_ms);
        self
    }

    /// Not delivered after this time.
    #[must_use]
    pub fn ttl_ms(mut self, ttl_ms: u64) -> Self {
        self.ttl_ms = Some(ttl_ms);
        self
    }

    /// Higher goes first where a subscription has a backlog.
    #[must_use]
    pub fn priority(mut self, priority: u8) -> Self {
        self.priority = Some(priority);
        self
    }

    /// Sets the CloudEvents dataschema.
    #[must_use]
    pub fn dataschema(mut self, dataschema: &str) -> Self {
        self.dataschema = Some(dataschema.to_string());
        self
    }

    /// Publishes from a saga step; `id` is the step's key, so that a repeated publish is the same event.
    pub async fn publish(self, id: String) -> Result<String, Failure> {
        let Self { topic, kind, subject, ordering_key, correlation_id, data, .. } = self;
        producer::publish(topic, Some(id), kind, subject, ordering_key, correlation_id, data).await.map_err(|error| {
            match error {
                producer::Error::Unavailable(message) => Failure::unknown(message),
                producer::Error::Denied(message) | producer::Error::Invalid(message) => Failure::not_attempted(message),
            }
        })
    }
}

impl From<Outgoing> for OutgoingEvent {
    fn from(event: Outgoing) -> Self {
        let Outgoing {
            topic,
            kind,
            subject,
            ordering_key,
            correlation_id,
            delay_ms,
            ttl_ms,
            priority,
            dataschema,
            data,
        } = event;
        Self { topic, type_: kind, subject, ordering_key, correlation_id, delay_ms, ttl_ms, priority, dataschema, data }
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
