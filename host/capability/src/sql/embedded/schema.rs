//! The host's own tables in a context's file.

use rusqlite::Connection;

/// The version of these tables, kept in the file's `user_version`.
pub(super) const VERSION: i64 = 1;

/// * `weft_done`: one row a key. `revoked`: 0 recorded; 1 revoked before it was ever recorded; 2 revoked, and the
///   statements of the revocation ran. Rows stand in the order of their time, so that the oldest are found first.
/// * `weft_outbox`: events that the message log may not have yet. A position is never used twice.
/// * `weft_migrations`: what has been applied.
const TABLES: &str = "
CREATE TABLE weft_done (
    id INTEGER PRIMARY KEY,
    owner TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    answer BLOB NOT NULL,
    revoked INTEGER NOT NULL,
    committed_at_ms INTEGER NOT NULL,
    UNIQUE (owner, key)
);
CREATE TABLE weft_outbox (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    source TEXT NOT NULL,
    topic TEXT NOT NULL,
    type TEXT NOT NULL,
    subject TEXT,
    ordering_key TEXT,
    correlation_id TEXT,
    traceparent TEXT,
    time_ms INTEGER NOT NULL,
    data BLOB NOT NULL
);
CREATE TABLE weft_migrations (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    digest TEXT NOT NULL,
    applied_at_ms INTEGER NOT NULL
);
PRAGMA user_version = 1;
";

/// Why the tables cannot be used.
#[derive(Debug)]
pub(super) enum SchemaError {
    Newer(i64),
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for SchemaError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// Makes the tables if the file is new. Takes the write lock, so that another process that holds it is noticed.
pub(super) fn ensure(connection: &Connection) -> Result<(), SchemaError> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let made = make(connection);
    connection.execute_batch(if made.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
    made
}

fn make(connection: &Connection) -> Result<(), SchemaError> {
    match connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))? {
        0 => Ok(connection.execute_batch(TABLES)?),
        VERSION => Ok(()),
        newer => Err(SchemaError::Newer(newer)),
    }
}
