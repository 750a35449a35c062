//! What is remembered of a subscription: how far it has read, which events before that are not settled, and its dead
//! letters, in one SQLite file. A crash loses the newest of it and so delivers again; it never skips an event.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};

use weft_core::Failure;

use super::event_bytes::{VERSION, decode, encode};
use super::queue::{Attempts, Item};
use super::{DeadLetter, DeadLetterFilter, Event};
use crate::sqlite_file::SqliteFile;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS subscriptions (id TEXT PRIMARY KEY, next INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS unsettled (
        subscription TEXT NOT NULL,
        position INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        due_ms INTEGER NOT NULL,
        PRIMARY KEY (subscription, position)
    ) WITHOUT ROWID;
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
";
const SET_NEXT: &str = "INSERT INTO subscriptions VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET next = excluded.next";
const KEEP: &str = "INSERT OR REPLACE INTO unsettled VALUES (?1, ?2, ?3, ?4)";
const FORGET: &str = "DELETE FROM unsettled WHERE subscription = ?1 AND position = ?2";
const BURY: &str = "INSERT INTO dead_letters (subscription, version, event, error, attempts, traceparent, failed_at_ms)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
const BURY_AGAIN: &str = "UPDATE dead_letters
    SET error = ?2, attempts = ?3, traceparent = ?4, failed_at_ms = ?5, replaying = 0 WHERE id = ?1";
const REPLAYED: &str = "DELETE FROM dead_letters WHERE id = ?1";
const MATCHING: &str = "(?1 IS NULL OR subscription = ?1) AND (?2 IS NULL OR id = ?2)";
const COLUMNS: &str = "id, subscription, version, event, error, attempts, traceparent, failed_at_ms, replaying";

/// The last words on an event that is given up.
#[derive(Clone, Debug)]
pub(super) struct Obituary {
    pub(super) event: Arc<Event>,
    pub(super) error: String,
    pub(super) attempts: u32,
    pub(super) traceparent: String,
    pub(super) failed_at_ms: u64,
}

/// Changes that are to be remembered together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    next: u64,
    /// What `next` was before.
    previous: u64,
    /// The oldest position that is needed once this is written.
    pub(super) needed: u64,
    keep: BTreeMap<u64, Attempts>,
    settled: BTreeSet<u64>,
    dead: Vec<(Item, Obituary)>,
    replayed: Vec<i64>,
}

/// What the file does not hold yet of one subscription, and which rows it holds.
#[derive(Debug, Default)]
pub(super) struct Unsaved {
    batch: Batch,
    rows: BTreeSet<u64>,
    saved_next: u64,
    /// Something was settled or failed: worth a write of its own. Events that were only passed over are not.
    urgent: bool,
}

impl Batch {
    /// The dead letters in it.
    pub(super) fn dead(&self) -> impl Iterator<Item = Item> {
        self.dead.iter().map(|(item, _)| *item)
    }
}

impl Unsaved {
    pub(super) fn resume(next: u64, rows: impl IntoIterator<Item = u64>) -> Self {
        let batch = Batch { next, ..Batch::default() };
        Self { batch, rows: rows.into_iter().collect(), saved_next: next, urgent: false }
    }

    /// All events before `next` are in hand, settled, or of no interest.
    pub(super) fn read_up_to(&mut self, next: u64) {
        self.batch.next = next;
    }

    /// The event is in hand.
    pub(super) fn taken(&mut self, position: u64) {
        self.batch.keep.insert(position, Attempts::default());
    }

    pub(super) fn again(&mut self, item: Item, attempts: Attempts) {
        // A replay that is cut short begins anew, so nothing is remembered of its attempts.
        if let Item::Event(position) = item {
            self.batch.keep.insert(position, attempts);
            self.urgent = true;
        }
    }

    pub(super) fn delivered(&mut self, item: Item) {
        self.urgent = true;
        match item {
            Item::Event(position) => self.settled(position),
            Item::Letter(id) => self.batch.replayed.push(id),
        }
    }

    pub(super) fn dead(&mut self, item: Item, obituary: Obituary) {
        self.urgent = true;
        if let Item::Event(position) = item {
            self.settled(position);
        }
        self.batch.dead.push((item, obituary));
    }

    fn settled(&mut self, position: u64) {
        self.batch.keep.remove(&position);
        if self.rows.remove(&position) {
            self.batch.settled.insert(position);
        }
    }

    /// How many changes wait.
    pub(super) fn len(&self) -> usize {
        let batch = &self.batch;
        batch.keep.len() + batch.settled.len() + batch.dead.len() + batch.replayed.len()
    }

    /// Whether the changes should be written soon: `lazy_bytes` of the log may be passed over without that.
    pub(super) fn is_due(&self, lazy_bytes: u64) -> bool {
        self.urgent || self.batch.next.saturating_sub(self.saved_next) >= lazy_bytes
    }

    /// Whether there is anything to write at all.
    pub(super) fn is_any(&self) -> bool {
        self.len() > 0 || self.batch.next != self.saved_next
    }

    /// Takes the changes out, to be written before others are taken. If that fails, [`Unsaved::failed`] is called.
    pub(super) fn take(&mut self) -> Batch {
        let next = self.batch.next;
        self.rows.extend(self.batch.keep.keys());
        let mut batch = std::mem::replace(&mut self.batch, Batch { next, ..Batch::default() });
        batch.previous = std::mem::replace(&mut self.saved_next, next);
        batch.needed = self.rows.first().copied().unwrap_or(next);
        self.urgent = false;
        batch
    }

    /// Puts changes that could not be written back under those that came since.
    pub(super) fn failed(&mut self, batch: &Batch) {
        self.urgent = true;
        self.saved_next = batch.previous;
        self.batch.settled.extend(&batch.settled);
        for (position, attempts) in &batch.keep {
            if self.rows.contains(position) {
                self.batch.keep.entry(*position).or_insert_with(|| attempts.clone());
            }
        }
        self.batch.dead.splice(..0, batch.dead.iter().cloned());
        self.batch.replayed.extend(&batch.replayed);
    }
}

/// Where a subscription stood.
#[derive(Debug, Default)]
pub(super) struct Resumed {
    /// `None` for a new one.
    pub(super) next: Option<u64>,
    pub(super) unsettled: Vec<(u64, Attempts)>,
    /// Dead letters that were being replayed.
    pub(super) letters: Vec<i64>,
}

/// The file.
#[derive(Clone, Debug)]
pub(super) struct ProgressFile(Arc<SqliteFile>);

impl ProgressFile {
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        Ok(Self(Arc::new(SqliteFile::open(path, SCHEMA)?)))
    }

    pub(super) async fn resume(&self, subscription: Arc<str>) -> Result<Resumed, Failure> {
        self.0.read(move |db| resume(db, &subscription)).await
    }

    /// Notes where a new subscription begins.
    pub(super) async fn begin(&self, subscription: Arc<str>, next: u64) -> Result<(), Failure> {
        let begin = move |db: &Connection| db.execute(SET_NEXT, params![subscription, to_sql(next)]).map(|_| ());
        self.0.write(begin, || {}).await
    }

    pub(super) async fn save(&self, subscription: Arc<str>, batch: Arc<Batch>) -> Result<(), Failure> {
        self.0.write(move |db| save(db, &subscription, &batch), || {}).await
    }

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
        self.0.write(replay, || {}).await
    }

    pub(super) async fn purge(&self, filter: DeadLetterFilter) -> Result<usize, Failure> {
        let delete = format!("DELETE FROM dead_letters WHERE replaying = 0 AND {MATCHING}");
        self.0.write(move |db| db.execute(&delete, params![filter.subscription, filter.id]), || {}).await
    }
}

fn resume(db: &Connection, subscription: &str) -> rusqlite::Result<Resumed> {
    let next: Option<i64> =
        db.query_row("SELECT next FROM subscriptions WHERE id = ?1", [subscription], |row| row.get(0)).optional()?;
    let mut rows =
        db.prepare("SELECT position, attempts, due_ms FROM unsettled WHERE subscription = ?1 ORDER BY position")?;
    let row = |row: &Row<'_>| {
        let attempts = Attempts { ended: row.get(1)?, due_ms: from_sql(row.get(2)?) };
        Ok((from_sql(row.get(0)?), attempts))
    };
    let unsettled = rows.query_map([subscription], row)?.collect::<rusqlite::Result<_>>()?;
    let mut rows = db.prepare("SELECT id FROM dead_letters WHERE subscription = ?1 AND replaying = 1 ORDER BY id")?;
    let letters = rows.query_map([subscription], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    Ok(Resumed { next: next.map(from_sql), unsettled, letters })
}

fn save(db: &Connection, subscription: &str, batch: &Batch) -> rusqlite::Result<()> {
    for position in &batch.settled {
        db.prepare_cached(FORGET)?.execute(params![subscription, to_sql(*position)])?;
    }
    for (position, attempts) in &batch.keep {
        let row = params![subscription, to_sql(*position), attempts.ended, to_sql(attempts.due_ms)];
        db.prepare_cached(KEEP)?.execute(row)?;
    }
    for (item, last) in &batch.dead {
        let failed_at_ms = to_sql(last.failed_at_ms);
        match item {
            Item::Event(_) => {
                let event =
                    encode(&last.event).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
                let (error, attempts, traceparent) = (&last.error, last.attempts, &last.traceparent);
                db.prepare_cached(BURY)?.execute(params![
                    subscription,
                    VERSION,
                    event,
                    error,
                    attempts,
                    traceparent,
                    failed_at_ms
                ])?;
            }
            Item::Letter(id) => {
                let row = params![id, last.error, last.attempts, last.traceparent, failed_at_ms];
                db.prepare_cached(BURY_AGAIN)?.execute(row)?;
            }
        }
    }
    for id in &batch.replayed {
        db.prepare_cached(REPLAYED)?.execute([id])?;
    }
    db.prepare_cached(SET_NEXT)?.execute(params![subscription, to_sql(batch.next)])?;
    Ok(())
}

fn letters(db: &Connection, filter: &DeadLetterFilter, limit: usize) -> rusqlite::Result<Vec<DeadLetter>> {
    let select = format!("SELECT {COLUMNS} FROM dead_letters WHERE {MATCHING} ORDER BY id LIMIT ?3");
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = db.prepare(&select)?;
    rows.query_map(params![filter.subscription, filter.id, limit], letter)?.collect()
}

fn letter(row: &Row<'_>) -> rusqlite::Result<DeadLetter> {
    let bytes: Vec<u8> = row.get(3)?;
    let event = decode(row.get(2)?, bytes.into())
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(3, rusqlite::types::Type::Blob, error.into()))?;
    let subscription: String = row.get(1)?;
    Ok(DeadLetter {
        id: row.get(0)?,
        subscription: subscription.into(),
        digest: None,
        event,
        error: row.get(4)?,
        attempts: row.get(5)?,
        traceparent: row.get(6)?,
        failed_at_ms: from_sql(row.get(7)?),
        replaying: row.get(8)?,
    })
}

fn to_sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn from_sql(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempts(ended: u32) -> Attempts {
        Attempts { ended, due_ms: 5 }
    }

    async fn save(file: &ProgressFile, unsaved: &mut Unsaved) {
        file.save("c/s".into(), Arc::new(unsaved.take())).await.unwrap();
    }

    async fn positions(file: &ProgressFile) -> Vec<(u64, u32)> {
        let resumed = file.resume("c/s".into()).await.unwrap();
        resumed.unsettled.into_iter().map(|(position, attempts)| (position, attempts.ended)).collect()
    }

    #[tokio::test]
    async fn what_is_unsettled_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = ProgressFile::open(&dir.path().join("messaging.db")).unwrap();
        assert_eq!(file.resume("c/s".into()).await.unwrap().next, None);
        let mut unsaved = Unsaved::resume(10, []);
        for position in [10, 20, 30] {
            unsaved.taken(position);
        }
        unsaved.read_up_to(40);
        assert!(!unsaved.is_due(1_000) && unsaved.is_due(30), "nothing is settled yet");
        unsaved.delivered(Item::Event(20));
        assert!(unsaved.is_due(1_000));
        let batch = unsaved.take();
        assert_eq!(batch.needed, 10);
        file.save("c/s".into(), Arc::new(batch)).await.unwrap();
        assert_eq!(positions(&file).await, [(10, 0), (30, 0)]);
        assert!(!unsaved.is_any());

        unsaved.again(Item::Event(10), attempts(1));
        unsaved.delivered(Item::Event(30));
        save(&file, &mut unsaved).await;
        assert_eq!(positions(&file).await, [(10, 1)]);
        unsaved.delivered(Item::Event(10));
        let batch = unsaved.take();
        assert_eq!(batch.needed, 40);
        file.save("c/s".into(), Arc::new(batch)).await.unwrap();
        let resumed = file.resume("c/s".into()).await.unwrap();
        assert_eq!((resumed.next, resumed.unsettled.len()), (Some(40), 0));
    }

    #[tokio::test]
    async fn a_write_that_failed_is_made_good_with_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let file = ProgressFile::open(&dir.path().join("messaging.db")).unwrap();
        let mut unsaved = Unsaved::resume(0, [5]);
        for position in [10, 20, 30] {
            unsaved.taken(position);
        }
        unsaved.delivered(Item::Event(5));
        unsaved.read_up_to(40);
        let lost = unsaved.take();
        unsaved.delivered(Item::Event(10));
        unsaved.again(Item::Event(20), attempts(2));
        unsaved.failed(&lost);
        assert!(unsaved.is_due(1_000));
        save(&file, &mut unsaved).await;
        assert_eq!(positions(&file).await, [(20, 2), (30, 0)]);
        assert_eq!(file.resume("c/s".into()).await.unwrap().next, Some(40));
    }
}
