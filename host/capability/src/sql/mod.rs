//! The sql capability: the trait that every SQL backend implements, with its contract. A bounded context has one
//! database, and every effect in it is a keyed commit. The embedded backend is in [`embedded`], the WIT interface in
//! `glue`, and the suite that any backend has to pass in [`conformance`].

mod check;
pub mod conformance;
pub mod embedded;
mod error;
pub mod glue;
mod lexer;
pub mod limits;
mod types;

use std::sync::Arc;

use futures::future::BoxFuture;

pub use embedded::{ContextSettings, KeptSince, OpenError, SqlHost, SqlSettings};
pub use error::{ConstraintKind, SqlError};
pub use types::{Commit, Committed, OperationKey, OutgoingEvent, Revocation, Row, Rows, Statement, Value};

/// The one database of a bounded context.
///
/// The contract, for every backend:
/// * **Acknowledged is durable.** [`commit`](Database::commit), [`revoke`](Database::revoke) and
///   [`Transaction::commit`] answer only after a completed flush, and what they acknowledged survives kill -9 and power
///   loss. After an [`SqlError::Unavailable`] with `maybe_done` the caller asks again under the same key.
/// * **All or nothing.** Statements, key, answer and events of a commit land together or not at all.
/// * **A key is one effect.** However often and however concurrently a key is committed, it lands once; after its
///   revocation it never lands.
/// * **Read what was acknowledged.** A read that starts after an acknowledgement sees that commit.
/// * **Portable SQL.** One statement a text, out of SELECT, VALUES, INSERT, UPDATE, DELETE and WITH; parameters by
///   number (`$2` is the second, wherever it stands) with every parameter used; no `::` casts; identifiers quoted by
///   `"`; LIKE minds case; NULL, BOOLEAN, BIGINT, DOUBLE PRECISION, TEXT and BYTEA values. A column declared BOOLEAN
///   reads back as a boolean. NaN, and NUL in a text, are refused; infinities are stored.
/// * **A sandbox.** No other database, no settings, no transaction statements as text, no tables `weft_*` or of the
///   engine itself, no change of the schema: that is for migrations.
/// * **Everything has a limit** ([`limits`]); past it the answer is [`SqlError::TooLarge`], or
///   [`SqlError::Unavailable`] with [`weft_core::Reason::Overloaded`] for queues.
///
/// Dropping a future gives the call up: what had not begun does not begin.
pub trait Database: Send + Sync + 'static {
    /// The context's name.
    fn context(&self) -> &str;

    /// The record of a keyed commit, if there is one.
    ///
    /// # Errors
    /// [`SqlError::Revoked`] if the key was revoked.
    fn recorded(&self, key: OperationKey) -> BoxFuture<'_, Result<Option<Committed>, SqlError>>;

    /// Commits under a key. A known key runs nothing and gives its record back.
    ///
    /// # Errors
    /// [`SqlError::KeyReused`] if the key is recorded with another fingerprint, [`SqlError::Revoked`] if it was
    /// revoked; [`SqlError::Constraint`] and [`SqlError::UnexpectedRows`] name the statement that rolled all back.
    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Committed, SqlError>>;

    /// Undoes a key: runs the statements and lets the events leave only if the key is recorded, and always leaves a
    /// tombstone, so that a later commit with this key is refused. Answers whether the statements ran. Repeating it
    /// runs nothing and gives the first answer again.
    ///
    /// # Errors
    /// As [`Database::commit`]; then there is no tombstone either.
    fn revoke(&self, revocation: Revocation) -> BoxFuture<'_, Result<bool, SqlError>>;

    /// Reads rows.
    ///
    /// # Errors
    /// [`SqlError::TooLarge`] past [`limits::QUERY_ROWS`] or [`limits::RESULT_BYTES`]; [`SqlError::Denied`] if the
    /// statement changes anything.
    fn query(&self, sql: String, parameters: Vec<Value>) -> BoxFuture<'_, Result<Rows, SqlError>>;

    /// Opens a cursor over a result of any size. It reads one snapshot, taken when it is opened.
    ///
    /// # Errors
    /// As [`Database::query`], but for the size; overload when too many cursors are open.
    fn open(&self, sql: String, parameters: Vec<Value>) -> BoxFuture<'_, Result<Box<dyn Cursor>, SqlError>>;

    /// Begins an interactive transaction; `owner` becomes part of the `source` of its events.
    ///
    /// # Errors
    /// Overload when the database has not come free in time.
    fn begin(&self, owner: Arc<str>) -> BoxFuture<'_, Result<Box<dyn Transaction>, SqlError>>;
}

/// An open result. Dropping it closes it.
pub trait Cursor: Send + 'static {
    /// The names of the columns.
    fn columns(&self) -> &[String];

    /// The next rows: at most `max_rows` (1 to [`limits::QUERY_ROWS`]), and fewer if they pass
    /// [`limits::RESULT_BYTES`]. Empty at the end.
    ///
    /// # Errors
    /// [`SqlError::Unavailable`] if the cursor was open for too long.
    fn next(&mut self, max_rows: u32) -> BoxFuture<'_, Result<Vec<Row>, SqlError>>;
}

/// An interactive transaction. It rolls back when it is dropped and when its time has passed; then every call answers
/// [`SqlError::TransactionClosed`]. A statement that fails undoes itself alone; the transaction goes on, unless the
/// engine had to give it up.
pub trait Transaction: Send + 'static {
    /// Runs a statement and reads its rows, such as those of RETURNING.
    ///
    /// # Errors
    /// As [`Database::query`], but changes are permitted.
    fn query(&mut self, sql: String, parameters: Vec<Value>) -> BoxFuture<'_, Result<Rows, SqlError>>;

    /// Runs a statement; answers the number of rows it changed.
    ///
    /// # Errors
    /// As [`Database::commit`].
    fn execute(&mut self, sql: String, parameters: Vec<Value>) -> BoxFuture<'_, Result<u64, SqlError>>;

    /// Commits; the events leave with it.
    ///
    /// # Errors
    /// As [`Database::commit`].
    fn commit(self: Box<Self>, events: Vec<OutgoingEvent>) -> BoxFuture<'static, Result<(), SqlError>>;

    /// Rolls back.
    ///
    /// # Errors
    /// [`SqlError::TransactionClosed`] if it had ended already.
    fn rollback(self: Box<Self>) -> BoxFuture<'static, Result<(), SqlError>>;
}
