//! What is checked of a call before it takes the database's time: keys, batches, events and their limits.

use serde::de::IgnoredAny;

use crate::bindings::weft::sql::types::{Error, OperationKey, OutgoingEvent, Statement};
use crate::error::at_statement;
use crate::text::{self, Checked};
use crate::topic::check_topic;

/// The limits of `weft:sql`, which are part of its contract.
pub(crate) mod limits {
    /// The longest text of a statement, in bytes.
    pub(crate) const SQL_BYTES: usize = 64 * 1024;
    /// The most parameters of a statement.
    pub(crate) const PARAMETERS: usize = 999;
    /// The most statements of a commit.
    pub(crate) const STATEMENTS: usize = 1_000;
    /// The most bytes of a commit: texts, parameters, events and answer together.
    pub(crate) const COMMIT_BYTES: usize = 16 * 1024 * 1024;
    /// The largest single value, in bytes.
    pub(crate) const VALUE_BYTES: usize = 8 * 1024 * 1024;
    /// The most events of a commit.
    pub(crate) const EVENTS: usize = 1_000;
    /// The largest data of an event, in bytes.
    pub(crate) const EVENT_BYTES: usize = 1024 * 1024;
    /// The most rows of a query, or of one step of a cursor.
    pub(crate) const QUERY_ROWS: usize = 10_000;
    /// The most bytes of values of a query, or of one step of a cursor.
    pub(crate) const RESULT_BYTES: usize = 8 * 1024 * 1024;
    /// The longest owner, key or fingerprint, in bytes.
    pub(crate) const KEY_BYTES: usize = 1024;
}

/// Statements that are ready to run, with the rows that each has to change.
pub(crate) type Batch = Vec<(Checked, Statement)>;

/// Checks a key.
pub(crate) fn key(key: &OperationKey) -> Result<(), Error> {
    short("the owner", &key.owner)?;
    short("the key", &key.key)?;
    if key.owner.is_empty() || key.key.is_empty() {
        return Err(Error::Invalid("neither the owner nor the key of an operation may be empty".to_owned()));
    }
    Ok(())
}

/// Checks a text that names or tells of a key.
pub(crate) fn short(what: &str, text: &str) -> Result<(), Error> {
    if text.len() > limits::KEY_BYTES {
        let (bytes, most) = (text.len(), limits::KEY_BYTES);
        return Err(Error::TooLarge(format!("{what} has {bytes} bytes, at most {most} fit")));
    }
    if text.contains('\0') {
        return Err(Error::Invalid(format!("{what} has a NUL in its text")));
    }
    Ok(())
}

/// Checks the statements and events of a commit that has `more_bytes` beside them.
pub(crate) fn batch(statements: Vec<Statement>, events: &[OutgoingEvent], more_bytes: usize) -> Result<Batch, Error> {
    if statements.len() > limits::STATEMENTS {
        let (count, most) = (statements.len(), limits::STATEMENTS);
        return Err(Error::TooLarge(format!("{count} statements, at most {most} fit into a commit")));
    }
    self::events(events)?;
    let mut bytes = more_bytes + events.iter().map(|event| event.data.len()).sum::<usize>();
    let mut checked = Vec::with_capacity(statements.len());
    for (index, statement) in statements.into_iter().enumerate() {
        bytes += statement.sql.len() + statement.parameters.iter().map(text::bytes).sum::<usize>();
        let ready = text::statement(&statement.sql, &statement.parameters);
        checked.push((ready.map_err(|error| at_statement(error, index))?, statement));
    }
    if bytes > limits::COMMIT_BYTES {
        let most = limits::COMMIT_BYTES;
        return Err(Error::TooLarge(format!("the commit has {bytes} bytes, at most {most} fit")));
    }
    Ok(checked)
}

/// Checks the events of a commit.
pub(crate) fn events(events: &[OutgoingEvent]) -> Result<(), Error> {
    if events.len() > limits::EVENTS {
        let (count, most) = (events.len(), limits::EVENTS);
        return Err(Error::TooLarge(format!("{count} events, at most {most} leave with a commit")));
    }
    events.iter().enumerate().try_for_each(|(index, one)| event(index, one))
}

fn event(index: usize, event: &OutgoingEvent) -> Result<(), Error> {
    check_topic(&event.topic).map_err(|error| Error::Invalid(format!("event {index}: {error}")))?;
    if event.type_.is_empty() {
        return Err(Error::Invalid(format!("event {index}: the type is empty")));
    }
    let attributes = [Some(&event.type_), event.subject.as_ref(), event.ordering_key.as_ref()];
    for text in attributes.into_iter().flatten().chain(&event.correlation_id).chain(&event.dataschema) {
        short(&format!("event {index}: an attribute"), text)?;
    }
    if event.data.len() > limits::EVENT_BYTES {
        let (bytes, most) = (event.data.len(), limits::EVENT_BYTES);
        return Err(Error::TooLarge(format!("event {index}: its data has {bytes} bytes, at most {most} fit")));
    }
    json(&event.data).map_err(|error| Error::Invalid(format!("event {index}: its data is not JSON: {error}")))
}

/// Whether bytes are JSON.
pub(crate) fn json(bytes: &[u8]) -> Result<(), serde_json::Error> {
    serde_json::from_slice::<IgnoredAny>(bytes).map(drop)
}
