//! Outbound PostgreSQL: a component reaches the servers that its manifest allows, by the rule of outbound HTTP. The
//! values are those of the newest interface; the client is in `client`, the WIT interfaces in [`glue`]. Context
//! databases are another capability, [`crate::sql`].

mod address;
mod client;
mod convert;
pub mod glue;
mod range;
mod tls;

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

pub use client::{Connection, Postgres};

/// How long connecting may take, TLS and login included.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer that is handed over as a whole, and the largest row of a stream, in bytes.
pub const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// Why there is no connection, or no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The manifest does not allow the server, or it does not answer, or refuses the login.
    #[error("{0}")]
    ConnectionFailed(String),
    /// A parameter does not fit its place.
    #[error("{0}")]
    BadParameter(String),
    /// The server says so.
    #[error("{}", .0.as_text)]
    Database(Box<DatabaseError>),
    /// The statement has no answer, in words.
    #[error("{0}")]
    QueryFailed(String),
    /// A value of the answer does not fit the interface's types.
    #[error("{0}")]
    ValueConversionFailed(String),
    /// All else, in words.
    #[error("{0}")]
    Other(String),
}

/// What the server says is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseError {
    /// All of it in one line.
    pub as_text: String,
    /// Such as `ERROR`.
    pub severity: String,
    /// SQLSTATE.
    pub code: String,
    /// For people.
    pub message: String,
    /// More for people.
    pub detail: Option<String>,
    /// Table, column, constraint and so on, where the server names them.
    pub extras: Vec<(String, String)>,
}

/// A column of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: DataType,
}

/// A type of columns.
#[allow(missing_docs, reason = "named as the types are")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataType {
    Boolean,
    Int16,
    Int32,
    Int64,
    Floating32,
    Floating64,
    Str,
    Binary,
    Date,
    Time,
    Datetime,
    Uuid,
    Jsonb,
    Decimal,
    RangeInt32,
    RangeInt64,
    RangeDecimal,
    ArrayInt32,
    ArrayInt64,
    ArrayDecimal,
    ArrayStr,
    Interval,
    /// Another one, by its name.
    Other(String),
}

/// Year, month, day.
pub type Date = (i32, u8, u8);
/// Hour, minute, second, nanosecond.
pub type Time = (u8, u8, u8, u32);
/// Year, month, day, hour, minute, second, nanosecond, in UTC.
pub type Datetime = (i32, u8, u8, u8, u8, u8, u32);

/// A bound of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoundKind {
    /// The bound belongs to the range.
    Inclusive,
    /// It does not.
    Exclusive,
}

/// A range; a side without a bound is open.
pub type Range<T> = (Option<(T, BoundKind)>, Option<(T, BoundKind)>);

/// A span of time, in the parts that PostgreSQL keeps.
#[allow(missing_docs, reason = "named as the parts are")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    pub micros: i64,
    pub days: i32,
    pub months: i32,
}

/// A value of an answer, or a parameter.
#[allow(missing_docs, reason = "named as the types are")]
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Boolean(bool),
    Int8(i8),
    Int16(i16),
    Int32(i32),
    Int64(i64),
    Floating32(f32),
    Floating64(f64),
    Str(String),
    Binary(Vec<u8>),
    Date(Date),
    Time(Time),
    Datetime(Datetime),
    /// Seconds since the Unix epoch; only a parameter.
    Timestamp(i64),
    Uuid(String),
    /// JSON text.
    Jsonb(Vec<u8>),
    Decimal(String),
    RangeInt32(Range<i32>),
    RangeInt64(Range<i64>),
    RangeDecimal(Range<String>),
    ArrayInt32(Vec<Option<i32>>),
    ArrayInt64(Vec<Option<i64>>),
    ArrayDecimal(Vec<Option<String>>),
    ArrayStr(Vec<Option<String>>),
    Interval(Interval),
    /// A value of another type, as the server sends it; never a parameter.
    Unsupported(Vec<u8>),
}

/// A row.
pub type Row = Vec<Value>;

/// An answer as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct RowSet {
    /// What stands in each row.
    pub columns: Vec<Column>,
    /// The rows.
    pub rows: Vec<Row>,
}

/// An answer as it comes.
#[derive(Debug)]
pub struct Stream {
    /// What stands in each row.
    pub columns: Vec<Column>,
    /// The rows, as fast as they are taken.
    pub rows: mpsc::Receiver<Row>,
    /// How it ended, behind the last row.
    pub ended: oneshot::Receiver<Result<(), Error>>,
}

#[cfg(test)]
mod tests;
