//! What the store needs from its surroundings: a connection to SQLite, the time, and random bytes.

use crate::bindings::weft::sql::types::Value;

/// What a statement answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Values, in the order of the columns. None of them is a [`Value::Boolean`]: SQLite has none.
    pub rows: Vec<Vec<Value>>,
}

/// One connection to a SQLite database. A statement is over when the call returns.
pub trait Connection {
    /// Runs one statement; its parameters are `?1`, `?2` and so on. An error is the engine's text, by which alone Spin
    /// tells one from another.
    ///
    /// # Errors
    /// What the engine says.
    fn execute(&self, sql: &str, parameters: &[Value]) -> Result<Rows, String>;

    /// How many rows the last INSERT, UPDATE or DELETE changed.
    fn changes(&self) -> u64;
}

/// Time and chance.
pub trait Platform {
    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> u64;

    /// Bytes that nobody can guess.
    fn random(&self) -> [u8; 10];
}

/// A UUIDv7.
pub(crate) fn new_id(platform: &impl Platform) -> String {
    uuid::Builder::from_unix_timestamp_millis(platform.now_ms(), &platform.random()).into_uuid().to_string()
}

/// A time or a position as SQLite holds it.
pub(crate) fn int(value: u64) -> Value {
    Value::Int64(i64::try_from(value).unwrap_or(i64::MAX))
}

/// A text.
pub(crate) fn text(text: impl Into<String>) -> Value {
    Value::Text(text.into())
}

/// A text, or NULL.
pub(crate) fn maybe_text(text: Option<&String>) -> Value {
    text.map_or(Value::Null, |text| Value::Text(text.clone()))
}

/// A number, or NULL.
pub(crate) fn maybe_int(value: Option<u64>) -> Value {
    value.map_or(Value::Null, int)
}

/// A row of one of our own tables, read from left to right. A value of another type than asked for reads as empty: our
/// tables hold what we put there.
pub(crate) struct Columns(std::vec::IntoIter<Value>);

impl Columns {
    pub(crate) fn of(row: Vec<Value>) -> Self {
        Self(row.into_iter())
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.maybe_number().unwrap_or_default()
    }

    pub(crate) fn maybe_number(&mut self) -> Option<u64> {
        match self.0.next() {
            Some(Value::Int64(number)) => u64::try_from(number).ok(),
            _ => None,
        }
    }

    pub(crate) fn text(&mut self) -> String {
        self.maybe_text().unwrap_or_default()
    }

    pub(crate) fn maybe_text(&mut self) -> Option<String> {
        match self.0.next() {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn bytes(&mut self) -> Vec<u8> {
        self.maybe_bytes().unwrap_or_default()
    }

    pub(crate) fn maybe_bytes(&mut self) -> Option<Vec<u8>> {
        match self.0.next() {
            Some(Value::Blob(bytes)) => Some(bytes),
            _ => None,
        }
    }
}
