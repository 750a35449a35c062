//! The registry's file, `schemas.db` in the data directory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OpenFlags};

use weft_core::{Failure, Fault, Reason};

use super::document::Document;
use super::evolution::Mode;
use super::registry::{EventType, Given, Types, Version};
use crate::sqlite_file::SqliteFile;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS schema(
    type TEXT NOT NULL, version INTEGER NOT NULL, document TEXT NOT NULL, registered_at_ms INTEGER NOT NULL,
    begins_line INTEGER NOT NULL, PRIMARY KEY(type, version)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS mode(type TEXT PRIMARY KEY, mode TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS deprecation(
    type TEXT NOT NULL, pointer TEXT NOT NULL, at_ms INTEGER NOT NULL, PRIMARY KEY(type, pointer)) STRICT, WITHOUT ROWID;
";

/// The file.
#[derive(Debug)]
pub(super) struct Stored {
    file: SqliteFile,
    path: PathBuf,
}

impl Stored {
    pub(super) fn open(data: &Path) -> Result<Self, Failure> {
        let path = data.join(NAME);
        Ok(Self { file: SqliteFile::open(&path, SCHEMA)?, path })
    }

    /// Everything. Blocks.
    pub(super) fn load(&self) -> Result<Types, Failure> {
        types(&self.path, self.file.read_blocking(rows)?)
    }

    pub(super) async fn insert(&self, new: Vec<(Given, bool)>, now_ms: u64) -> Result<(), Failure> {
        let now_ms = i64::try_from(now_ms).unwrap_or(i64::MAX);
        let insert = move |db: &Connection| {
            let mut insert = db.prepare_cached("INSERT INTO schema VALUES (?1, ?2, ?3, ?4, ?5)")?;
            for (given, begins_line) in &new {
                let document = given.document.written().to_string();
                insert.execute((&given.kind, given.version, document, now_ms, begins_line))?;
            }
            Ok(())
        };
        self.file.write(insert, |_| {}).await
    }

    pub(super) async fn set_mode(&self, kind: String, mode: Mode) -> Result<(), Failure> {
        let set = move |db: &Connection| db.execute("REPLACE INTO mode VALUES (?1, ?2)", (kind, mode.as_str()));
        self.file.write(set, |_| {}).await.map(drop)
    }

    /// The first time counts.
    pub(super) async fn deprecate(&self, kind: String, pointer: String, now_ms: u64) -> Result<(), Failure> {
        let now_ms = i64::try_from(now_ms).unwrap_or(i64::MAX);
        let note = move |db: &Connection| {
            db.execute("INSERT OR IGNORE INTO deprecation VALUES (?1, ?2, ?3)", (kind, pointer, now_ms))
        };
        self.file.write(note, |_| {}).await.map(drop)
    }
}

const NAME: &str = "schemas.db";

/// Everything in the registry of a data directory, if it has one. Takes no lock.
pub(super) fn read(data: &Path) -> Result<Option<Types>, Failure> {
    let path = data.join(NAME);
    if !path.exists() {
        return Ok(None);
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let read = Connection::open_with_flags(&path, flags).and_then(|db| rows(&db));
    types(&path, read.map_err(|error| unreadable(&path, &error.to_string()))?).map(Some)
}

struct Rows {
    versions: Vec<(String, u32, String, u64, bool)>,
    modes: Vec<(String, String)>,
    deprecations: Vec<(String, String, u64)>,
}

fn number(row: &rusqlite::Row<'_>, index: usize) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(index)?.max(0).unsigned_abs())
}

fn rows(db: &Connection) -> rusqlite::Result<Rows> {
    let mut versions =
        db.prepare("SELECT type, version, document, registered_at_ms, begins_line FROM schema ORDER BY type, version")?;
    let versions =
        versions.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, number(row, 3)?, row.get(4)?)))?;
    let mut modes = db.prepare("SELECT type, mode FROM mode")?;
    let modes = modes.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut deprecations = db.prepare("SELECT type, pointer, at_ms FROM deprecation ORDER BY at_ms")?;
    let deprecations = deprecations.query_map([], |row| Ok((row.get(0)?, row.get(1)?, number(row, 2)?)))?;
    Ok(Rows {
        versions: versions.collect::<Result<_, _>>()?,
        modes: modes.collect::<Result<_, _>>()?,
        deprecations: deprecations.collect::<Result<_, _>>()?,
    })
}

fn types(path: &Path, rows: Rows) -> Result<Types, Failure> {
    let mut types: BTreeMap<String, EventType> = BTreeMap::new();
    for (kind, number, document, registered_at_ms, begins_line) in rows.versions {
        let document = Document::parse(document.as_bytes())
            .map_err(|error| unreadable(path, &format!("{kind}/{number}: {error}")))?;
        let version = Version::new(document, registered_at_ms, begins_line);
        let known = types.entry(kind).or_insert_with(|| EventType {
            mode: Mode::default(),
            deprecated_at_ms: None,
            deprecated_fields: Vec::new(),
            versions: BTreeMap::new(),
        });
        known.versions.insert(number, Arc::new(version));
    }
    for (kind, mode) in rows.modes {
        if let Some(known) = types.get_mut(&kind) {
            known.mode = mode.parse().map_err(|error: String| unreadable(path, &error))?;
        }
    }
    for (kind, pointer, at_ms) in rows.deprecations {
        match types.get_mut(&kind) {
            Some(known) if pointer.is_empty() => known.deprecated_at_ms = Some(at_ms),
            Some(known) => known.deprecated_fields.push((pointer, at_ms)),
            None => {}
        }
    }
    Ok(types.into_iter().map(|(kind, known)| (kind.into(), Arc::new(known))).collect())
}

fn unreadable(path: &Path, error: &str) -> Failure {
    let message = format!("the schemas in {} cannot be read: {error}", path.display());
    Failure::not_attempted(Fault::Host, Reason::Internal, message)
}
