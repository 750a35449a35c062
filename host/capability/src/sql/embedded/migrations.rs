//! Migrations: the files `NNNN_name.sql` of a folder, applied once and in order. What they may not do is decided by
//! the authorizer.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rusqlite::params;

use weft_core::Clock;
use weft_core::id::digest;

use super::session::Session;
use super::statement::portable;
use crate::sql::lexer;

/// The largest migration, in bytes.
pub(super) const MAX_BYTES: usize = 1024 * 1024;
/// How many migrations a folder may have.
const MAX_FILES: usize = 10_000;

/// Why the migrations of a context cannot be applied.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// The folder or a file in it cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not a migration.
    #[error("{path}: {problem}")]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// The folder does not fit what the database has had applied.
    #[error("migration {number:04}: {problem}")]
    History {
        /// Which migration.
        number: i64,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// The database refused.
    #[error("the table of migrations: {0}")]
    Database(String),
}

struct Migration {
    number: i64,
    name: String,
    path: PathBuf,
    sql: String,
    digest: String,
}

/// Applies what the folder has and the database has not.
pub(super) fn apply(session: &Session, folder: &Path, clock: &dyn Clock) -> Result<(), MigrationError> {
    let wanted = read(folder)?;
    let applied = applied(session).map_err(|error| MigrationError::Database(portable(&error).to_string()))?;
    for (number, (name, old_digest)) in &applied {
        let problem = match wanted.get(number) {
            None => format!("`{name}` was applied to this database, and its file is gone from {}", folder.display()),
            Some(migration) if migration.digest != *old_digest => {
                format!("{} was changed after it was applied; put it back and add a new one", migration.path.display())
            }
            Some(_) => continue,
        };
        return Err(MigrationError::History { number: *number, problem });
    }
    let newest = applied.last_key_value().map_or(i64::MIN, |(number, _)| *number);
    for migration in wanted.values().filter(|migration| !applied.contains_key(&migration.number)) {
        if migration.number < newest {
            let path = migration.path.display();
            let problem = format!("{path} is new, but {newest:04} was applied before it; give it a higher number");
            return Err(MigrationError::History { number: migration.number, problem });
        }
        run(session, migration, clock)
            .map_err(|problem| MigrationError::File { path: migration.path.clone(), problem })?;
    }
    Ok(())
}

fn applied(session: &Session) -> rusqlite::Result<BTreeMap<i64, (String, String)>> {
    let mut select = session.host().prepare("SELECT number, name, digest FROM weft_migrations")?;
    let rows = select.query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))?;
    rows.collect()
}

fn run(session: &Session, migration: &Migration, clock: &dyn Clock) -> Result<(), String> {
    lexer::check_script(&migration.sql).map_err(|error| error.to_string())?;
    let connection = session.host();
    let failed = |error: rusqlite::Error| portable(&error).to_string();
    connection.execute_batch("BEGIN IMMEDIATE").map_err(failed)?;
    let ran = {
        let sandbox = session.migration();
        sandbox.connection().execute_batch(&migration.sql).map_err(failed)
    };
    let done = ran.and_then(|()| {
        connection
            .execute(
                "INSERT INTO weft_migrations (number, name, digest, applied_at_ms) VALUES (?1, ?2, ?3, ?4)",
                params![
                    migration.number,
                    migration.name,
                    migration.digest,
                    i64::try_from(clock.now_ms()).unwrap_or(i64::MAX)
                ],
            )
            .and_then(|_| connection.execute_batch("COMMIT"))
            .map_err(failed)
    });
    super::writer::roll_back(session);
    done
}

/// The migrations of a folder, by number.
fn read(folder: &Path) -> Result<BTreeMap<i64, Migration>, MigrationError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |source| MigrationError::Read { path, source }
    };
    let mut migrations = BTreeMap::<i64, Migration>::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable(folder))? {
        let path = entry.map_err(unreadable(folder))?.path();
        if path.extension().is_none_or(|extension| extension != "sql") {
            continue;
        }
        let bad = |problem: String| MigrationError::File { path: path.clone(), problem };
        let (number, name) = parse_name(&path)
            .ok_or_else(|| bad("its name has to be NNNN_name.sql, such as 0001_create-courses.sql".to_owned()))?;
        let sql = std::fs::read_to_string(&path).map_err(unreadable(&path))?;
        if sql.len() > MAX_BYTES {
            return Err(bad(format!("it has {} bytes, at most {MAX_BYTES} fit; split it", sql.len())));
        }
        let digest = digest(sql.as_bytes());
        let migration = Migration { number, name, path: path.clone(), sql, digest };
        if let Some(twin) = migrations.insert(number, migration) {
            return Err(bad(format!("it has the same number as {}", twin.path.display())));
        }
        if migrations.len() > MAX_FILES {
            return Err(bad(format!("the folder has more than {MAX_FILES} migrations")));
        }
    }
    Ok(migrations)
}

fn parse_name(path: &Path) -> Option<(i64, String)> {
    let (number, name) = path.file_stem()?.to_str()?.split_once('_')?;
    let number =
        (number.len() == 4 && number.bytes().all(|byte| byte.is_ascii_digit())).then(|| number.parse().ok())?;
    Some((number?, name.to_owned()))
}
