//! The dead letters in the progress file. Who delivers them again, and when, is not known here.

use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, params};

use weft_core::Failure;

use super::event_bytes::{VERSION, decode, encode};
use super::progress::{ProgressFile, from_sql, to_sql};
use super::queue::Item;
use super::unsaved::{Batch, Obituary};
use super::{DeadLetter, DeadLetterFilter, Event};

pub(super) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS dead_letters (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        subscription TEXT NOT NULL,
        version INTEGER NOT NULL,
        event BLOB NOT NULL,
        error TEXT NOT NULL,
        attempts INTEGER NOT NULL,
        traceparent TEXT NOT NULL,
        failed_at_ms INTEGER NOT NULL,
        replaying INTEGER NOT NULL DEFAULT 0
    );
    CREATE INDEX IF NOT EXISTS dead_letters_by_subscription ON dead_letters (subscription, replaying);
    CREATE TABLE IF NOT EXISTS letter_notes (id INTEGER PRIMARY KEY, digest TEXT, holds TEXT);
";
const BURY: &str = "INSERT INTO dead_letters (subscription, version, event, error, attempts, traceparent, failed_at_ms)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
const NOTE: &str = "INSERT OR REPLACE INTO letter_notes VALUES (?1, ?2, ?3)";
const BURY_AGAIN: &str = "UPDATE dead_letters
    SET error = ?2, attempts = ?3, traceparent = ?4, failed_at_ms = ?5, replaying = 0 WHERE id = ?1";
const REPLAYED: &str = "DELETE FROM dead_letters WHERE id = ?1";
const FORGET_NOTE: &str = "DELETE FROM letter_notes WHERE id = ?1";
const MATCHING: &str = "(?1 IS NULL OR subscription = ?1) AND (?2 IS NULL OR dead_letters.id = ?2)";
const COLUMNS: &str =
    "dead_letters.id, subscription, version, event, error, attempts, traceparent, failed_at_ms, replaying, digest";
const WITH_NOTES: &str = "dead_letters LEFT JOIN letter_notes ON letter_notes.id = dead_letters.id";

/// What a purge took.
#[derive(Debug, Default)]
pub(super) struct Purged {
    pub(super) count: usize,
    /// Subscriptions with the ordering keys that the letters held.
    pub(super) held: Vec<(String, Arc<str>)>,
}

impl ProgressFile {
    pub(super) async fn letters(&self, filter: DeadLetterFilter, limit: usize) -> Result<Vec<DeadLetter>, Failure> {
        self.0.read(move |db| letters(db, &filter, limit)).await
    }

    /// Marks dead letters for replay. Answers them with their subscriptions.
    pub(super) async fn replay(&self, filter: DeadLetterFilter) -> Result<Vec<(i64, String)>, Failure> {
        let replay = move |db: &Connection| {
            let update = format!(
                "UPDATE dead_letters SET replaying = 1 WHERE replaying = 0 AND {MATCHING} RETURNING id, subscription"
            );
            let mut update = db.prepare(&update)?;
            let marked = update.query_map(params![filter.subscription, filter.id], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
            })?;
            let mut marked = marked.collect::<rusqlite::Result<Vec<_>>>()?;
            marked.sort_unstable();
            Ok(marked)
        };
        self.0.write(replay, |_| {}).await
    }

    pub(super) async fn purge(&self, filter: DeadLetterFilter) -> Result<Purged, Failure> {
        let purge = move |db: &Connection| {
            let which = params![filter.subscription, filter.id];
            let holding = format!(
                "SELECT subscription, holds FROM {WITH_NOTES} WHERE replaying = 0 AND holds IS NOT NULL AND {MATCHING}"
            );
            let held = db
                .prepare(&holding)?
                .query_map(which, |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<Result<Vec<_>, _>>()?;
            let count = db.execute(&format!("DELETE FROM dead_letters WHERE replaying = 0 AND {MATCHING}"), which)?;
            db.execute("DELETE FROM letter_notes WHERE id NOT IN (SELECT id FROM dead_letters)", [])?;
            Ok(Purged { count, held })
        };
        self.0.write(purge, |_| {}).await
    }

    /// Changes the data of a letter that is not being replayed. Answers whether there is one.
    pub(super) async fn edit(&self, id: i64, data: Bytes) -> Result<bool, Failure> {
        let edit = move |db: &Connection| {
            let select = "SELECT version, event FROM dead_letters WHERE id = ?1 AND replaying = 0";
            let found = db.query_row(select, [id], |row| event(row, 0)).optional()?;
            let Some(event) = found else { return Ok(false) };
            let bytes = encoded(&Event { data, ..event })?;
            db.execute("UPDATE dead_letters SET version = ?2, event = ?3 WHERE id = ?1", params![id, VERSION, bytes])?;
            Ok(true)
        };
        self.0.write(edit, |_| {}).await
    }
}

/// Dead letters that were being replayed.
pub(super) fn replaying(db: &Connection, subscription: &str) -> rusqlite::Result<Vec<i64>> {
    let mut rows = db.prepare("SELECT id FROM dead_letters WHERE subscription = ?1 AND replaying = 1 ORDER BY id")?;
    rows.query_map([subscription], |row| row.get(0))?.collect()
}

/// The ordering keys that dead letters hold, each with how many.
pub(super) fn held(db: &Connection, subscription: &str) -> rusqlite::Result<Vec<(Arc<str>, usize)>> {
    let select = format!(
        "SELECT holds, count(*) FROM {WITH_NOTES} WHERE subscription = ?1 AND holds IS NOT NULL GROUP BY holds"
    );
    let mut rows = db.prepare(&select)?;
    let count = |row: &Row<'_>| Ok((row.get(0)?, usize::try_from(row.get::<_, i64>(1)?).unwrap_or(usize::MAX)));
    rows.query_map([subscription], count)?.collect()
}

/// Writes what became dead letters, and forgets those that were delivered.
pub(super) fn save(db: &Connection, subscription: &str, batch: &Batch) -> rusqlite::Result<()> {
    for (item, last) in &batch.dead {
        let failed_at_ms = to_sql(last.failed_at_ms);
        let Obituary { error, attempts, traceparent, digest, holds, .. } = last;
        let id = match item {
            Item::Event(_) => {
                let event = encoded(&last.event)?;
                db.prepare_cached(BURY)?.execute(params![
                    subscription,
                    VERSION,
                    event,
                    error,
                    attempts,
                    traceparent,
                    failed_at_ms
                ])?;
                db.last_insert_rowid()
            }
            Item::Letter(id) => {
                db.prepare_cached(BURY_AGAIN)?.execute(params![id, error, attempts, traceparent, failed_at_ms])?;
                *id
            }
        };
        db.prepare_cached(NOTE)?.execute(params![id, digest, holds])?;
    }
    for id in &batch.replayed {
        db.prepare_cached(REPLAYED)?.execute([id])?;
        db.prepare_cached(FORGET_NOTE)?.execute([id])?;
    }
    Ok(())
}

fn encoded(event: &Event) -> rusqlite::Result<Vec<u8>> {
    encode(event).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

/// The event whose form and bytes stand in the columns from `column` on.
fn event(row: &Row<'_>, column: usize) -> rusqlite::Result<Event> {
    let bytes: Vec<u8> = row.get(column + 1)?;
    decode(row.get(column)?, bytes.into()).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column + 1, rusqlite::types::Type::Blob, error.into())
    })
}

fn letters(db: &Connection, filter: &DeadLetterFilter, limit: usize) -> rusqlite::Result<Vec<DeadLetter>> {
    let select = format!("SELECT {COLUMNS} FROM {WITH_NOTES} WHERE {MATCHING} ORDER BY dead_letters.id LIMIT ?3");
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = db.prepare(&select)?;
    rows.query_map(params![filter.subscription, filter.id, limit], letter)?.collect()
}

fn letter(row: &Row<'_>) -> rusqlite::Result<DeadLetter> {
    Ok(DeadLetter {
        id: row.get(0)?,
        subscription: row.get(1)?,
        event: event(row, 2)?,
        error: row.get(4)?,
        attempts: row.get(5)?,
        traceparent: row.get(6)?,
        failed_at_ms: from_sql(row.get(7)?),
        replaying: row.get(8)?,
        digest: row.get(9)?,
    })
}
