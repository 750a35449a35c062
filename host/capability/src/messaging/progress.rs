//! What is remembered of a subscription: how far it has read, which events before that are not settled, which are set
//! aside, whether it is paused, and its dead letters, in one SQLite file. A crash loses the newest of it and so delivers
//! again; it never skips an event.

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};

use weft_core::Failure;

use super::letters;
use super::queue::Attempts;
use super::unsaved::Batch;
use crate::sqlite_file::SqliteFile;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS subscriptions (id TEXT PRIMARY KEY, next INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS paused (subscription TEXT PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS unsettled (
        subscription TEXT NOT NULL,
        position INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        due_ms INTEGER NOT NULL,
        PRIMARY KEY (subscription, position)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS parked (
        subscription TEXT NOT NULL,
        position INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        due_ms INTEGER NOT NULL,
        held TEXT,
        PRIMARY KEY (subscription, position)
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS parked_by_time ON parked (subscription, held, due_ms, position);
";
const SET_NEXT: &str = "INSERT INTO subscriptions VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET next = excluded.next";
const KEEP: &str = "INSERT OR REPLACE INTO unsettled VALUES (?1, ?2, ?3, ?4)";
const FORGET: &str = "DELETE FROM unsettled WHERE subscription = ?1 AND position = ?2";
const PARK: &str = "INSERT OR REPLACE INTO parked VALUES (?1, ?2, ?3, ?4, ?5)";
const UNPARK: &str = "DELETE FROM parked WHERE subscription = ?1 AND position = ?2";
const OLDEST_PARKED: &str = "SELECT min(position) FROM parked WHERE subscription = ?1";
const NEXT_DUE: &str = "SELECT min(due_ms) FROM parked WHERE subscription = ?1 AND held IS NULL";
const DUE: &str = "SELECT position, attempts, due_ms FROM parked
    WHERE subscription = ?1 AND held IS NULL AND due_ms <= ?2 ORDER BY due_ms, position LIMIT ?3";
const OF_KEY: &str = "SELECT position, attempts, due_ms FROM parked
    WHERE subscription = ?1 AND held = ?2 ORDER BY position LIMIT ?3";

/// Where a subscription stood.
#[derive(Debug, Default)]
pub(super) struct Resumed {
    /// `None` for a new one.
    pub(super) next: Option<u64>,
    pub(super) unsettled: Vec<(u64, Attempts)>,
    /// Dead letters that were being replayed.
    pub(super) letters: Vec<i64>,
    pub(super) paused: bool,
    pub(super) parked: u64,
    pub(super) parked_state: ParkedState,
    /// Ordering keys that dead letters hold, each with how many; none of a key whose parked events may go on.
    pub(super) held: Vec<(Arc<str>, usize)>,
}

/// What is set aside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ParkedState {
    pub(super) oldest: Option<u64>,
    /// When the next one comes due.
    pub(super) next_due_ms: Option<u64>,
}

/// Which parked events are wanted.
#[derive(Clone, Debug)]
pub(super) enum Wanted {
    /// Those that are due.
    DueAt(u64),
    /// Those that waited for this key.
    OfKey(Arc<str>),
}

/// The file.
#[derive(Clone, Debug)]
pub(super) struct ProgressFile(pub(super) Arc<SqliteFile>);

impl ProgressFile {
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let schema = format!("{SCHEMA}{}", letters::SCHEMA);
        Ok(Self(Arc::new(SqliteFile::open(path, &schema)?)))
    }

    pub(super) async fn resume(&self, subscription: Arc<str>) -> Result<Resumed, Failure> {
        self.0.read(move |db| resume(db, &subscription)).await
    }

    /// Notes that a subscription begins at `next`, and nothing of what was before.
    pub(super) async fn begin(&self, subscription: Arc<str>, next: u64) -> Result<(), Failure> {
        let begin = move |db: &Connection| {
            db.execute("DELETE FROM unsettled WHERE subscription = ?1", [&subscription])?;
            db.execute("DELETE FROM parked WHERE subscription = ?1", [&subscription])?;
            db.execute(SET_NEXT, params![subscription, to_sql(next)]).map(|_| ())
        };
        self.0.write(begin, |_| {}).await
    }

    pub(super) async fn pause(&self, subscription: Arc<str>, paused: bool) -> Result<(), Failure> {
        let note = if paused {
            "INSERT OR IGNORE INTO paused VALUES (?1)"
        } else {
            "DELETE FROM paused WHERE subscription = ?1"
        };
        self.0.write(move |db| db.execute(note, [&subscription]).map(|_| ()), |_| {}).await
    }

    pub(super) async fn save(&self, subscription: Arc<str>, batch: Arc<Batch>) -> Result<ParkedState, Failure> {
        self.0.write(move |db| save(db, &subscription, &batch), |_| {}).await
    }

    /// Some parked events, in the order in which they go on.
    pub(super) async fn parked(
        &self,
        subscription: Arc<str>,
        wanted: Wanted,
        limit: usize,
    ) -> Result<Vec<(u64, Attempts)>, Failure> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.0
            .read(move |db| match wanted {
                Wanted::DueAt(now_ms) => db
                    .prepare_cached(DUE)?
                    .query_map(params![subscription, to_sql(now_ms), limit], position)?
                    .collect::<rusqlite::Result<Vec<_>>>(),
                Wanted::OfKey(key) => {
                    db.prepare_cached(OF_KEY)?.query_map(params![subscription, key, limit], position)?.collect()
                }
            })
            .await
    }
}

fn position(row: &Row<'_>) -> rusqlite::Result<(u64, Attempts)> {
    Ok((from_sql(row.get(0)?), Attempts { ended: row.get(1)?, due_ms: from_sql(row.get(2)?) }))
}

fn resume(db: &Connection, subscription: &str) -> rusqlite::Result<Resumed> {
    let next: Option<i64> =
        db.query_row("SELECT next FROM subscriptions WHERE id = ?1", [subscription], |row| row.get(0)).optional()?;
    let mut rows =
        db.prepare("SELECT position, attempts, due_ms FROM unsettled WHERE subscription = ?1 ORDER BY position")?;
    let unsettled = rows.query_map([subscription], position)?.collect::<rusqlite::Result<_>>()?;
    let count = |query: &str| db.query_row(query, [subscription], |row| row.get::<_, i64>(0));
    let mut held = letters::held(db, subscription)?;
    let mut keys = db.prepare("SELECT DISTINCT held FROM parked WHERE subscription = ?1 AND held IS NOT NULL")?;
    for key in keys.query_map([subscription], |row| row.get::<_, Arc<str>>(0))? {
        let key = key?;
        if !held.iter().any(|(other, _)| *other == key) {
            held.push((key, 0));
        }
    }
    Ok(Resumed {
        next: next.map(from_sql),
        unsettled,
        letters: letters::replaying(db, subscription)?,
        paused: count("SELECT count(*) FROM paused WHERE subscription = ?1")? > 0,
        parked: from_sql(count("SELECT count(*) FROM parked WHERE subscription = ?1")?),
        parked_state: parked_state(db, subscription)?,
        held,
    })
}

fn parked_state(db: &Connection, subscription: &str) -> rusqlite::Result<ParkedState> {
    let number = |query: &str| -> rusqlite::Result<Option<u64>> {
        let found: Option<i64> = db.prepare_cached(query)?.query_row([subscription], |row| row.get(0))?;
        Ok(found.map(from_sql))
    };
    Ok(ParkedState { oldest: number(OLDEST_PARKED)?, next_due_ms: number(NEXT_DUE)? })
}

fn save(db: &Connection, subscription: &str, batch: &Batch) -> rusqlite::Result<ParkedState> {
    for position in &batch.settled {
        db.prepare_cached(FORGET)?.execute(params![subscription, to_sql(*position)])?;
    }
    for position in &batch.unpark {
        db.prepare_cached(UNPARK)?.execute(params![subscription, to_sql(*position)])?;
    }
    for (position, attempts) in &batch.keep {
        let row = params![subscription, to_sql(*position), attempts.ended, to_sql(attempts.due_ms)];
        db.prepare_cached(KEEP)?.execute(row)?;
    }
    for (position, parking) in &batch.park {
        let Attempts { ended, due_ms } = parking.attempts;
        let row = params![subscription, to_sql(*position), ended, to_sql(due_ms), parking.held];
        db.prepare_cached(PARK)?.execute(row)?;
    }
    letters::save(db, subscription, batch)?;
    db.prepare_cached(SET_NEXT)?.execute(params![subscription, to_sql(batch.next)])?;
    parked_state(db, subscription)
}

pub(super) fn to_sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn from_sql(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messaging::queue::Item;
    use crate::messaging::unsaved::{Parking, Unsaved};

    fn attempts(ended: u32) -> Attempts {
        Attempts { ended, due_ms: 5 }
    }

    async fn save(file: &ProgressFile, unsaved: &mut Unsaved) -> ParkedState {
        file.save("c/s".into(), Arc::new(unsaved.take())).await.unwrap()
    }

    async fn positions(file: &ProgressFile) -> Vec<(u64, u32)> {
        let resumed = file.resume("c/s".into()).await.unwrap();
        resumed.unsettled.into_iter().map(|(position, attempts)| (position, attempts.ended)).collect()
    }

    async fn next(file: &ProgressFile) -> Option<u64> {
        file.resume("c/s".into()).await.unwrap().next
    }

    #[tokio::test]
    async fn what_is_unsettled_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = ProgressFile::open(&dir.path().join("messaging.db")).unwrap();
        assert_eq!(next(&file).await, None);
        let mut unsaved = Unsaved::resume(10, []);
        for position in [10, 20, 30] {
            unsaved.taken(position);
        }
        unsaved.read_up_to(40);
        assert!(!unsaved.is_due(1_000) && !unsaved.is_any(), "nothing is settled yet");
        unsaved.delivered(Item::Event(20));
        assert!(unsaved.is_due(1_000));
        let batch = unsaved.take();
        assert_eq!(batch.needed, 10);
        file.save("c/s".into(), Arc::new(batch)).await.unwrap();
        assert_eq!((positions(&file).await, next(&file).await), (vec![(10, 0)], Some(30)), "30 is read again");
        assert!(!unsaved.is_any());

        unsaved.again(Item::Event(10), attempts(1));
        unsaved.delivered(Item::Event(30));
        save(&file, &mut unsaved).await;
        assert_eq!((positions(&file).await, next(&file).await), (vec![(10, 1)], Some(40)));
        unsaved.delivered(Item::Event(10));
        let batch = unsaved.take();
        assert_eq!(batch.needed, 40);
        file.save("c/s".into(), Arc::new(batch)).await.unwrap();
        assert_eq!((positions(&file).await, next(&file).await), (Vec::new(), Some(40)));
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
        unsaved.again(Item::Event(20), attempts(1));
        unsaved.read_up_to(40);
        let lost = unsaved.take();
        unsaved.delivered(Item::Event(10));
        unsaved.again(Item::Event(20), attempts(2));
        unsaved.failed(&lost);
        assert!(unsaved.is_due(1_000));
        save(&file, &mut unsaved).await;
        assert_eq!((positions(&file).await, next(&file).await), (vec![(20, 2)], Some(30)));
    }

    #[tokio::test]
    async fn what_is_set_aside_comes_when_it_is_due_or_its_key_is_free() {
        let dir = tempfile::tempdir().unwrap();
        let file = ProgressFile::open(&dir.path().join("messaging.db")).unwrap();
        let mut unsaved = Unsaved::resume(0, []);
        unsaved.read_up_to(100);
        let parking =
            |due_ms, held: Option<&str>| Parking { attempts: Attempts { ended: 0, due_ms }, held: held.map(Arc::from) };
        for (position, parking) in [(10, parking(900, None)), (20, parking(300, None)), (30, parking(0, Some("k")))] {
            unsaved.park(position, parking);
        }
        let state = save(&file, &mut unsaved).await;
        assert_eq!(state, ParkedState { oldest: Some(10), next_due_ms: Some(300) });
        let load = async |wanted| {
            let found = file.parked("c/s".into(), wanted, 10).await.unwrap();
            found.into_iter().map(|(position, _)| position).collect::<Vec<_>>()
        };
        assert_eq!(load(Wanted::DueAt(899)).await, [20]);
        assert_eq!(load(Wanted::DueAt(900)).await, [20, 10]);
        assert_eq!(load(Wanted::OfKey("k".into())).await, [30]);
        let resumed = file.resume("c/s".into()).await.unwrap();
        assert_eq!((resumed.parked, resumed.held), (3, vec![(Arc::from("k"), 0)]));

        unsaved.unpark(20, Attempts::default());
        save(&file, &mut unsaved).await;
        assert_eq!((load(Wanted::DueAt(900)).await, positions(&file).await), (vec![10], vec![(20, 0)]));
        unsaved.delivered(Item::Event(20));
        save(&file, &mut unsaved).await;
        assert_eq!((positions(&file).await, next(&file).await), (Vec::new(), Some(100)));
    }
}
