//! The suite that every backend of the event store has to pass, besides that of the database that it lies in. A backend
//! gives a [`Backend`] and runs [`run_all`] in a test; each check works in streams and keys of its own, but reads among
//! the events of all. Crashes are tested where the backend is.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a suite of checks fails by panicking")]

mod appending;
pub mod model;
mod reading;

use std::sync::Arc;

use super::{Append, EventStore, EventStoreError, ExpectedVersion, NewEvent, RecordedEvent};
use crate::sql::conformance as sql;
use crate::sql::{Commit, Committed, OperationKey};

/// A backend under test, with the migration of the database's suite applied.
pub trait Backend: sql::Backend {
    /// The event store in the database under test, the same at each call.
    fn store(&self) -> Arc<dyn EventStore>;
}

/// Runs the whole suite.
///
/// # Panics
/// If the backend breaks the contract.
pub async fn run_all(backend: &dyn Backend) {
    appending::run(backend).await;
    reading::run(backend).await;
}

/// A commit with nothing but its key.
fn keyed(key: &str) -> Commit {
    Commit {
        key: OperationKey::new("events", key),
        fingerprint: "f".to_owned(),
        statements: Vec::new(),
        events: Vec::new(),
        answer: key.as_bytes().to_vec(),
    }
}

/// An event whose data is its number.
fn event(kind: &str, number: u64) -> NewEvent {
    NewEvent {
        id: None,
        kind: kind.to_owned(),
        topic: format!("tested.{kind}"),
        correlation_id: None,
        causation_id: None,
        traceparent: None,
        metadata: None,
        data: number.to_string().into_bytes(),
    }
}

fn append(stream: &str, expected: ExpectedVersion, numbers: std::ops::Range<u64>) -> Append {
    Append { stream: stream.to_owned(), expected, events: numbers.map(|number| event("made", number)).collect() }
}

/// Appends under a key that nobody else has.
async fn append_one(backend: &dyn Backend, append: Append) -> Result<Committed, EventStoreError> {
    backend.store().append(keyed(&weft_core::id::new_id()), vec![append]).await
}

/// The numbers in the data of events.
fn numbers(events: &[RecordedEvent]) -> Vec<u64> {
    events.iter().map(|event| std::str::from_utf8(&event.data).unwrap().parse().unwrap()).collect()
}
