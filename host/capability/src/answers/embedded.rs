//! The embedded backend of kept answers: one SQLite file, writes grouped into one flush.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use futures::future::BoxFuture;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use weft_core::answers::{AnswerBounds, AnswerKey, Answers, Hash, KeptAnswer};
use weft_core::{Clock, Failpoints, Failure, Fault, Reason};

use crate::sqlite_file::SqliteFile;

/// What each owner has, and all, is kept beside the answers, so that nothing has to be counted. The owner of all is
/// the empty one.
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS answers (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        owner BLOB NOT NULL,
        request BLOB NOT NULL UNIQUE,
        fingerprint BLOB NOT NULL,
        status INTEGER NOT NULL,
        headers BLOB NOT NULL,
        body BLOB NOT NULL,
        bytes INTEGER NOT NULL,
        expires_at_ms INTEGER NOT NULL
    );
    CREATE INDEX IF NOT EXISTS answers_by_owner ON answers (owner, number);
    CREATE INDEX IF NOT EXISTS answers_by_end ON answers (expires_at_ms);
    CREATE TABLE IF NOT EXISTS owners (
        owner BLOB PRIMARY KEY,
        answers INTEGER NOT NULL,
        bytes INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TRIGGER IF NOT EXISTS answer_added AFTER INSERT ON answers BEGIN
        INSERT INTO owners VALUES (new.owner, 1, new.bytes), (x'', 1, new.bytes)
            ON CONFLICT (owner) DO UPDATE SET answers = answers + 1, bytes = bytes + new.bytes;
    END;
    CREATE TRIGGER IF NOT EXISTS answer_removed AFTER DELETE ON answers BEGIN
        UPDATE owners SET answers = answers - 1, bytes = bytes - old.bytes WHERE owner IN (old.owner, x'');
        DELETE FROM owners WHERE owner = old.owner AND answers = 0;
    END;
";
const FIND: &str = "SELECT fingerprint, status, headers, body FROM answers WHERE request = ?1 AND expires_at_ms > ?2";
const ADD: &str = "INSERT INTO answers (owner, request, fingerprint, status, headers, body, bytes, expires_at_ms)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
const REMOVE: &str = "DELETE FROM answers WHERE request = ?1";
const OWNED: &str = "SELECT answers, bytes FROM owners WHERE owner = ?1";
const REMOVE_OLDEST_OF: &str =
    "DELETE FROM answers WHERE number = (SELECT number FROM answers WHERE owner = ?1 ORDER BY number LIMIT 1)";
const REMOVE_OLDEST: &str = "DELETE FROM answers WHERE number = (SELECT number FROM answers ORDER BY number LIMIT 1)";
/// So many that have ended are removed with a write.
const SWEEP: &str = "DELETE FROM answers WHERE number IN
    (SELECT number FROM answers WHERE expires_at_ms <= ?1 ORDER BY expires_at_ms LIMIT 200)";
const SWEEP_EVERY_MS: u64 = 1_000;
/// So many are removed with one write at most, when bounds have become narrower; the rest with the next ones.
const MOST_REMOVED: usize = 1_000;

/// Kept answers in one file.
#[derive(Debug)]
pub struct Embedded {
    file: Arc<SqliteFile>,
    clock: Arc<dyn Clock>,
    failpoints: Failpoints,
    next_sweep_ms: Arc<AtomicU64>,
}

impl Embedded {
    /// Opens or creates the file at `path`. The caller holds the data directory's lock.
    ///
    /// # Errors
    /// The file cannot be opened, or is none of kept answers.
    pub fn open(path: &Path, clock: Arc<dyn Clock>, failpoints: Failpoints) -> Result<Self, Failure> {
        let file = Arc::new(SqliteFile::open(path, SCHEMA)?);
        Ok(Self { file, clock, failpoints, next_sweep_ms: Arc::default() })
    }
}

impl Answers for Embedded {
    fn find(&self, key: AnswerKey) -> BoxFuture<'_, Result<Option<KeptAnswer>, Failure>> {
        let clock = Arc::clone(&self.clock);
        let read = move |db: &Connection| {
            let row = |row: &Row<'_>| {
                Ok((row.get::<_, Hash>(0)?, row.get(1)?, row.get::<_, Vec<u8>>(2)?, row.get::<_, Vec<u8>>(3)?))
            };
            db.prepare_cached(FIND)?.query_row(params![key.request, to_sql(clock.now_ms())], row).optional()
        };
        Box::pin(async move {
            let Some((fingerprint, status, headers, body)) = self.file.read(read).await? else { return Ok(None) };
            let damaged = || Failure::not_attempted(Fault::Host, Reason::Internal, "a kept answer is damaged");
            let headers = split(&headers).ok_or_else(damaged)?;
            Ok(Some(KeptAnswer { fingerprint, status, headers, body }))
        })
    }

    fn keep(&self, key: AnswerKey, answer: KeptAnswer, bounds: AnswerBounds) -> BoxFuture<'_, Result<(), Failure>> {
        let (clock, next_sweep_ms) = (Arc::clone(&self.clock), Arc::clone(&self.next_sweep_ms));
        let work = move |db: &Connection| {
            let now_ms = clock.now_ms();
            if now_ms >= next_sweep_ms.load(Relaxed) {
                next_sweep_ms.store(now_ms + SWEEP_EVERY_MS, Relaxed);
                db.prepare_cached(SWEEP)?.execute([to_sql(now_ms)])?;
            }
            add(db, &key, &answer, &bounds, now_ms)
        };
        Box::pin(async move {
            self.failpoints.hit("answers.before-keep");
            self.file.write(work, |_| {}).await?;
            self.failpoints.hit("answers.after-keep");
            Ok(())
        })
    }
}

fn add(
    db: &Connection,
    key: &AnswerKey,
    answer: &KeptAnswer,
    bounds: &AnswerBounds,
    now_ms: u64,
) -> rusqlite::Result<()> {
    db.prepare_cached(REMOVE)?.execute([key.request])?;
    let bytes = answer.bytes();
    if bytes > bounds.bytes.min(bounds.bytes_of_owner) {
        return Ok(());
    }
    let ends_ms = now_ms.saturating_add(u64::try_from(bounds.time.as_millis()).unwrap_or(u64::MAX));
    let AnswerKey { owner, request } = key;
    let KeptAnswer { fingerprint, status, headers, body } = answer;
    let (headers, bytes, ends_ms) = (joined(headers), to_sql(bytes), to_sql(ends_ms));
    db.prepare_cached(ADD)?.execute(params![owner, request, fingerprint, status, headers, body, bytes, ends_ms])?;
    for _ in 0..MOST_REMOVED {
        if within(db, owner, bounds.answers_of_owner, bounds.bytes_of_owner)? {
            break;
        }
        db.prepare_cached(REMOVE_OLDEST_OF)?.execute([owner])?;
    }
    for _ in 0..MOST_REMOVED {
        if within(db, b"", bounds.answers, bounds.bytes)? {
            break;
        }
        db.prepare_cached(REMOVE_OLDEST)?.execute([])?;
    }
    Ok(())
}

fn within(db: &Connection, owner: &[u8], answers: u64, bytes: u64) -> rusqlite::Result<bool> {
    let owned = db.prepare_cached(OWNED)?.query_row([owner], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let (has_answers, has_bytes): (i64, i64) = owned.unwrap_or_default();
    Ok(has_answers <= to_sql(answers) && has_bytes <= to_sql(bytes))
}

/// As they stand in an answer: a value has no line feed, and a name no colon.
fn joined(headers: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut lines = Vec::new();
    for (name, value) in headers {
        lines.extend_from_slice(name.as_bytes());
        lines.push(b':');
        lines.extend_from_slice(value);
        lines.push(b'\n');
    }
    lines
}

fn split(lines: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
    let lines = lines.split_inclusive(|byte| *byte == b'\n');
    let header = |line: &[u8]| {
        let line = line.strip_suffix(b"\n")?;
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = String::from_utf8(line.get(..colon)?.to_vec()).ok()?;
        Some((name, line.get(colon + 1..)?.to_vec()))
    };
    lines.map(header).collect()
}

fn to_sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use weft_core::clock::ManualClock;

    use super::*;
    use crate::answers::conformance;

    #[tokio::test]
    async fn keeps_the_contract() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at_ms(1_000));
        let path = dir.path().join("answers.db");
        let open =
            || -> Box<dyn Answers> { Box::new(Embedded::open(&path, clock.clone(), Failpoints::none()).unwrap()) };
        conformance::run(&open, &|by| clock.advance(by)).await;
    }

    #[tokio::test]
    async fn what_has_ended_takes_no_space_and_is_counted_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at_ms(1_000));
        let answers = Embedded::open(&dir.path().join("answers.db"), clock.clone(), Failpoints::none()).unwrap();
        let bounds = AnswerBounds {
            time: Duration::from_secs(10),
            answers: 1_000,
            bytes: 1_000_000,
            answers_of_owner: 1_000,
            bytes_of_owner: 1_000_000,
        };
        let answer = KeptAnswer { fingerprint: [1; 32], status: 200, headers: vec![], body: vec![0; 100] };
        for number in 0..50 {
            let key = AnswerKey { owner: [number % 5; 32], request: [number; 32] };
            answers.keep(key, answer.clone(), bounds).await.unwrap();
        }
        clock.advance(bounds.time);
        let last = AnswerKey { owner: [9; 32], request: [99; 32] };
        answers.keep(last, answer, bounds).await.unwrap();
        let counts = answers.file.read_blocking(|db| {
            let count = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0));
            Ok((count("SELECT count(*) FROM answers")?, count("SELECT sum(answers) FROM owners")?))
        });
        // One answer, which counts for its owner and for all.
        assert_eq!(counts.unwrap(), (1, 2));
    }
}
