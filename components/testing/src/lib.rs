//! For the tests of projections: their tables as the migrations make them, what they answer to events, and what stands in
//! the tables then. Owns no component; nothing that runs depends on it.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::panic)]

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, params_from_iter};
use serde::Serialize;
use serde_json::{Value as Json, json};
use weft_guest::events::SourceEvent;
use weft_guest::sql::{Statement, Value};

/// A context's database.
pub struct Database(Connection);

impl Database {
    /// An empty one, after these migrations.
    #[must_use]
    pub fn new(migrations: &[&str]) -> Self {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("PRAGMA case_sensitive_like = ON; PRAGMA foreign_keys = ON").unwrap();
        migrations.iter().for_each(|migration| connection.execute_batch(migration).unwrap());
        Self(connection)
    }

    /// Runs statements.
    ///
    /// # Panics
    /// If one is refused.
    pub fn run(&self, statements: &[Statement]) {
        for Statement { sql, parameters, .. } in statements {
            let result = self.0.execute(&numbered(sql), params_from_iter(parameters.iter().map(bound)));
            result.unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
    }

    /// The rows of a query, as arrays.
    ///
    /// # Panics
    /// If it is refused.
    #[must_use]
    pub fn rows(&self, sql: &str, parameters: &[Value]) -> Json {
        let mut statement = self.0.prepare(&numbered(sql)).unwrap_or_else(|error| panic!("{sql}: {error}"));
        let columns = statement.column_count();
        let mut rows = statement.query(params_from_iter(parameters.iter().map(bound))).unwrap();
        let mut all = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            let value = |at| match row.get_ref(at).unwrap() {
                ValueRef::Null => Json::Null,
                ValueRef::Integer(number) => json!(number),
                ValueRef::Real(number) => json!(number),
                ValueRef::Text(text) => json!(String::from_utf8_lossy(text)),
                ValueRef::Blob(bytes) => json!(bytes),
            };
            all.push((0..columns).map(value).collect());
        }
        Json::Array(all)
    }
}

/// An event of the source, the `position`th, at that second.
#[must_use]
pub fn event<T: Serialize>(position: u64, kind: &str, data: &T) -> SourceEvent {
    SourceEvent {
        position,
        id: format!("e{position}"),
        type_: kind.to_owned(),
        topic: kind.to_owned(),
        subject: None,
        time: format!("2026-11-20T08:00:{position:02}.000Z"),
        correlation_id: None,
        data: serde_json::to_vec(data).unwrap(),
    }
}

/// SQLite counts `$2` as a name.
fn numbered(sql: &str) -> String {
    sql.replace('$', "?")
}

fn bound(value: &Value) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(match value {
        Value::Null => ValueRef::Null,
        Value::Boolean(value) => ValueRef::Integer(i64::from(*value)),
        Value::Int64(number) => ValueRef::Integer(*number),
        Value::Float64(number) => ValueRef::Real(*number),
        Value::Text(text) => ValueRef::Text(text.as_bytes()),
        Value::Blob(bytes) => ValueRef::Blob(bytes),
    })
}
