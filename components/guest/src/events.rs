//! The event store of the function's context, and what a projection is given. Events are appended by commands through
//! [`aggregate`](crate::aggregate).

use serde::de::DeserializeOwned;

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
