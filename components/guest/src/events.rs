//! The event store of the function's context, and what a projection is given. Events are appended by the effects of
//! commands: [`Effect::append`](crate::operation::Effect::append); loading a stream and deciding on what it comes to is
//! [`aggregate`](crate::aggregate)'s.
//!
//! A type of events can be an enum with `#[serde(tag = "type", content = "data")]`, whose variants are renamed to
//! CloudEvents types: `#[serde(rename = "ledger.deposited")] Deposited { amount: u64 }`.

#[cfg(test)]
pub(crate) mod fake_store;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

#[cfg(not(test))]
use crate::bindings::weft::events::store;
use crate::sql;
#[cfg(test)]
use fake_store as store;

pub use crate::bindings::exports::projection::exports::weft::events::projection::SourceEvent;
pub use crate::bindings::weft::events::types::{
    Direction, ExpectedVersion, Filter, NewEvent, Page, RecordedEvent, Snapshot, StreamAppend, VersionConflict,
};
pub use store::{Error, latest_snapshot, read_all, read_stream, save_snapshot, stream_version};

impl SourceEvent {
    /// The data of the event; an error names the event.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, String> {
        serde_json::from_slice(&self.data)
            .map_err(|error| format!("data of event {} ({}): {error}", self.id, self.type_))
    }

    /// The event as one of an enum; see the [module](self).
    pub fn typed<V: DeserializeOwned>(&self) -> Result<V, String> {
        typed(&self.type_, &self.data).map_err(|error| format!("event {} ({}): {error}", self.id, self.type_))
    }
}

fn typed<V: DeserializeOwned>(kind: &str, data: &[u8]) -> Result<V, serde_json::Error> {
    let data: Value = serde_json::from_slice(data)?;
    V::deserialize(serde_json::json!({ "type": kind, "data": data }))
}

/// Events read at a time.
const PAGE: u32 = 500;

impl NewEvent {
    /// An event of CloudEvents type `kind` with JSON data, published under its type.
    pub fn new<T: Serialize>(kind: &str, data: &T) -> Self {
        // A value of ours that does not serialize is a defect; the host refuses the empty data as not JSON.
        let data = serde_json::to_vec(data).unwrap_or_default();
        Self {
            id: None,
            type_: kind.to_string(),
            topic: None,
            correlation_id: None,
            causation_id: None,
            metadata: None,
            data,
        }
    }

    /// An event of an enum; see the [module](self).
    pub fn typed<V: Serialize>(event: &V) -> Result<Self, sql::Error> {
        let no_event = |what: &str| sql::Error::Invalid(format!("an event is an enum with `type` and `data`: {what}"));
        let value = serde_json::to_value(event).map_err(|error| no_event(&error.to_string()))?;
        let Value::Object(mut parts) = value else { return Err(no_event("it is no object")) };
        let Some(Value::String(kind)) = parts.remove("type") else { return Err(no_event("it has no type")) };
        let data = parts.remove("data").unwrap_or(Value::Null);
        if parts.is_empty() { Ok(Self::new(&kind, &data)) } else { Err(no_event("there is more in it")) }
    }

    /// Published to another topic than its type.
    #[must_use]
    pub fn topic(mut self, topic: &str) -> Self {
        self.topic = Some(topic.to_string());
        self
    }

    /// Sets what is known beside the event; the value has to be an object.
    #[must_use]
    pub fn metadata<T: Serialize>(mut self, metadata: &T) -> Self {
        // As in `new`: the host refuses what does not serialize.
        self.metadata = Some(serde_json::to_vec(metadata).unwrap_or_default());
        self
    }

    /// Sets what the event belongs to, usually a saga's key.
    #[must_use]
    pub fn correlation_id(mut self, id: &str) -> Self {
        self.correlation_id = Some(id.to_string());
        self
    }
}

impl ExpectedVersion {
    /// The version that a stream was read at; 0 if it had no event.
    pub fn after(version: u64) -> Self {
        if version == 0 { Self::NoStream } else { Self::Exact(version) }
    }
}

impl RecordedEvent {
    /// The data of the event; an error names the event.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, sql::Error> {
        serde_json::from_slice(&self.data).map_err(|error| {
            sql::Error::Invalid(format!("data of event {} of {} ({}): {error}", self.version, self.stream, self.type_))
        })
    }

    /// The event as one of an enum; see the [module](self).
    pub fn typed<V: DeserializeOwned>(&self) -> Result<V, sql::Error> {
        typed(&self.type_, &self.data).map_err(|error| {
            sql::Error::Invalid(format!("event {} of {} ({}): {error}", self.version, self.stream, self.type_))
        })
    }
}

/// What a stream comes to, and its version: 0 if it has no event.
pub async fn fold<S>(
    stream: &str,
    state: S,
    evolve: impl Fn(S, &RecordedEvent) -> Result<S, sql::Error>,
) -> Result<(S, u64), sql::Error> {
    fold_after(stream, 0, state, evolve).await
}

/// The same for a state that has the events up to `version` in it.
pub async fn fold_after<S>(
    stream: &str,
    mut version: u64,
    mut state: S,
    evolve: impl Fn(S, &RecordedEvent) -> Result<S, sql::Error>,
) -> Result<(S, u64), sql::Error> {
    let mut from = Some(version + 1);
    while let Some(first) = from {
        let page =
            store::read_stream(stream.to_string(), first, Direction::Forward, PAGE).await.map_err(sql::Error::from)?;
        for event in &page.events {
            state = evolve(state, event)?;
            version = event.version;
        }
        from = page.next;
    }
    Ok((state, version))
}

/// The version of a stream: 0 if it has no event.
pub async fn version(stream: &str) -> Result<u64, sql::Error> {
    store::stream_version(stream.to_string()).await.map_err(sql::Error::from)
}

impl From<store::Error> for sql::Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Sql(error) => error,
            store::Error::Invalid(text) => Self::Invalid(text),
            store::Error::Conflict(conflict) => {
                Self::Invalid(format!("{} has moved on to version {}", conflict.stream, conflict.actual))
            }
        }
    }
}
