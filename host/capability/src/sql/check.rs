//! What every backend checks of a call before it takes the database's time: the portable rules and the limits.

use serde::de::IgnoredAny;

use weft_core::topic::check_topic;

use super::error::SqlError;
use super::types::{Commit, OperationKey, OutgoingEvent, Revocation, Statement, Value};
use super::{lexer, limits};

/// Checks a statement with its parameters.
pub(crate) fn statement(sql: &str, parameters: &[Value]) -> Result<(), SqlError> {
    self::parameters(lexer::check(sql)?, parameters)
}

/// Checks the parameters of a statement that takes `wanted`.
pub(crate) fn parameters(wanted: usize, parameters: &[Value]) -> Result<(), SqlError> {
    if wanted != parameters.len() {
        return Err(SqlError::Invalid(format!(
            "the statement takes {wanted} parameters, and {} are given",
            parameters.len()
        )));
    }
    parameters.iter().enumerate().try_for_each(|(index, value)| parameter(index + 1, value))
}

fn parameter(number: usize, value: &Value) -> Result<(), SqlError> {
    match value {
        Value::Float64(float) if float.is_nan() => {
            Err(SqlError::Invalid(format!("${number} is NaN, which engines disagree about; use NULL")))
        }
        Value::Text(text) if text.contains('\0') => {
            Err(SqlError::Invalid(format!("${number} has a NUL in its text; use a blob")))
        }
        value if value.bytes() > limits::VALUE_BYTES => Err(SqlError::TooLarge(format!(
            "${number} has {} bytes, at most {} fit",
            value.bytes(),
            limits::VALUE_BYTES
        ))),
        _ => Ok(()),
    }
}

/// Checks a keyed commit that has `more_bytes` beside what is in it.
pub(crate) fn commit(commit: &Commit, more_bytes: usize) -> Result<(), SqlError> {
    key(&commit.key)?;
    short("the fingerprint", &commit.fingerprint)?;
    batch(&commit.statements, &commit.events, commit.answer.len() + more_bytes)
}

/// Checks a revocation.
pub(crate) fn revocation(revocation: &Revocation) -> Result<(), SqlError> {
    key(&revocation.key)?;
    batch(&revocation.statements, &revocation.events, 0)
}

/// Checks a key.
pub(crate) fn key(key: &OperationKey) -> Result<(), SqlError> {
    short("the owner", &key.owner)?;
    short("the key", &key.key)?;
    if key.owner.is_empty() || key.key.is_empty() {
        return Err(SqlError::Invalid("neither the owner nor the key of an operation may be empty".to_owned()));
    }
    Ok(())
}

fn short(what: &str, text: &str) -> Result<(), SqlError> {
    if text.len() > limits::KEY_BYTES {
        return Err(SqlError::TooLarge(format!("{what} has {} bytes, at most {} fit", text.len(), limits::KEY_BYTES)));
    }
    if text.contains('\0') {
        return Err(SqlError::Invalid(format!("{what} has a NUL in its text")));
    }
    Ok(())
}

fn batch(statements: &[Statement], events: &[OutgoingEvent], more_bytes: usize) -> Result<(), SqlError> {
    if statements.len() > limits::STATEMENTS {
        return Err(SqlError::TooLarge(format!(
            "{} statements, at most {} fit into a commit",
            statements.len(),
            limits::STATEMENTS
        )));
    }
    for (index, part) in statements.iter().enumerate() {
        statement(&part.sql, &part.parameters).map_err(|error| error.at_statement(index))?;
    }
    check_events(events)?;
    let of_statement = |part: &Statement| part.sql.len() + part.parameters.iter().map(Value::bytes).sum::<usize>();
    let bytes = more_bytes
        + statements.iter().map(of_statement).sum::<usize>()
        + events.iter().map(|event| event.data.len()).sum::<usize>();
    if bytes > limits::COMMIT_BYTES {
        return Err(SqlError::TooLarge(format!("the commit has {bytes} bytes, at most {} fit", limits::COMMIT_BYTES)));
    }
    Ok(())
}

/// Checks the events of a commit.
pub(crate) fn check_events(events: &[OutgoingEvent]) -> Result<(), SqlError> {
    if events.len() > limits::EVENTS {
        return Err(SqlError::TooLarge(format!(
            "{} events, at most {} leave with a commit",
            events.len(),
            limits::EVENTS
        )));
    }
    events.iter().enumerate().try_for_each(|(index, one)| event(index, one))
}

fn event(index: usize, event: &OutgoingEvent) -> Result<(), SqlError> {
    check_topic(&event.topic).map_err(|error| SqlError::Invalid(format!("event {index}: {error}")))?;
    if event.kind.is_empty() {
        return Err(SqlError::Invalid(format!("event {index}: the type is empty")));
    }
    let attributes = [Some(&event.kind), event.subject.as_ref(), event.ordering_key.as_ref()];
    for text in attributes.into_iter().flatten().chain(&event.correlation_id).chain(&event.dataschema) {
        short(&format!("event {index}: an attribute"), text)?;
    }
    if event.data.len() > limits::EVENT_BYTES {
        return Err(SqlError::TooLarge(format!(
            "event {index}: its data has {} bytes, at most {} fit",
            event.data.len(),
            limits::EVENT_BYTES
        )));
    }
    serde_json::from_slice::<IgnoredAny>(&event.data)
        .map(drop)
        .map_err(|error| SqlError::Invalid(format!("event {index}: its data is not JSON: {error}")))
}
