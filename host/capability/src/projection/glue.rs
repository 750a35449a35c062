//! `weft:events/projection`, which a component with a projection exports: its values as wasmtime moves them. Calling it
//! is the engine's.

use wasmtime::component::{ComponentType, Lift, Lower};

use super::SourceEvent;
use crate::messaging::rfc3339;
use crate::sql;

/// The interface that a component with a projection exports.
pub const PROJECTION: &str = "weft:events/projection@0.1.0";
/// The one function in it.
pub const PROJECT: &str = "project";

/// `source-event`.
#[derive(Clone, Debug, ComponentType, Lower)]
#[component(record)]
pub struct Event {
    position: u64,
    id: String,
    #[component(name = "type")]
    kind: String,
    topic: String,
    subject: Option<String>,
    time: String,
    #[component(name = "correlation-id")]
    correlation_id: Option<String>,
    data: Vec<u8>,
}

/// `weft:sql/types.value`; a case for each kind of value.
#[allow(missing_docs, reason = "the cases are those of WIT")]
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(variant)]
pub enum Value {
    #[component(name = "null")]
    Null,
    #[component(name = "boolean")]
    Boolean(bool),
    #[component(name = "int64")]
    Int64(i64),
    #[component(name = "float64")]
    Float64(f64),
    #[component(name = "text")]
    Text(String),
    #[component(name = "blob")]
    Blob(Vec<u8>),
}

/// `weft:sql/types.statement`.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub struct Statement {
    sql: String,
    parameters: Vec<Value>,
    #[component(name = "expected-rows")]
    expected_rows: Option<u64>,
}

/// The parameters of `project`.
pub type Parameters = (Vec<Event>,);
/// Its results.
pub type Results = (Result<Vec<Statement>, String>,);

impl From<&SourceEvent> for Event {
    fn from(event: &SourceEvent) -> Self {
        Self {
            position: event.position,
            id: event.id.clone(),
            kind: event.kind.clone(),
            topic: event.topic.clone(),
            subject: event.subject.clone(),
            time: rfc3339(event.time_ms),
            correlation_id: event.correlation_id.clone(),
            data: event.data.to_vec(),
        }
    }
}

impl From<Statement> for sql::Statement {
    fn from(statement: Statement) -> Self {
        Self {
            sql: statement.sql,
            parameters: statement.parameters.into_iter().map(sql::Value::from).collect(),
            expected_rows: statement.expected_rows,
        }
    }
}

impl From<Value> for sql::Value {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Boolean(value) => Self::Boolean(value),
            Value::Int64(value) => Self::Int64(value),
            Value::Float64(value) => Self::Float64(value),
            Value::Text(value) => Self::Text(value),
            Value::Blob(value) => Self::Blob(value),
        }
    }
}

/// The parameters of `project` for these events.
#[must_use]
pub fn parameters(events: &[SourceEvent]) -> Parameters {
    (events.iter().map(Event::from).collect(),)
}
