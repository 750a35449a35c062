//! The event store of the function's context, and what a projection is given. Events are appended by the effects of
//! commands: [`Effect::append`](crate::operation::Effect::append).

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::weft::events::store;
use crate::sql;

pub use crate::bindings::exports::projection::exports::weft::events::projection::SourceEvent;
pub use crate::bindings::weft::events::types::{
    Direction, ExpectedVersion, Filter, NewEvent, Page, RecordedEvent, Snapshot, StreamAppend, VersionConflict,
};

impl SourceEvent {
    /// The data of the event; an error names the event.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, String> {
        serde_json::from_slice(&self.data)
            .map_err(|error| format!("data of event {} ({}): {error}", self.id, self.type_))
    }
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

    /// Published to another topic than its type.
    #[must_use]
    pub fn topic(mut self, topic: &str) -> Self {
        self.topic = Some(topic.to_string());
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
}

/// What a stream comes to, and its version: 0 if it has no event.
pub async fn fold<S>(
    stream: &str,
    mut state: S,
    evolve: impl Fn(S, &RecordedEvent) -> Result<S, sql::Error>,
) -> Result<(S, u64), sql::Error> {
    let (mut version, mut from) = (0, Some(1));
    while let Some(first) = from {
        let page = store::read_stream(stream.to_string(), first, Direction::Forward, PAGE).await.map_err(read_error)?;
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
    store::stream_version(stream.to_string()).await.map_err(read_error)
}

fn read_error(error: store::Error) -> sql::Error {
    match error {
        store::Error::Sql(error) => error,
        store::Error::Invalid(text) => sql::Error::Invalid(text),
        // Nobody reads with an expectation.
        store::Error::Conflict(conflict) => sql::Error::Invalid(format!("{} cannot be read", conflict.stream)),
    }
}
