//! `spin:sqlite`: plain SQLite files for components that were written for Spin, `<data>/spin-sqlite/<label>.db` unless the
//! runtime configuration says otherwise. They
//! have nothing to do with the databases of contexts. Here are the files, their limits and the rule of what a component
//! may open; a connection is in `connection`, the WIT interface in [`glue`].

mod connection;
pub mod glue;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::Semaphore;

use weft_core::Clock;

pub use connection::{Connection, Stream};

/// How many connections all components have open at the same time.
const MAX_CONNECTIONS: usize = 128;

/// A value as SQLite has it.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// NULL
    Null,
    /// A 64-bit integer.
    Integer(i64),
    /// A 64-bit float.
    Real(f64),
    /// UTF-8.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// The values of one row.
pub type Row = Vec<Value>;

/// The rows of a statement.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueryResult {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<Row>,
}

/// What can go wrong, in the words of the interface.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No database can have this name.
    #[error("no such database")]
    NoSuchDatabase,
    /// The component is not granted this database.
    #[error("access denied")]
    AccessDenied,
    /// The disk, or the space of one database, is used up.
    #[error("the database is full")]
    DatabaseFull,
    /// Anything else.
    #[error("{0}")]
    Io(String),
}

/// The files of all labels.
#[derive(Clone)]
pub struct Databases {
    folder: PathBuf,
    /// Files elsewhere.
    elsewhere: Arc<BTreeMap<Arc<str>, PathBuf>>,
    clock: Arc<dyn Clock>,
    connections: Arc<Semaphore>,
}

impl Databases {
    /// The databases under `data_dir`. Nothing is opened or made yet.
    #[must_use]
    pub fn new(data_dir: &Path, clock: Arc<dyn Clock>) -> Self {
        let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        Self { folder: data_dir.join("spin-sqlite"), elsewhere: Arc::default(), clock, connections }
    }

    /// The same, but for the labels of `elsewhere`, whose files are there.
    #[must_use]
    pub fn with_files(self, elsewhere: BTreeMap<Arc<str>, PathBuf>) -> Self {
        Self { elsewhere: Arc::new(elsewhere), ..self }
    }

    /// Opens a connection to the database `label`, which is made if it is not there. Grants are checked by the caller.
    ///
    /// # Errors
    /// [`Error::NoSuchDatabase`] for a name that is no label, [`Error::Io`] when too many connections are open or the
    /// file cannot be opened.
    pub async fn open(&self, label: &str) -> Result<Connection, Error> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if label.is_empty() || label.len() > 64 || !label.bytes().all(fits) {
            return Err(Error::NoSuchDatabase);
        }
        let permit = Arc::clone(&self.connections)
            .try_acquire_owned()
            .map_err(|_| Error::Io(format!("{MAX_CONNECTIONS} connections are open; try again later")))?;
        let elsewhere = self.elsewhere.get(label).cloned();
        let path = elsewhere.unwrap_or_else(|| self.folder.join(format!("{label}.db")));
        Connection::open(path, Arc::clone(&self.clock), permit).await
    }
}

#[cfg(test)]
mod tests;
