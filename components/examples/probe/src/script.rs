//! The language of scripts: one action, which may hold others. An answer is the host's own, as JSON: `{"Ok": …}` or
//! `{"Err": …}` in the words of the WIT interface.

use std::future::Future;
use std::pin::Pin;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use weft_guest::clock;
use weft_guest::futures::future::join_all;
use weft_guest::sql::{OutgoingEvent, Statement, Value};

use crate::{effects, sql};

/// One thing to do.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// `database.query`.
    Query { sql: String, parameters: Vec<Value> },
    /// `database.commit` with the owner `probe`.
    Commit { key: String, fingerprint: String, statements: Vec<Statement>, events: Vec<OutgoingEvent> },
    /// `database.recorded`.
    Recorded { key: String },
    /// `database.revoke`.
    Revoke { key: String, statements: Vec<Statement> },
    /// Reads all of a result by a cursor, and answers a digest of it.
    Cursor { sql: String, parameters: Vec<Value>, max_rows: u32 },
    /// Opens a transaction, runs statements in it, does something else meanwhile, and ends it.
    Transaction { execute: Vec<Statement>, meanwhile: Vec<Action>, end: End },
    /// `behaviour.act` of the callee.
    Call { key: String, what: String },
    /// `behaviour.act` of the callee with a key of so many bytes, so many times together.
    CallLarge { bytes: usize, times: usize, what: String },
    /// `producer.publish`.
    Publish { topic: String },
    /// `client.send`: GET.
    Get { url: String },
    /// Opens a key-value store, and writes and reads one key.
    KeyValue { store: String, key: String },
    /// Opens a database of `spin:sqlite`, and runs one statement.
    Sqlite { database: String, sql: String },
    /// `variables.get`.
    Variable { name: String },
    /// Waits.
    Sleep { ms: u64 },
    /// All of them at the same time.
    Together(Vec<Action>),
    /// One after the other.
    InTurn(Vec<Action>),
}

/// How a transaction ends.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// `transaction.commit`.
    Commit,
    /// `transaction.rollback`.
    Rollback,
    /// The handle is dropped.
    Drop,
}

/// Does it, and answers what came of it.
pub fn run(action: Action) -> Pin<Box<dyn Future<Output = Json>>> {
    Box::pin(async move {
        match action {
            Action::Query { sql, parameters } => sql::query(sql, parameters).await,
            Action::Commit { key, fingerprint, statements, events } => {
                sql::commit(key, fingerprint, statements, events).await
            }
            Action::Recorded { key } => sql::recorded(key).await,
            Action::Revoke { key, statements } => sql::revoke(key, statements).await,
            Action::Cursor { sql, parameters, max_rows } => sql::cursor(sql, parameters, max_rows).await,
            Action::Transaction { execute, meanwhile, end } => sql::transaction(execute, meanwhile, end).await,
            Action::Call { key, what } => effects::call(key, what).await,
            Action::CallLarge { bytes, times, what } => effects::call_large(bytes, times, &what).await,
            Action::Publish { topic } => effects::publish(topic).await,
            Action::Get { url } => effects::get(&url).await,
            Action::KeyValue { store, key } => effects::key_value(store, key).await,
            Action::Sqlite { database, sql } => effects::sqlite(&database, &sql),
            Action::Variable { name } => effects::variable(name).await,
            Action::Sleep { ms } => {
                clock::sleep_ms(ms).await;
                Json::Null
            }
            Action::Together(actions) => join_all(actions.into_iter().map(run)).await.into(),
            Action::InTurn(actions) => in_turn(actions).await.into(),
        }
    })
}

/// Does one after the other.
pub async fn in_turn(actions: Vec<Action>) -> Vec<Json> {
    let mut answers = Vec::with_capacity(actions.len());
    for action in actions {
        answers.push(run(action).await);
    }
    answers
}

/// The host's answer as JSON.
pub fn told<T: Serialize, E: Serialize>(answer: Result<T, E>) -> Json {
    serde_json::to_value(answer).unwrap_or_else(|error| format!("the answer is no JSON: {error}").into())
}
