//! What the journal needs of a database: one connection to SQLite whose calls answer at once, and transactions on it.

use crate::types::SagaError;

/// A value of a row or a parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// SQL's null.
    Null,
    /// A whole number.
    Integer(i64),
    /// Text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// One connection. Transactions are text: nothing else uses the connection between a `BEGIN IMMEDIATE` and its end,
/// since no call waits.
pub trait Database {
    /// Runs one statement with parameters `?1`, `?2`, ... and answers its rows.
    ///
    /// # Errors
    /// What the database says.
    fn run(&self, sql: &str, parameters: &[Value]) -> Result<Vec<Vec<Value>>, String>;
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Integer(number.into())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Blob(bytes.to_vec())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// One row, taken apart from left to right.
pub(crate) struct Row(std::vec::IntoIter<Value>);

impl Row {
    pub(crate) fn text(&mut self) -> Result<String, SagaError> {
        self.maybe_text()?.ok_or_else(damaged)
    }

    pub(crate) fn maybe_text(&mut self) -> Result<Option<String>, SagaError> {
        match self.0.next() {
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(Value::Null) => Ok(None),
            _ => Err(damaged()),
        }
    }

    pub(crate) fn bytes(&mut self) -> Result<Vec<u8>, SagaError> {
        self.maybe_bytes()?.ok_or_else(damaged)
    }

    pub(crate) fn maybe_bytes(&mut self) -> Result<Option<Vec<u8>>, SagaError> {
        match self.0.next() {
            Some(Value::Blob(bytes)) => Ok(Some(bytes)),
            Some(Value::Null) => Ok(None),
            _ => Err(damaged()),
        }
    }

    pub(crate) fn number(&mut self) -> Result<u64, SagaError> {
        self.maybe_number()?.ok_or_else(damaged)
    }

    pub(crate) fn maybe_number(&mut self) -> Result<Option<u64>, SagaError> {
        match self.0.next() {
            Some(Value::Integer(number)) => u64::try_from(number).map(Some).map_err(|_| damaged()),
            Some(Value::Null) => Ok(None),
            _ => Err(damaged()),
        }
    }
}

fn damaged() -> SagaError {
    SagaError::Unavailable("a row of the saga journal is damaged".to_owned())
}

/// The rows of a statement.
pub(crate) fn rows(database: &dyn Database, sql: &str, parameters: &[Value]) -> Result<Vec<Row>, SagaError> {
    let rows = database.run(sql, parameters).map_err(refused)?;
    Ok(rows.into_iter().map(|row| Row(row.into_iter())).collect())
}

/// The first row of a statement.
pub(crate) fn row(database: &dyn Database, sql: &str, parameters: &[Value]) -> Result<Option<Row>, SagaError> {
    Ok(rows(database, sql, parameters)?.into_iter().next())
}

fn refused(text: String) -> SagaError {
    SagaError::Unavailable(format!("the database of the saga journal: {text}"))
}

/// Runs `work` in a transaction that has the database for writing from its first statement on. What `work` refuses has
/// not happened.
pub(crate) fn transaction<T>(
    database: &dyn Database,
    work: impl FnOnce() -> Result<T, SagaError>,
) -> Result<T, SagaError> {
    database.run("BEGIN IMMEDIATE", &[]).map_err(refused)?;
    let done = work().and_then(|value| database.run("COMMIT", &[]).map(|_| value).map_err(refused));
    if done.is_err() {
        // Where even that fails, the database has ended the transaction by itself.
        let _ = database.run("ROLLBACK", &[]);
    }
    done
}
