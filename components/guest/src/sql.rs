//! SQL on the database of the function's context: statements, parameters and typed rows. Writes go through
//! [`operation`](crate::operation), which keys them.

use std::rc::Rc;

use crate::bindings::weft::sql::database;

pub use crate::bindings::weft::sql::types::{
    Committed, ConstraintKind, ConstraintViolation, Error, OperationKey, OutgoingEvent, Statement, UnexpectedRows,
    Value,
};

/// One statement; `$2` names the second parameter, wherever it stands.
pub fn sql(text: &str, parameters: Vec<Value>) -> Statement {
    Statement { sql: text.to_string(), parameters, expected_rows: None }
}

impl Statement {
    /// Sets how many rows the statement has to change; another number rolls the whole commit back.
    #[must_use]
    pub fn expect_rows(mut self, rows: u64) -> Self {
        self.expected_rows = Some(rows);
        self
    }
}

/// The parameters of a statement: `params![id, 5_i64, None::<String>]`.
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => { ::std::vec![$($crate::sql::Value::from($value)),*] };
}

macro_rules! value_from {
    ($($from:ty => $case:ident($convert:expr)),+ $(,)?) => {$(
        impl From<$from> for Value {
            fn from(value: $from) -> Self {
                Self::$case($convert(value))
            }
        }
    )+};
}
value_from! {
    bool => Boolean(|value| value),
    i64 => Int64(|value| value),
    i32 => Int64(i64::from),
    u32 => Int64(i64::from),
    f64 => Float64(|value| value),
    String => Text(|value| value),
    &String => Text(String::clone),
    &str => Text(str::to_string),
    Vec<u8> => Blob(|value| value),
}

impl From<u64> for Value {
    /// Past `i64::MAX` the value saturates: no count or amount of ours gets there, and domain limits refuse it before.
    fn from(value: u64) -> Self {
        Self::Int64(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// One row of an answer, read by the names of its columns.
#[derive(Clone, Debug)]
pub struct Row {
    columns: Rc<[String]>,
    values: Vec<Value>,
}

impl Row {
    /// A row out of columns and values, in the same order.
    pub fn new(columns: Rc<[String]>, values: Vec<Value>) -> Self {
        Self { columns, values }
    }

    /// The value of a column, of whatever type.
    pub fn value(&self, column: &str) -> Result<&Value, Error> {
        let at = self.columns.iter().position(|name| name == column);
        at.and_then(|at| self.values.get(at)).ok_or_else(|| Error::Invalid(format!("no column {column} in the answer")))
    }

    /// A TEXT column that is not NULL.
    pub fn text(&self, column: &str) -> Result<String, Error> {
        self.optional_text(column)?.ok_or_else(|| unexpected(column, "TEXT", &Value::Null))
    }

    /// A TEXT column that may be NULL.
    pub fn optional_text(&self, column: &str) -> Result<Option<String>, Error> {
        match self.value(column)? {
            Value::Text(text) => Ok(Some(text.clone())),
            Value::Null => Ok(None),
            other => Err(unexpected(column, "TEXT", other)),
        }
    }

    /// A BIGINT column that is not NULL.
    pub fn int(&self, column: &str) -> Result<i64, Error> {
        match self.value(column)? {
            Value::Int64(number) => Ok(*number),
            other => Err(unexpected(column, "BIGINT", other)),
        }
    }

    /// A BIGINT column that may be NULL.
    pub fn optional_int(&self, column: &str) -> Result<Option<i64>, Error> {
        match self.value(column)? {
            Value::Null => Ok(None),
            _ => self.int(column).map(Some),
        }
    }

    /// A BIGINT column that holds a count or an amount, never negative.
    pub fn count(&self, column: &str) -> Result<u64, Error> {
        let number = self.int(column)?;
        u64::try_from(number).map_err(|_| unexpected(column, "a count", &Value::Int64(number)))
    }

    /// A BOOLEAN column that is not NULL.
    pub fn boolean(&self, column: &str) -> Result<bool, Error> {
        match self.value(column)? {
            Value::Boolean(value) => Ok(*value),
            // SQLite answers an expression over booleans as an integer.
            Value::Int64(number) => Ok(*number != 0),
            other => Err(unexpected(column, "BOOLEAN", other)),
        }
    }

    /// A BYTEA column that is not NULL.
    pub fn blob(&self, column: &str) -> Result<Vec<u8>, Error> {
        match self.value(column)? {
            Value::Blob(bytes) => Ok(bytes.clone()),
            other => Err(unexpected(column, "BYTEA", other)),
        }
    }
}

fn unexpected(column: &str, wanted: &str, got: &Value) -> Error {
    let got = match got {
        Value::Null => "NULL",
        Value::Boolean(_) => "BOOLEAN",
        Value::Int64(_) => "BIGINT",
        Value::Float64(_) => "DOUBLE PRECISION",
        Value::Text(_) => "TEXT",
        Value::Blob(_) => "BYTEA",
    };
    Error::Invalid(format!("column {column} is {got}, not {wanted}"))
}

/// Reads rows: at most 10,000, or 8 MiB.
pub async fn query(text: &str, parameters: Vec<Value>) -> Result<Vec<Row>, Error> {
    let answer = database::query(text.to_string(), parameters).await?;
    let columns: Rc<[String]> = answer.columns.into();
    Ok(answer.rows.into_iter().map(|values| Row::new(Rc::clone(&columns), values)).collect())
}

/// Reads the first row, if there is one.
pub async fn query_first(text: &str, parameters: Vec<Value>) -> Result<Option<Row>, Error> {
    Ok(query(text, parameters).await?.into_iter().next())
}

/// An error in words, for operators.
pub fn describe(error: &Error) -> String {
    match error {
        Error::KeyReused => "the key belongs to another input".to_string(),
        Error::Revoked => "the key was revoked".to_string(),
        Error::Constraint(violation) => {
            format!("statement {} violates {:?} on {}", violation.statement, violation.kind, violation.subject)
        }
        Error::UnexpectedRows(rows) => {
            format!("statement {} changed {} rows, not {}", rows.statement, rows.actual, rows.expected)
        }
        Error::Invalid(text) | Error::Denied(text) | Error::TooLarge(text) => text.clone(),
        Error::TransactionOpen => "a transaction is open in this call".to_string(),
        Error::TransactionClosed => "the transaction has ended".to_string(),
        Error::Unavailable((_, text)) => text.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Row, Value};

    fn row(value: Value) -> Row {
        Row::new(["a".to_string()].into(), vec![value])
    }

    #[test]
    fn a_column_of_another_type_is_an_error_that_names_it() {
        assert_eq!(row(Value::Text("x".into())).text("a").unwrap(), "x");
        let error = super::describe(&row(Value::Int64(1)).text("a").unwrap_err());
        assert_eq!(error, "column a is BIGINT, not TEXT");
        assert!(row(Value::Null).text("a").is_err());
        assert_eq!(row(Value::Null).optional_text("a").unwrap(), None);
        assert!(row(Value::Int64(-1)).count("a").is_err());
        assert!(row(Value::Null).int("b").is_err());
    }

    #[test]
    fn parameters_take_the_types_of_their_values() {
        let params = crate::params!["t", 5_u32, None::<String>, Some("x"), true];
        assert!(matches!(
            params.as_slice(),
            [Value::Text(_), Value::Int64(5), Value::Null, Value::Text(_), Value::Boolean(true)]
        ));
    }
}
