//! Runs statements of functions and turns values and errors of SQLite into portable ones. The texts have passed
//! `sql::check`; the connection is in the sandbox.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, ErrorCode, ffi};

use weft_core::Reason;

use crate::sql::error::{ConstraintKind, SqlError};
use crate::sql::limits;
use crate::sql::types::{Row, Rows, Value};

/// That a statement has changed as many rows as it has to.
pub(super) fn expect_rows(expected: Option<u64>, actual: u64) -> Result<(), SqlError> {
    match expected.filter(|expected| *expected != actual) {
        Some(expected) => Err(SqlError::UnexpectedRows { statement: 0, expected, actual }),
        None => Ok(()),
    }
}

/// Runs a statement; answers the number of rows it changed.
pub(super) fn execute(connection: &Connection, sql: &str, parameters: &[Value]) -> Result<u64, SqlError> {
    Repeated::prepare(connection, sql)?.execute(parameters)
}

/// Runs a statement and reads all of its rows.
pub(super) fn query(connection: &Connection, sql: &str, parameters: &[Value]) -> Result<Rows, SqlError> {
    rows(prepare(connection, sql, parameters)?)
}

/// The same, for a statement that may only read.
pub(super) fn query_read(connection: &Connection, sql: &str, parameters: &[Value]) -> Result<Rows, SqlError> {
    rows(prepare_read(connection, sql, parameters)?)
}

fn rows(mut statement: CachedStatement<'_>) -> Result<Rows, SqlError> {
    let shape = Shape::of(&statement);
    let mut rows = statement.raw_query();
    let (mut read, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next().map_err(|error| portable(&error))? {
        let row = shape.read(row)?;
        bytes += row.iter().map(Value::bytes).sum::<usize>();
        if read.len() >= limits::QUERY_ROWS || bytes > limits::RESULT_BYTES {
            return Err(SqlError::TooLarge(format!(
                "the result has more than {} rows or {} bytes; open a cursor",
                limits::QUERY_ROWS,
                limits::RESULT_BYTES
            )));
        }
        read.push(row);
    }
    Ok(Rows { columns: shape.names, rows: read })
}

/// Prepares a statement and binds its parameters.
pub(super) fn prepare<'c>(
    connection: &'c Connection,
    sql: &str,
    parameters: &[Value],
) -> Result<CachedStatement<'c>, SqlError> {
    let mut prepared = Repeated::prepare(connection, sql)?;
    prepared.bind(parameters)?;
    Ok(prepared.statement)
}

/// A statement that is run again and again.
pub(super) struct Repeated<'c> {
    connection: &'c Connection,
    statement: CachedStatement<'c>,
    /// Which parameter each place takes.
    places: Vec<usize>,
}

impl<'c> Repeated<'c> {
    pub(super) fn prepare(connection: &'c Connection, sql: &str) -> Result<Self, SqlError> {
        let statement = connection.prepare_cached(sql).map_err(|error| portable(&error))?;
        // SQLite numbers `$2` by where it first stands; its name says which parameter it is.
        let place = |index| statement.parameter_name(index)?.strip_prefix('$')?.parse::<usize>().ok()?.checked_sub(1);
        let places = (1..=statement.parameter_count()).map(place).collect::<Option<_>>().ok_or_else(misnumbered)?;
        Ok(Self { connection, statement, places })
    }

    fn bind(&mut self, parameters: &[Value]) -> Result<(), SqlError> {
        for (index, place) in (1..).zip(&self.places) {
            let value = parameters.get(*place).ok_or_else(misnumbered)?;
            self.statement.raw_bind_parameter(index, native(value)).map_err(|error| portable(&error))?;
        }
        Ok(())
    }

    /// Runs it; answers the number of rows it changed.
    pub(super) fn execute(&mut self, parameters: &[Value]) -> Result<u64, SqlError> {
        self.bind(parameters)?;
        let reads = self.statement.readonly();
        let mut rows = self.statement.raw_query();
        while rows.next().map_err(|error| portable(&error))?.is_some() {}
        Ok(if reads { 0 } else { self.connection.changes() })
    }
}

fn misnumbered() -> SqlError {
    SqlError::Invalid("parameters are written $1, $2 and so on".to_owned())
}

/// The same, for a connection that only reads.
pub(super) fn prepare_read<'c>(
    connection: &'c Connection,
    sql: &str,
    parameters: &[Value],
) -> Result<CachedStatement<'c>, SqlError> {
    let statement = prepare(connection, sql, parameters)?;
    if statement.readonly() {
        Ok(statement)
    } else {
        Err(SqlError::Denied("a query only reads; changes are made by `commit` or in a transaction".to_owned()))
    }
}

fn native(value: &Value) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(match value {
        Value::Null => ValueRef::Null,
        Value::Boolean(boolean) => ValueRef::Integer(i64::from(*boolean)),
        Value::Int64(integer) => ValueRef::Integer(*integer),
        Value::Float64(float) => ValueRef::Real(*float),
        Value::Text(text) => ValueRef::Text(text.as_bytes()),
        Value::Blob(blob) => ValueRef::Blob(blob),
    })
}

/// The columns of a result and what their declared types make of their values.
pub(super) struct Shape {
    pub(super) names: Vec<String>,
    declared: Vec<Declared>,
}

#[derive(Clone, Copy)]
enum Declared {
    Boolean,
    Double,
    Bytea,
    Other,
}

impl Shape {
    pub(super) fn of(statement: &rusqlite::Statement<'_>) -> Self {
        let columns = statement.columns();
        let mut shape = Self { names: Vec::with_capacity(columns.len()), declared: Vec::with_capacity(columns.len()) };
        for column in columns {
            shape.names.push(column.name().to_owned());
            shape.declared.push(match column.decl_type() {
                Some(name) if name.eq_ignore_ascii_case("BOOLEAN") => Declared::Boolean,
                Some(name) if name.eq_ignore_ascii_case("DOUBLE PRECISION") => Declared::Double,
                Some(name) if name.eq_ignore_ascii_case("BYTEA") => Declared::Bytea,
                _ => Declared::Other,
            });
        }
        shape
    }

    pub(super) fn read(&self, row: &rusqlite::Row<'_>) -> Result<Row, SqlError> {
        let read = |(index, declared): (usize, &Declared)| {
            let native = row.get_ref(index).map_err(|error| portable(&error))?;
            value(native, *declared)
        };
        self.declared.iter().enumerate().map(read).collect()
    }
}

fn value(native: ValueRef<'_>, declared: Declared) -> Result<Value, SqlError> {
    Ok(match (native, declared) {
        (ValueRef::Null, _) => Value::Null,
        (ValueRef::Integer(integer @ (0 | 1)), Declared::Boolean) => Value::Boolean(integer == 1),
        (ValueRef::Integer(integer), Declared::Double) =>
        {
            #[expect(clippy::cast_precision_loss, reason = "the column is declared as a floating-point one")]
            Value::Float64(integer as f64)
        }
        (ValueRef::Integer(integer), _) => Value::Int64(integer),
        (ValueRef::Real(float), _) => Value::Float64(float),
        (ValueRef::Text(text), Declared::Bytea) => Value::Blob(text.to_vec()),
        (ValueRef::Text(text), _) => Value::Text(
            String::from_utf8(text.to_vec())
                .map_err(|_| SqlError::Invalid("a text in the result is not UTF-8".to_owned()))?,
        ),
        (ValueRef::Blob(blob), _) => Value::Blob(blob.to_vec()),
    })
}

/// What an error of SQLite means to a caller.
pub(super) fn portable(error: &rusqlite::Error) -> SqlError {
    match error {
        rusqlite::Error::SqliteFailure(code, message) => {
            let text = message.as_deref().unwrap_or("no message");
            by_code(code, text, error)
        }
        // The authorizer's refusal of a function comes without a code of its own.
        rusqlite::Error::SqlInputError { msg, .. } if msg.starts_with("not authorized") => {
            SqlError::Denied(msg.clone())
        }
        rusqlite::Error::SqlInputError { error: code, msg, offset, .. } if code.code == ErrorCode::Unknown => {
            SqlError::Invalid(if *offset < 0 { msg.clone() } else { format!("{msg} (at byte {offset})") })
        }
        rusqlite::Error::SqlInputError { error: code, msg, .. } => by_code(code, msg, error),
        rusqlite::Error::Utf8Error(..) => SqlError::Invalid("a text in the result is not UTF-8".to_owned()),
        other => SqlError::Invalid(other.to_string()),
    }
}

fn by_code(code: &ffi::Error, message: &str, error: &rusqlite::Error) -> SqlError {
    match code.code {
        ErrorCode::ConstraintViolation => constraint(code.extended_code, message),
        ErrorCode::AuthorizationForStatementDenied => SqlError::Denied(format!("outside the context: {message}")),
        ErrorCode::OperationInterrupted => SqlError::TooLarge("the statement ran for too long".to_owned()),
        ErrorCode::TooBig => SqlError::TooLarge(message.to_owned()),
        ErrorCode::OutOfMemory => SqlError::TooLarge("the statement needs too much memory".to_owned()),
        ErrorCode::Unknown | ErrorCode::TypeMismatch | ErrorCode::ParameterOutOfRange => {
            SqlError::Invalid(message.to_owned())
        }
        ErrorCode::DiskFull => SqlError::unavailable(Reason::Unavailable, "the disk is full; free some space"),
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            SqlError::unavailable(Reason::Unavailable, "another process has locked the database file")
        }
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => {
            SqlError::unavailable(Reason::Internal, "the database file is damaged; restore it from a backup")
        }
        _ => SqlError::unavailable(Reason::Internal, error.to_string()),
    }
}

fn constraint(extended_code: i32, message: &str) -> SqlError {
    let kind = match extended_code {
        ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_ROWID => {
            ConstraintKind::Unique
        }
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => ConstraintKind::ForeignKey,
        ffi::SQLITE_CONSTRAINT_NOTNULL => ConstraintKind::NotNull,
        // CHECK, and a trigger's RAISE, whose text is all there is to name.
        _ => ConstraintKind::Check,
    };
    let subject = match message.split_once(" constraint failed: ") {
        Some((_, subject)) => subject.to_owned(),
        None if kind == ConstraintKind::ForeignKey => String::new(),
        None => message.to_owned(),
    };
    SqlError::Constraint { kind, subject, statement: 0 }
}
