//! The suite that every backend of the sql capability has to pass. A backend gives a [`Backend`] and runs
//! [`run_all`] in a test; each check works in tables and keys of its own. What only one engine has (files, flushes,
//! crashes) is tested where that engine is.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a suite of checks fails by panicking")]

mod keyed;
pub mod model;
mod reading;
mod sandbox;
mod transactions;
mod values;

use std::sync::Arc;
use std::time::Duration;

use super::{Commit, Database, OperationKey, OutgoingEvent, Rows, SqlError, Statement, Value};
use crate::outbox::OutboxSource;

/// The schema that the suite needs, as a migration.
pub const MIGRATION: &str = "
CREATE TABLE items (id TEXT PRIMARY KEY, amount BIGINT NOT NULL DEFAULT 0);
CREATE TABLE kinds (
    id BIGINT PRIMARY KEY, flag BOOLEAN, whole BIGINT, fraction DOUBLE PRECISION, words TEXT, bytes BYTEA
);
CREATE TABLE parents (id BIGINT PRIMARY KEY);
CREATE TABLE rules (
    id BIGINT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    parent BIGINT REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED,
    age BIGINT,
    CONSTRAINT grown_up CHECK (age >= 18)
);
CREATE TABLE numbers (n BIGINT PRIMARY KEY);
CREATE TABLE effects (key TEXT NOT NULL, value BIGINT NOT NULL);
";

/// A backend under test, opened inside the runtime in which the suite runs, with [`MIGRATION`] applied to two contexts.
pub trait Backend: Send + Sync {
    /// The database of the context under test, the same at each call.
    fn database(&self) -> Arc<dyn Database>;
    /// Its outbox.
    fn outbox(&self) -> Arc<dyn OutboxSource>;
    /// Moves the backend's clock on.
    fn advance(&self, by: Duration);
}

/// Runs the whole suite.
///
/// # Panics
/// If the backend breaks the contract.
pub async fn run_all(backend: &dyn Backend) {
    values::run(backend).await;
    reading::run(backend).await;
    sandbox::run(backend).await;
    keyed::run(backend).await;
    transactions::run(backend).await;
}

fn statement(sql: &str, parameters: impl IntoIterator<Item = Value>) -> Statement {
    Statement::new(sql, parameters.into_iter().collect())
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn key(key: &str) -> OperationKey {
    OperationKey::new("conformance", key)
}

/// A commit without events whose fingerprint is `f`.
fn commit(name: &str, statements: impl IntoIterator<Item = Statement>) -> Commit {
    Commit {
        key: key(name),
        fingerprint: "f".to_owned(),
        statements: statements.into_iter().collect(),
        events: Vec::new(),
        answer: name.as_bytes().to_vec(),
    }
}

fn event(topic: &str, data: &str) -> OutgoingEvent {
    OutgoingEvent {
        topic: topic.to_owned(),
        kind: "tested".to_owned(),
        data: data.as_bytes().to_vec(),
        ..OutgoingEvent::default()
    }
}

async fn query(
    database: &dyn Database,
    sql: &str,
    parameters: impl IntoIterator<Item = Value> + Send,
) -> Result<Rows, SqlError> {
    let parameters = parameters.into_iter().collect();
    database.query(sql.to_owned(), parameters).await
}

/// The one value of a query.
async fn one(database: &dyn Database, sql: &str, parameters: impl IntoIterator<Item = Value> + Send) -> Value {
    let rows = query(database, sql, parameters).await.unwrap();
    assert_eq!((rows.rows.len(), rows.columns.len()), (1, 1), "{sql}");
    rows.rows[0][0].clone()
}

/// Moves the clock on until `future` is ready, for what only time can end.
async fn past_its_time<T>(backend: &dyn Backend, future: impl Future<Output = T>) -> T {
    futures::pin_mut!(future);
    loop {
        if let Some(value) = futures::future::poll_immediate(&mut future).await {
            return value;
        }
        backend.advance(Duration::from_millis(500));
        tokio::task::yield_now().await;
    }
}
