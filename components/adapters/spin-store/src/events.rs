//! `weft:events/store`.

use adapter_store::StoreError;
use adapter_store::bindings::weft::events::types::{Direction, Filter, Page, Snapshot, StreamAppend};
use adapter_store::bindings::weft::sql::types::{Committed, OperationKey, OutgoingEvent, Statement};

use crate::SpinStore;
use crate::bindings::exports::weft::events::store as wit;
use crate::instance::{Instance, with};

fn with_events<T>(work: impl FnOnce(&mut Instance) -> Result<T, StoreError>) -> Result<T, wit::Error> {
    let worked = with(work).unwrap_or_else(|error| Err(error.into()));
    worked.map_err(|error| match error {
        StoreError::Conflict(conflict) => wit::Error::Conflict(conflict),
        StoreError::Invalid(text) => wit::Error::Invalid(text),
        StoreError::Sql(error) => wit::Error::Sql(error),
    })
}

impl wit::Guest for SpinStore {
    async fn append(
        key: OperationKey,
        fingerprint: String,
        appends: Vec<StreamAppend>,
        statements: Vec<Statement>,
        events: Vec<OutgoingEvent>,
        answer: Vec<u8>,
    ) -> Result<Committed, wit::Error> {
        with_events(|store| store.append(&key, &fingerprint, &appends, statements, &events, answer))
    }

    async fn read_stream(stream: String, version: u64, direction: Direction, limit: u32) -> Result<Page, wit::Error> {
        with_events(|store| store.read_stream(&stream, version, direction, limit))
    }

    async fn read_all(position: u64, direction: Direction, filter: Filter, limit: u32) -> Result<Page, wit::Error> {
        with_events(|store| store.read_all(position, direction, &filter, limit))
    }

    async fn stream_version(stream: String) -> Result<u64, wit::Error> {
        with_events(|store| store.stream_version(&stream))
    }

    async fn save_snapshot(stream: String, version: u64, form: u32, data: Vec<u8>) -> Result<(), wit::Error> {
        with_events(|store| store.save_snapshot(&stream, version, form, data))
    }

    async fn latest_snapshot(stream: String) -> Result<Option<Snapshot>, wit::Error> {
        with_events(|store| store.latest_snapshot(&stream))
    }
}
