//! One connection to a context's file: its settings, the authorizer that is the sandbox, and the time limit of
//! statements. What is run on it is the business of `statement` and its callers.

use std::path::Path;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags};

use weft_core::Clock;

use crate::sql::{lexer, limits};

/// How long another process may hold the file before a statement gives up, in milliseconds.
const BUSY_TIMEOUT_MS: u64 = 2_000;
/// How many steps of the engine lie between two looks at the clock.
const STEPS_PER_LOOK: i32 = 1_000;
const STATEMENTS_CACHED: usize = 256;
const NO_DEADLINE: u64 = u64::MAX;

const HOST: u8 = 0;
const GUEST: u8 = 1;
const MIGRATION: u8 = 2;
const PROJECTION: u8 = 3;

/// The tables of the projection whose statements run.
type OwnTables = Arc<Mutex<Vec<String>>>;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Writer,
    Reader,
}

pub(super) struct Session {
    connection: Connection,
    mode: Arc<AtomicU8>,
    own_tables: OwnTables,
    /// Monotonic microseconds.
    deadline_us: Arc<AtomicU64>,
    clock: Arc<dyn Clock>,
}

impl Session {
    pub(super) fn open(path: &Path, role: Role, clock: Arc<dyn Clock>) -> rusqlite::Result<Self> {
        let access = match role {
            Role::Writer => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
            Role::Reader => OpenFlags::SQLITE_OPEN_READ_ONLY,
        };
        let mut connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS))?;
        if role == Role::Writer {
            // FULL: a commit is flushed before it is acknowledged.
            connection.execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864; \
                 PRAGMA cache_size = -8192;",
            )?;
        }
        // Portable: LIKE minds case as in the standard. `trusted_schema` keeps risky functions out of views.
        connection.execute_batch(
            "PRAGMA foreign_keys = ON; PRAGMA case_sensitive_like = ON; PRAGMA trusted_schema = OFF; \
             PRAGMA cell_size_check = ON;",
        )?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
        set_limits(&connection)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
        let mode = Arc::new(AtomicU8::new(HOST));
        let own_tables = OwnTables::default();
        let (seen, own) = (Arc::clone(&mode), Arc::clone(&own_tables));
        connection.authorizer(Some(move |context: AuthContext<'_>| {
            authorize(seen.load(Ordering::Relaxed), &own, &context)
        }))?;
        let deadline_us = Arc::new(AtomicU64::new(NO_DEADLINE));
        let (deadline, now) = (Arc::clone(&deadline_us), Arc::clone(&clock));
        let late = move || {
            let deadline = deadline.load(Ordering::Relaxed);
            deadline != NO_DEADLINE && micros(now.monotonic()) >= deadline
        };
        connection.progress_handler(STEPS_PER_LOOK, Some(late))?;
        Ok(Self { connection, mode, own_tables, deadline_us, clock })
    }

    /// The connection, for the host's own statements. Their texts all name `weft_` tables or control transactions, so
    /// that no guest's text finds one of them in the statement cache.
    pub(super) fn host(&self) -> &Connection {
        &self.connection
    }

    /// The connection in the sandbox, until the answer is dropped; statements are interrupted after `limit`.
    pub(super) fn guest(&self, limit: Duration) -> Sandbox<'_> {
        self.deadline_us.store(micros(self.clock.monotonic() + limit), Ordering::Relaxed);
        self.enter(GUEST)
    }

    /// The connection in a sandbox that has no tables but `own`, until the answer is dropped. What is permitted is asked
    /// when a statement is prepared: the texts must be no others than those of one projection.
    pub(super) fn projection(&self, own: Vec<String>, limit: Duration) -> Sandbox<'_> {
        *self.own_tables.lock().unwrap_or_else(PoisonError::into_inner) = own;
        self.deadline_us.store(micros(self.clock.monotonic() + limit), Ordering::Relaxed);
        self.enter(PROJECTION)
    }

    /// The connection for a migration, until the answer is dropped.
    pub(super) fn migration(&self) -> Sandbox<'_> {
        self.enter(MIGRATION)
    }

    fn enter(&self, mode: u8) -> Sandbox<'_> {
        self.mode.store(mode, Ordering::Relaxed);
        Sandbox(self)
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(NO_DEADLINE - 1)
}

/// A connection on which only what the sandbox permits can be run.
pub(super) struct Sandbox<'a>(&'a Session);

impl Sandbox<'_> {
    pub(super) fn connection(&self) -> &Connection {
        &self.0.connection
    }
}

impl Drop for Sandbox<'_> {
    fn drop(&mut self) {
        self.0.mode.store(HOST, Ordering::Relaxed);
        self.0.deadline_us.store(NO_DEADLINE, Ordering::Relaxed);
    }
}

fn set_limits(connection: &Connection) -> rusqlite::Result<()> {
    let bounded = |bytes: usize| i32::try_from(bytes).unwrap_or(i32::MAX);
    for (limit, value) in [
        // Rows are values too: a row may hold several.
        (Limit::SQLITE_LIMIT_LENGTH, bounded(2 * limits::VALUE_BYTES)),
        // A migration is one text; those of functions are bounded before they come here.
        (Limit::SQLITE_LIMIT_SQL_LENGTH, bounded(super::migrations::MAX_BYTES)),
        (Limit::SQLITE_LIMIT_COLUMN, 1_000),
        (Limit::SQLITE_LIMIT_EXPR_DEPTH, 500),
        (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 500),
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1_000),
        (Limit::SQLITE_LIMIT_VARIABLE_NUMBER, bounded(limits::PARAMETERS)),
        (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 16),
        (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
    ] {
        connection.set_limit(limit, value)?;
    }
    Ok(())
}

fn authorize(mode: u8, own: &OwnTables, context: &AuthContext<'_>) -> Authorization {
    let permitted = match mode {
        HOST => true,
        MIGRATION => migration_may(&context.action),
        PROJECTION => projection_may(&context.action, &own.lock().unwrap_or_else(PoisonError::into_inner)),
        _ => context.database_name.is_none_or(|name| name == "main") && guest_may(&context.action),
    };
    if permitted { Authorization::Allow } else { Authorization::Deny }
}

/// A function reads and changes rows of its context's own tables, and nothing else.
fn guest_may(action: &AuthAction<'_>) -> bool {
    match action {
        AuthAction::Select | AuthAction::Recursive => true,
        AuthAction::Read { table_name, .. }
        | AuthAction::Insert { table_name }
        | AuthAction::Update { table_name, .. }
        | AuthAction::Delete { table_name } => !lexer::is_reserved(table_name) && !is_engine_table(table_name),
        AuthAction::Function { function_name } => is_harmless(function_name),
        _ => false,
    }
}

/// A projection reads and changes rows of its own tables, and nothing else: all that it makes comes from events.
fn projection_may(action: &AuthAction<'_>, own: &[String]) -> bool {
    match action {
        AuthAction::Select | AuthAction::Recursive => true,
        AuthAction::Read { table_name, .. }
        | AuthAction::Insert { table_name }
        | AuthAction::Update { table_name, .. }
        | AuthAction::Delete { table_name } => own.iter().any(|own| own.eq_ignore_ascii_case(table_name)),
        AuthAction::Function { function_name } => is_harmless(function_name),
        _ => false,
    }
}

/// A migration also changes the schema, but not the host's part of it.
fn migration_may(action: &AuthAction<'_>) -> bool {
    // The engine's own tables change with every migration, and their names are its business.
    let own = |name: &str| {
        !lexer::is_reserved(name)
            || ["sqlite_", "pragma_"]
                .iter()
                .any(|engine| name.get(..7).is_some_and(|it| it.eq_ignore_ascii_case(engine)))
    };
    match action {
        AuthAction::Select | AuthAction::Recursive => true,
        AuthAction::Read { table_name, .. }
        | AuthAction::Insert { table_name }
        | AuthAction::Update { table_name, .. }
        | AuthAction::Delete { table_name }
        | AuthAction::CreateTable { table_name }
        | AuthAction::DropTable { table_name }
        | AuthAction::AlterTable { table_name, .. }
        | AuthAction::Analyze { table_name } => own(table_name) && !is_engine_table(table_name),
        AuthAction::CreateIndex { index_name, table_name } | AuthAction::DropIndex { index_name, table_name } => {
            own(index_name) && own(table_name)
        }
        AuthAction::CreateTrigger { trigger_name, table_name }
        | AuthAction::DropTrigger { trigger_name, table_name } => own(trigger_name) && own(table_name),
        AuthAction::CreateView { view_name } | AuthAction::DropView { view_name } => own(view_name),
        AuthAction::Reindex { index_name } => own(index_name),
        AuthAction::Function { function_name } => is_harmless(function_name),
        _ => false,
    }
}

/// Tables that the engine makes up and that show its insides.
fn is_engine_table(name: &str) -> bool {
    ["dbstat", "bytecode", "tables_used", "fts3tokenize"].iter().any(|table| name.eq_ignore_ascii_case(table))
}

fn is_harmless(function: &str) -> bool {
    !["load_extension", "fts3_tokenizer", "readfile", "writefile", "edit"]
        .iter()
        .any(|name| function.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use weft_core::clock::ManualClock;

    use super::*;
    use crate::sql::SqlError;
    use crate::sql::embedded::schema;
    use crate::sql::embedded::statement::portable;

    /// The authorizer alone, without the check of texts that stands before it.
    #[test]
    fn the_sandbox_holds_by_itself() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let session = Session::open(&path, Role::Writer, Arc::new(ManualClock::default())).unwrap();
        schema::ensure(session.host()).unwrap();
        session.host().execute_batch("CREATE TABLE mine (a TEXT)").unwrap();
        let sandbox = session.guest(Duration::from_secs(5));
        for sql in [
            "SELECT key FROM weft_done",
            "SELECT key FROM 'weft_done'",
            "SELECT key FROM main.weft_done",
            "INSERT INTO weft_outbox (id) VALUES ('x')",
            "UPDATE mine SET a = (SELECT key FROM weft_done)",
            "DELETE FROM weft_migrations",
            "SELECT sql FROM sqlite_schema",
            "SELECT name FROM sqlite_temp_master",
            "SELECT name FROM pragma_table_info('mine')",
            "SELECT * FROM dbstat",
            "PRAGMA table_info(mine)",
            "PRAGMA journal_mode = DELETE",
            "ATTACH 'b.db' AS b",
            "DETACH main",
            "VACUUM",
            "VACUUM INTO 'b.db'",
            "BEGIN",
            "SAVEPOINT a",
            "CREATE TABLE more (a TEXT)",
            "CREATE TEMP TABLE more (a TEXT)",
            "CREATE VIEW more AS SELECT key FROM weft_done",
            "CREATE VIRTUAL TABLE more USING fts5(a)",
            "DROP TABLE mine",
            "ALTER TABLE mine RENAME TO weft_mine",
            "REINDEX",
            "ANALYZE",
            "SELECT load_extension('x')",
        ] {
            let run = sandbox.connection().prepare(sql).and_then(|mut statement| {
                let mut rows = statement.raw_query();
                while rows.next()?.is_some() {}
                Ok(())
            });
            let denied = |error: &rusqlite::Error| matches!(portable(error), SqlError::Denied(_));
            assert!(run.as_ref().is_err_and(denied), "{sql}: {run:?}");
        }
        let own = "INSERT INTO mine VALUES ('a') RETURNING a";
        assert_eq!(sandbox.connection().query_row(own, [], |row| row.get::<_, String>(0)).unwrap(), "a");
        drop(sandbox);
        let count = |table| session.host().query_row(&format!("SELECT COUNT(*) FROM {table}"), [], |row| row.get(0));
        assert_eq!((count("mine"), count("weft_outbox")), (Ok(1), Ok(0)), "the host itself is not held");
        assert!(!dir.path().join("b.db").exists());
    }
}
