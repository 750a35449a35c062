//! Which projections were told to wait, kept over restarts in one small SQLite file. Doing it is the runner's.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use weft_core::Failure;

use crate::sqlite_file::SqliteFile;

const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS paused (id TEXT PRIMARY KEY) WITHOUT ROWID";

#[derive(Debug)]
pub(super) struct Pauses(Arc<SqliteFile>);

impl Pauses {
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        Ok(Self(Arc::new(SqliteFile::open(path, SCHEMA)?)))
    }

    pub(super) async fn all(&self) -> Result<BTreeSet<String>, Failure> {
        self.0.read(|db| db.prepare("SELECT id FROM paused")?.query_map([], |row| row.get(0))?.collect()).await
    }

    /// Durable when it answers.
    pub(super) async fn set(&self, id: String, paused: bool) -> Result<(), Failure> {
        let sql = if paused { "INSERT OR IGNORE INTO paused VALUES (?1)" } else { "DELETE FROM paused WHERE id = ?1" };
        self.0.write(move |db| db.execute(sql, [id]).map(drop), |_| {}).await
    }
}
