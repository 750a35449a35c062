//! Opening the files of all contexts, and closing them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::ErrorCode;

use weft_core::Clock;
use weft_core::failpoint::Failpoints;

use super::Embedded;
use super::migrations::{self, MigrationError};
use super::schema::{self, SchemaError};
use super::session::{Role, Session};
use crate::events::EventStore;
use crate::outbox::OutboxSource;
use crate::projection::ReadModels;
use crate::sql::Database;

/// A context that has a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContextSettings {
    /// Lower-case letters, digits and `-`.
    pub name: String,
    /// The folder with its migrations, if it has any.
    pub migrations: Option<PathBuf>,
}

/// Bounds of the embedded backend, for each context.
#[derive(Clone, Debug)]
pub struct SqlSettings {
    /// How many queries run at the same time.
    pub readers: usize,
    /// How many cursors are open at the same time.
    pub cursors: usize,
    /// How many calls wait for each kind of thread.
    pub queue: usize,
    /// How long a call waits for a thread, in milliseconds.
    pub acquire_ms: u64,
    /// How long a statement runs, and the statements of one commit together, in milliseconds.
    pub statement_ms: u64,
    /// How long a transaction is open, in milliseconds.
    pub transaction_ms: u64,
    /// How long a cursor is open, in milliseconds.
    pub cursor_ms: u64,
    /// How long records of keys and tombstones are kept at least, in milliseconds.
    pub retention_ms: u64,
    /// Records since this time are kept however old they are, in milliseconds since the Unix epoch: the steps of a saga
    /// that is still known may be asked for again.
    pub kept_since: KeptSince,
}

/// Answers since when records are kept; now, if it is left out.
#[derive(Clone, Default)]
pub struct KeptSince(Option<Arc<dyn Fn() -> u64 + Send + Sync>>);

impl KeptSince {
    /// Asks `since_ms`, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn new(since_ms: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(since_ms)))
    }

    pub(super) fn since_ms(&self) -> u64 {
        self.0.as_ref().map_or(u64::MAX, |since_ms| since_ms())
    }
}

impl std::fmt::Debug for KeptSince {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("KeptSince").field(&self.0.is_some()).finish()
    }
}

impl Default for SqlSettings {
    fn default() -> Self {
        Self {
            readers: 4,
            cursors: 4,
            queue: 1_024,
            acquire_ms: 10_000,
            statement_ms: 5_000,
            transaction_ms: 5_000,
            cursor_ms: 60_000,
            retention_ms: 30 * 24 * 60 * 60 * 1_000,
            kept_since: KeptSince::default(),
        }
    }
}

/// Why a database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The name of a context is not fit for a file.
    #[error("context {0:?}: a name is 1 to 64 lower-case letters, digits and `-`, and begins with a letter")]
    Name(String),
    /// The folder or the thread cannot be made.
    #[error("{path}: {source}")]
    Io {
        /// Which folder or file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another process writes to the file.
    #[error("{0}: another process has locked the database; stop it first")]
    Locked(PathBuf),
    /// The file is not a database, or no longer.
    #[error("{0}: the file is not a SQLite database or is damaged; restore it from a backup")]
    Damaged(PathBuf),
    /// No space is left.
    #[error("{0}: the disk is full; free some space")]
    Full(PathBuf),
    /// The file was written by a newer version of the host.
    #[error(
        "{path}: the file has format {version}, made by a newer version of the host; this one knows {}",
        schema::VERSION
    )]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its format.
        version: i64,
    },
    /// Any other error of the engine.
    #[error("{path}: {source}")]
    Database {
        /// Which file.
        path: PathBuf,
        /// What the engine says.
        source: rusqlite::Error,
    },
    /// A migration does not fit.
    #[error("context `{context}`: {source}")]
    Migration {
        /// Which context.
        context: String,
        /// What is wrong.
        source: MigrationError,
    },
}

impl OpenError {
    fn of(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked(path),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged(path),
            Some(ErrorCode::DiskFull) => Self::Full(path),
            _ => Self::Database { path, source },
        }
    }
}

/// The databases of all contexts.
pub struct SqlHost {
    contexts: BTreeMap<String, Arc<Embedded>>,
}

impl SqlHost {
    /// Opens or creates `<data_dir>/sql/<context>.db` for each context and applies its migrations. Inside a tokio
    /// runtime, time limits are waited for by that runtime.
    ///
    /// # Errors
    /// [`OpenError`] says which file or migration is wrong and what to do.
    pub fn open(
        data_dir: &Path,
        contexts: &[ContextSettings],
        clock: Arc<dyn Clock>,
        failpoints: Failpoints,
    ) -> Result<Self, OpenError> {
        Self::open_with(data_dir, contexts, clock, failpoints, &SqlSettings::default())
    }

    /// The same with other bounds.
    ///
    /// # Errors
    /// As [`SqlHost::open`].
    pub fn open_with(
        data_dir: &Path,
        contexts: &[ContextSettings],
        clock: Arc<dyn Clock>,
        failpoints: Failpoints,
        settings: &SqlSettings,
    ) -> Result<Self, OpenError> {
        let folder = data_dir.join("sql");
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| OpenError::Io { path, source }
        };
        std::fs::create_dir_all(&folder).map_err(io(&folder))?;
        let mut opened = BTreeMap::new();
        for context in contexts {
            let path = file(&folder, &context.name)?;
            let session = prepare(&path, context, &clock)?;
            let parts = (settings.clone(), Arc::clone(&clock), failpoints.clone());
            let database = Embedded::start(context, path.clone(), session, parts).map_err(io(&path))?;
            opened.insert(context.name.clone(), Arc::new(database));
        }
        // The files themselves are durable only with their names.
        std::fs::File::open(&folder).and_then(|folder| folder.sync_all()).map_err(io(&folder))?;
        Ok(Self { contexts: opened })
    }

    /// The database of a context, if it was opened.
    #[must_use]
    pub fn database(&self, context: &str) -> Option<Arc<dyn Database>> {
        self.contexts.get(context).map(|database| Arc::clone(database) as Arc<dyn Database>)
    }

    /// The event store of a context, if it was opened.
    #[must_use]
    pub fn events(&self, context: &str) -> Option<Arc<dyn EventStore>> {
        self.contexts.get(context).map(|database| Arc::clone(database) as Arc<dyn EventStore>)
    }

    /// The read models of a context, if it was opened.
    #[must_use]
    pub fn read_models(&self, context: &str) -> Option<Arc<dyn ReadModels>> {
        self.contexts.get(context).map(|database| Arc::clone(database) as Arc<dyn ReadModels>)
    }

    /// The outbox of a context, if it was opened.
    #[must_use]
    pub fn outbox(&self, context: &str) -> Option<Arc<dyn OutboxSource>> {
        self.contexts.get(context).map(|database| Arc::clone(database) as Arc<dyn OutboxSource>)
    }

    /// The names of the contexts.
    pub fn contexts(&self) -> impl Iterator<Item = &str> {
        self.contexts.keys().map(String::as_str)
    }

    /// Refuses new calls, rolls open transactions back, closes cursors, finishes what was taken in, and closes the
    /// files. Blocks until that is done.
    pub fn shutdown(&self) {
        for database in self.contexts.values() {
            database.close();
        }
        for database in self.contexts.values() {
            database.join();
        }
    }
}

fn file(folder: &Path, context: &str) -> Result<PathBuf, OpenError> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let begins = context.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    if !begins || context.len() > 64 || !context.bytes().all(fits) {
        return Err(OpenError::Name(context.to_owned()));
    }
    Ok(folder.join(format!("{context}.db")))
}

fn prepare(path: &Path, context: &ContextSettings, clock: &Arc<dyn Clock>) -> Result<Session, OpenError> {
    let session = Session::open(path, Role::Writer, Arc::clone(clock)).map_err(|error| OpenError::of(path, error))?;
    schema::ensure(session.host()).map_err(|error| match error {
        SchemaError::Newer(version) => OpenError::Newer { path: path.to_owned(), version },
        SchemaError::Sqlite(error) => OpenError::of(path, error),
    })?;
    if let Some(folder) = &context.migrations {
        migrations::apply(&session, folder, clock.as_ref())
            .map_err(|source| OpenError::Migration { context: context.name.clone(), source })?;
    }
    Ok(session)
}
