//! The host's own tables in a context's file, and how a file of an older version comes to have them.

use rusqlite::Connection;

/// The version of these tables, kept in the file's `user_version`.
pub(super) const VERSION: i64 = 2;

/// What each version adds to the one before it. A step that was released is never changed.
const STEPS: [&str; 2] = [FIRST, EVENTS];

/// * `weft_done`: one row a key. `revoked`: 0 recorded; 1 revoked before it was ever recorded; 2 revoked, and the
///   statements of the revocation ran. Rows stand in the order of their time, so that the oldest are found first.
/// * `weft_outbox`: events that the message log may not have yet. A position is never used twice.
/// * `weft_migrations`: what has been applied.
const FIRST: &str = "
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
";

/// * `weft_events`: the event store. Nothing is ever removed, so that the engine never gives a position twice.
/// * `weft_outbox.event`: the row stands for that event of the store, and its own columns but the source are empty.
/// * `weft_snapshots`: the newest of each stream.
/// * `weft_checkpoints`: how far a projection's reader has come; `model` is 0 for the live tables, 1 for a rebuild.
const EVENTS: &str = "
CREATE TABLE weft_events (
    position INTEGER PRIMARY KEY,
    stream TEXT NOT NULL,
    version INTEGER NOT NULL,
    id TEXT NOT NULL UNIQUE,
    type TEXT NOT NULL,
    topic TEXT NOT NULL,
    time_ms INTEGER NOT NULL,
    correlation_id TEXT,
    causation_id TEXT,
    traceparent TEXT,
    metadata BLOB,
    data BLOB NOT NULL,
    UNIQUE (stream, version)
);
CREATE TABLE weft_snapshots (
    stream TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    form INTEGER NOT NULL,
    time_ms INTEGER NOT NULL,
    data BLOB NOT NULL
);
CREATE TABLE weft_checkpoints (
    reader TEXT NOT NULL,
    model INTEGER NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (reader, model)
);
ALTER TABLE weft_outbox ADD COLUMN delay_ms INTEGER;
ALTER TABLE weft_outbox ADD COLUMN ttl_ms INTEGER;
ALTER TABLE weft_outbox ADD COLUMN priority INTEGER;
ALTER TABLE weft_outbox ADD COLUMN dataschema TEXT;
ALTER TABLE weft_outbox ADD COLUMN event INTEGER;
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

/// Makes the tables that the file does not have yet. Takes the write lock, so that another process that holds it is
/// noticed.
pub(super) fn ensure(connection: &Connection) -> Result<(), SchemaError> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let made = make(connection);
    connection.execute_batch(if made.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
    made
}

fn make(connection: &Connection) -> Result<(), SchemaError> {
    let found = connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))?;
    let missing = usize::try_from(found).ok().and_then(|found| STEPS.get(found..)).ok_or(SchemaError::Newer(found))?;
    if missing.is_empty() {
        return Ok(());
    }
    missing.iter().try_for_each(|step| connection.execute_batch(step))?;
    Ok(connection.execute_batch(&format!("PRAGMA user_version = {VERSION}"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(connection: &Connection) -> i64 {
        connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
    }

    fn tables(connection: &Connection) -> Vec<String> {
        let mut select = connection.prepare("SELECT sql FROM sqlite_master WHERE sql NOT NULL ORDER BY name").unwrap();
        select.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn a_file_of_the_first_version_is_upgraded_in_place() {
        let old = Connection::open_in_memory().unwrap();
        old.execute_batch(FIRST).unwrap();
        old.execute_batch(
            "PRAGMA user_version = 1;
             INSERT INTO weft_done VALUES (1, 'o', 'k', 'f', X'01', 0, 7);
             INSERT INTO weft_outbox VALUES (5, 'id', '/c/o', 't', 'k', 's', 'o', 'c', 'p', 8, X'31');
             INSERT INTO weft_migrations VALUES (1, 'n', 'd', 9);",
        )
        .unwrap();
        ensure(&old).unwrap();
        assert_eq!(version(&old), VERSION);
        let kept = "SELECT (SELECT key || committed_at_ms FROM weft_done), (SELECT name FROM weft_migrations)";
        let kept: (String, String) = old.query_row(kept, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        assert_eq!(kept, ("k7".to_owned(), "n".to_owned()));
        let waiting = super::super::keyed::pending(&old, 0, 10).unwrap();
        assert_eq!(waiting.len(), 1);
        assert_eq!((waiting[0].position, &*waiting[0].id, waiting[0].ttl_ms), (5, "id", None));
        let new = Connection::open_in_memory().unwrap();
        ensure(&new).unwrap();
        assert_eq!(tables(&old), tables(&new), "an upgraded file has the tables of a new one");
        // Once more changes nothing.
        ensure(&old).unwrap();
        assert_eq!(version(&old), VERSION);
    }

    #[test]
    fn a_newer_file_is_left_alone() {
        let newer = Connection::open_in_memory().unwrap();
        newer.execute_batch("PRAGMA user_version = 3").unwrap();
        assert!(matches!(ensure(&newer), Err(SchemaError::Newer(3))));
        assert!(tables(&newer).is_empty());
    }
}
