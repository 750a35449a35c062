//! One connection on a thread of its own: what a component does on it, transactions as text included, concerns no other
//! connection. The authorizer keeps it inside its file.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::fallible_iterator::FallibleIterator as _;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{ErrorCode, OpenFlags};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use weft_core::Clock;

use super::{Error, QueryResult, Row, Value};

/// How long a connection waits for another one's transaction, in milliseconds.
const BUSY_TIMEOUT_MS: u64 = 5_000;
/// How long a statement may run until it gives its next row, in milliseconds.
const STATEMENT_MS: u64 = 5_000;
const STEPS_PER_LOOK: i32 = 1_000;
const STATEMENTS_CACHED: usize = 64;
/// The most bytes of values that `execute` gathers; a stream may be longer.
const RESULT_BYTES: usize = 16 * 1024 * 1024;
const VALUE_BYTES: i32 = 16 * 1024 * 1024;
const SQL_BYTES: usize = 1024 * 1024;
/// A database may have this many pages of 4 KiB: 1 GiB.
const MAX_PAGES: u32 = 262_144;
/// How many rows of a stream wait for the component.
const ROWS_AHEAD: usize = 64;

type Reply<T> = oneshot::Sender<Result<T, Error>>;

enum Command {
    Execute { sql: String, parameters: Vec<Value>, reply: Reply<QueryResult> },
    Stream { sql: String, parameters: Vec<Value>, reply: Reply<Stream> },
    Script { sql: String, reply: Reply<()> },
    LastInsertRowid(oneshot::Sender<i64>),
    Changes(oneshot::Sender<u64>),
}

/// A result whose rows come one after the other.
pub struct Stream {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The rows; the channel closes at the end.
    pub rows: mpsc::Receiver<Row>,
    /// How the statement ended.
    pub ended: oneshot::Receiver<Result<(), Error>>,
}

/// The caller's half of a connection. When its last clone is dropped, the connection is closed, and what was not
/// committed is rolled back.
#[derive(Clone)]
pub struct Connection(mpsc::Sender<Command>);

impl Connection {
    pub(super) async fn open(
        path: PathBuf,
        clock: Arc<dyn Clock>,
        permit: OwnedSemaphorePermit,
    ) -> Result<Self, Error> {
        let (commands, received) = mpsc::channel(16);
        let (reply, opened) = oneshot::channel();
        let serve = move || {
            // Held as long as the thread lives.
            let _permit = permit;
            match Session::open(&path, clock) {
                Ok(session) => {
                    if reply.send(Ok(())).is_ok() {
                        session.serve(received);
                    }
                }
                // Who no longer waits needs no answer, here and below.
                Err(error) => drop(reply.send(Err(error))),
            }
        };
        std::thread::Builder::new()
            .name("spin-sqlite".to_owned())
            .spawn(serve)
            .map_err(|error| Error::Io(format!("a thread for the connection: {error}")))?;
        opened.await.unwrap_or_else(|_| Err(gone()))?;
        Ok(Self(commands))
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.0.send(command(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())
    }

    /// Runs a statement and gathers its rows.
    ///
    /// # Errors
    /// [`Error::DatabaseFull`], or [`Error::Io`] with SQLite's words; also past 16 MiB of values and after 5 s.
    pub async fn execute(&self, sql: String, parameters: Vec<Value>) -> Result<QueryResult, Error> {
        self.ask(|reply| Command::Execute { sql, parameters, reply }).await?
    }

    /// Runs a statement and lets its rows come as they are taken. Meanwhile the connection does nothing else.
    ///
    /// # Errors
    /// As [`Connection::execute`], for what happens before the first row; the rest is in the stream's end.
    pub async fn stream(&self, sql: String, parameters: Vec<Value>) -> Result<Stream, Error> {
        self.ask(|reply| Command::Stream { sql, parameters, reply }).await?
    }

    /// Runs statements one after another, each as it would be alone; those before one that fails stay done.
    ///
    /// # Errors
    /// As [`Connection::execute`]; also past 1 MiB of text, and if a transaction is left open, which is rolled back.
    pub async fn script(&self, sql: String) -> Result<(), Error> {
        self.ask(|reply| Command::Script { sql, reply }).await?
    }

    /// The rowid of the last successful INSERT of this connection, or 0.
    ///
    /// # Errors
    /// [`Error::Io`] if the connection is gone.
    pub async fn last_insert_rowid(&self) -> Result<i64, Error> {
        self.ask(Command::LastInsertRowid).await
    }

    /// How many rows the last INSERT, UPDATE or DELETE changed.
    ///
    /// # Errors
    /// [`Error::Io`] if the connection is gone.
    pub async fn changes(&self) -> Result<u64, Error> {
        self.ask(Command::Changes).await
    }
}

fn gone() -> Error {
    Error::Io("the connection is closed".to_owned())
}

/// The thread's half.
struct Session {
    connection: rusqlite::Connection,
    clock: Arc<dyn Clock>,
    deadline_ms: Arc<AtomicU64>,
}

impl Session {
    fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| Error::Io(format!("{}: {error}", folder.display())))?;
        }
        let deadline_ms = Arc::new(AtomicU64::new(u64::MAX));
        let connection = configure(path, &clock, &deadline_ms).map_err(|error| say(&error))?;
        Ok(Self { connection, clock, deadline_ms })
    }

    fn serve(&self, mut commands: mpsc::Receiver<Command>) {
        while let Some(command) = commands.blocking_recv() {
            match command {
                Command::Execute { sql, parameters, reply } => drop(reply.send(self.execute(&sql, &parameters))),
                Command::Stream { sql, parameters, reply } => self.stream(&sql, &parameters, reply),
                Command::Script { sql, reply } => drop(reply.send(self.script(&sql))),
                Command::LastInsertRowid(reply) => drop(reply.send(self.connection.last_insert_rowid())),
                Command::Changes(reply) => drop(reply.send(self.connection.changes())),
            }
        }
    }

    fn start_clock(&self) {
        let deadline = millis(self.clock.monotonic()).saturating_add(STATEMENT_MS);
        self.deadline_ms.store(deadline, Ordering::Relaxed);
    }

    fn prepare(&self, sql: &str, parameters: &[Value]) -> Result<rusqlite::CachedStatement<'_>, Error> {
        self.start_clock();
        let mut statement = self.connection.prepare_cached(sql).map_err(|error| say(&error))?;
        let wanted = statement.parameter_count();
        if wanted != parameters.len() {
            return Err(Error::Io(format!(
                "the statement takes {wanted} parameters, and {} are given",
                parameters.len()
            )));
        }
        for (index, value) in (1..).zip(parameters) {
            statement.raw_bind_parameter(index, native(value)).map_err(|error| say(&error))?;
        }
        Ok(statement)
    }

    fn script(&self, sql: &str) -> Result<(), Error> {
        if sql.len() > SQL_BYTES {
            return Err(Error::Io(format!("{} bytes of statements; {SQL_BYTES} go at once", sql.len())));
        }
        let mut statements = rusqlite::Batch::new(&self.connection, sql);
        for number in 1.. {
            self.start_clock();
            // SQLite's message names what is wrong; the rest of the text would follow it.
            let failed = |error: rusqlite::Error| match error {
                rusqlite::Error::SqlInputError { msg, .. } => Error::Io(format!("statement {number}: {msg}")),
                other => say(&other),
            };
            let Some(mut statement) = statements.next().map_err(failed)? else { break };
            let mut rows = statement.query([]).map_err(failed)?;
            while rows.next().map_err(failed)?.is_some() {}
        }
        if self.connection.is_autocommit() {
            return Ok(());
        }
        self.connection.execute_batch("ROLLBACK").map_err(|error| say(&error))?;
        Err(Error::Io("a transaction is begun and not ended; nothing of it was done".to_owned()))
    }

    fn execute(&self, sql: &str, parameters: &[Value]) -> Result<QueryResult, Error> {
        let mut statement = self.prepare(sql, parameters)?;
        let columns: Vec<_> = statement.column_names().map(str::to_owned).collect();
        let mut result = QueryResult { columns, rows: Vec::new() };
        let mut rows = statement.raw_query();
        let mut bytes = 0;
        while let Some(row) = rows.next().map_err(|error| say(&error))? {
            let row = read(row, result.columns.len())?;
            bytes += row.iter().map(size).sum::<usize>();
            if bytes > RESULT_BYTES {
                return Err(Error::Io(format!("the result has more than {RESULT_BYTES} bytes; stream it or LIMIT it")));
            }
            result.rows.push(row);
        }
        Ok(result)
    }

    fn stream(&self, sql: &str, parameters: &[Value], reply: Reply<Stream>) {
        let mut statement = match self.prepare(sql, parameters) {
            Ok(statement) => statement,
            Err(error) => return drop(reply.send(Err(error))),
        };
        let columns: Vec<_> = statement.column_names().map(str::to_owned).collect();
        let (width, (rows, taken), (end, ended)) = (columns.len(), mpsc::channel(ROWS_AHEAD), oneshot::channel());
        if reply.send(Ok(Stream { columns, rows: taken, ended })).is_err() {
            return;
        }
        let mut found = statement.raw_query();
        let result = loop {
            self.start_clock();
            let row = match found.next() {
                Ok(Some(row)) => read(row, width),
                Ok(None) => break Ok(()),
                Err(error) => break Err(say(&error)),
            };
            match row {
                // Who drops the stream has had enough.
                Ok(row) => {
                    if rows.blocking_send(row).is_err() {
                        break Ok(());
                    }
                }
                Err(error) => break Err(error),
            }
        };
        let _ = end.send(result);
    }
}

fn configure(
    path: &Path,
    clock: &Arc<dyn Clock>,
    deadline_ms: &Arc<AtomicU64>,
) -> rusqlite::Result<rusqlite::Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = rusqlite::Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS))?;
    connection.execute_batch(&format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA max_page_count = {MAX_PAGES}; \
         PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;"
    ))?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, VALUE_BYTES)?;
    connection.set_limit(Limit::SQLITE_LIMIT_SQL_LENGTH, SQL_BYTES as i32)?;
    connection.set_limit(Limit::SQLITE_LIMIT_WORKER_THREADS, 0)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
    connection.authorizer(Some(
        |context: AuthContext<'_>| {
            if may(&context.action) { Authorization::Allow } else { Authorization::Deny }
        },
    ))?;
    let (deadline_ms, clock) = (Arc::clone(deadline_ms), Arc::clone(clock));
    let late = move || millis(clock.monotonic()) >= deadline_ms.load(Ordering::Relaxed);
    connection.progress_handler(STEPS_PER_LOOK, Some(late))?;
    Ok(connection)
}

/// A component may do in its file what it likes, but not leave the file, change how it is kept, or undo what guards the
/// host against a file that somebody has tampered with.
fn may(action: &AuthAction<'_>) -> bool {
    match action {
        AuthAction::Attach { .. } | AuthAction::Detach { .. } | AuthAction::Unknown { .. } => false,
        AuthAction::Pragma { pragma_name, pragma_value } => may_pragma(pragma_name, *pragma_value),
        AuthAction::Function { function_name } => {
            !["load_extension", "fts3_tokenizer"].iter().any(|name| function_name.eq_ignore_ascii_case(name))
        }
        _ => true,
    }
}

fn may_pragma(name: &str, value: Option<&str>) -> bool {
    let of_table = ["table_info", "table_xinfo", "index_list", "index_info", "index_xinfo", "foreign_key_list"];
    let alone = ["table_list", "user_version", "schema_version", "application_id", "foreign_keys", "encoding"];
    let is = |names: &[&str]| names.iter().any(|known| name.eq_ignore_ascii_case(known));
    // What concerns its own connection or its own file alone. A rollback journal would cost a file for each commit.
    let settings = [
        ("application_id", None),
        ("case_sensitive_like", None),
        ("defer_foreign_keys", None),
        ("foreign_keys", None),
        ("journal_mode", Some("wal")),
        ("recursive_triggers", None),
        ("synchronous", Some("full")),
        ("trusted_schema", Some("off")),
        ("user_version", None),
    ];
    let may_set = |given: &str| {
        let named = settings.iter().find(|(known, _)| name.eq_ignore_ascii_case(known));
        named.is_some_and(|(_, only)| only.is_none_or(|only| given.eq_ignore_ascii_case(only)))
    };
    is(&of_table) || (is(&alone) && value.is_none()) || value.is_some_and(may_set)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn native(value: &Value) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(match value {
        Value::Null => ValueRef::Null,
        Value::Integer(integer) => ValueRef::Integer(*integer),
        Value::Real(real) => ValueRef::Real(*real),
        Value::Text(text) => ValueRef::Text(text.as_bytes()),
        Value::Blob(blob) => ValueRef::Blob(blob),
    })
}

fn read(row: &rusqlite::Row<'_>, width: usize) -> Result<Row, Error> {
    let value = |index| {
        Ok(match row.get_ref(index).map_err(|error| say(&error))? {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(integer) => Value::Integer(integer),
            ValueRef::Real(real) => Value::Real(real),
            ValueRef::Text(text) => {
                let text = String::from_utf8(text.to_vec());
                Value::Text(text.map_err(|_| Error::Io("a text in the result is not UTF-8".to_owned()))?)
            }
            ValueRef::Blob(blob) => Value::Blob(blob.to_vec()),
        })
    };
    (0..width).map(value).collect()
}

fn size(value: &Value) -> usize {
    match value {
        Value::Null => 1,
        Value::Integer(_) | Value::Real(_) => 8,
        Value::Text(text) => text.len(),
        Value::Blob(blob) => blob.len(),
    }
}

fn say(error: &rusqlite::Error) -> Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Error::DatabaseFull,
        Some(ErrorCode::OperationInterrupted) => {
            Error::Io(format!("the statement ran for more than {STATEMENT_MS} ms"))
        }
        _ => Error::Io(error.to_string()),
    }
}
