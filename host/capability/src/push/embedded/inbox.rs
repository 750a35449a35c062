//! Inboxes: messages to users in one SQLite file, until they are read, too many or too old. A message that was read keeps
//! its key for a day, so that it is not pushed again.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use weft_core::Failure;
use weft_core::push::{Message, NewMessage, PushBounds, Which, user_channel};

use super::PushOptions;
use crate::sqlite_file::SqliteFile;

/// Ids of messages ascend in the order in which they become durable, and are never given out twice.
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS messages (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        user TEXT NOT NULL,
        key TEXT,
        kind TEXT NOT NULL,
        data TEXT NOT NULL,
        time_ms INTEGER NOT NULL,
        read_ms INTEGER
    );
    CREATE INDEX IF NOT EXISTS unread ON messages (user, id) WHERE read_ms IS NULL;
    CREATE UNIQUE INDEX IF NOT EXISTS keys ON messages (user, key) WHERE key IS NOT NULL;
    CREATE INDEX IF NOT EXISTS by_time ON messages (time_ms);
    CREATE TABLE IF NOT EXISTS lost (user TEXT PRIMARY KEY, id INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS numbers (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
";
const NUMBER: &str = "SELECT value FROM numbers WHERE name = ?1";
const SET_NUMBER: &str = "INSERT OR REPLACE INTO numbers (name, value) VALUES (?1, ?2)";
const HEAD: &str = "SELECT seq FROM sqlite_sequence WHERE name = 'messages'";
const BY_KEY: &str = "SELECT id FROM messages WHERE user = ?1 AND key = ?2";
const INSERT: &str = "INSERT INTO messages (user, key, kind, data, time_ms) VALUES (?1, ?2, ?3, ?4, ?5)";
const SIZE: &str = "SELECT (page_count - freelist_count) * page_size
    FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()";
const UNREAD: &str = "SELECT count(*) FROM messages WHERE user = ?1 AND read_ms IS NULL AND id <= ?2";
const PAGE: &str = "SELECT id, kind, data, time_ms FROM messages
    WHERE user = ?1 AND read_ms IS NULL AND id > ?2 AND id <= ?3 ORDER BY id LIMIT ?4";
const OLDEST_TO_KEEP: &str =
    "SELECT id FROM messages WHERE user = ?1 AND read_ms IS NULL ORDER BY id DESC LIMIT 1 OFFSET ?2";
const DROP_THROUGH: &str = "DELETE FROM messages WHERE user = ?1 AND read_ms IS NULL AND id <= ?2";
const NOTE_LOST: &str = "INSERT OR REPLACE INTO lost (user, id) VALUES (?1, ?2)";
const LOST: &str = "SELECT id FROM lost WHERE user = ?1";
const MARK_ONE: &str =
    "UPDATE messages SET read_ms = ?3, data = 'null' WHERE user = ?1 AND id = ?2 AND read_ms IS NULL";
const MARK_THROUGH: &str =
    "UPDATE messages SET read_ms = ?3, data = 'null' WHERE user = ?1 AND id <= ?2 AND read_ms IS NULL";
/// Of what is too old, the last that nobody has read, and all of it.
const AGED: &str = "SELECT max(id) FROM messages WHERE time_ms < ?1 AND read_ms IS NULL";
const SWEEP_AGED: &str = "DELETE FROM messages WHERE time_ms < ?1";
const SWEEP_READ: &str = "DELETE FROM messages WHERE time_ms < ?1 AND read_ms IS NOT NULL";
/// What all have lost is not noted of each.
const SWEEP_LOST: &str = "DELETE FROM lost WHERE id <= ?1";

/// Where ids of messages to channels begin at a start, above those of the start before: more than a run ever gives out.
const IDS_OF_A_RUN: u64 = 1 << 40;
const FIRST_ID: &str = "first-id";
/// Unread messages up to this id are gone for their age.
const AGED_THROUGH: &str = "aged-through";
/// How many messages are read at once.
const PAGE_MESSAGES: i64 = 16;
/// How long a message that was read is known by its key.
const KEYS_KEPT: Duration = Duration::from_hours(24);
const SWEEP_EVERY_MS: u64 = 60_000;

#[derive(Debug)]
pub(super) struct Inbox {
    file: Arc<SqliteFile>,
    most: AtomicI64,
    most_bytes: u64,
    retention_ms: AtomicU64,
    next_sweep_ms: Arc<AtomicU64>,
}

/// What is known when the file is opened.
pub(super) struct Start {
    /// Ids of messages to channels come after it.
    pub first_id: u64,
    /// The last id in any inbox.
    pub inbox_head: u64,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inserted {
    New(u64),
    /// Its key is known, as that of this one.
    Known(u64),
    /// All inboxes together have no room.
    Full,
}

pub(super) struct Marked {
    pub changed: usize,
    pub unread: u64,
}

/// Some messages of a user.
pub(super) struct Page {
    pub messages: Vec<Arc<Message>>,
    /// As in [`Standing`], when they were read.
    pub lost_through: u64,
}

/// How a user's inbox stands.
pub(super) struct Standing {
    pub unread: u64,
    /// Messages up to this one may be gone that nobody has read.
    pub lost_through: u64,
}

fn most(messages: usize) -> i64 {
    i64::try_from(messages).unwrap_or(i64::MAX)
}

fn retention_ms(retention: Duration) -> u64 {
    u64::try_from(retention.as_millis()).unwrap_or(u64::MAX)
}

impl Inbox {
    pub fn open(path: &Path, now_ms: u64, options: &PushOptions) -> Result<(Self, Start), Failure> {
        let file = Arc::new(SqliteFile::open(path, SCHEMA)?);
        let start = file.write_blocking(move |db| {
            let before = number(db, FIRST_ID)?;
            let first_id = now_ms.saturating_mul(1_000).max(before.saturating_add(IDS_OF_A_RUN));
            db.prepare_cached(SET_NUMBER)?.execute(params![FIRST_ID, to_sql(first_id)])?;
            let inbox_head = db.prepare_cached(HEAD)?.query_row([], |row| row.get(0)).optional()?.map_or(0, from_sql);
            Ok(Start { first_id, inbox_head })
        })?;
        let inbox = Self {
            file,
            most: most(options.inbox).into(),
            most_bytes: options.inbox_bytes,
            retention_ms: retention_ms(options.inbox_retention).into(),
            next_sweep_ms: Arc::default(),
        };
        Ok((inbox, start))
    }

    /// Keeps so much from the next message on.
    pub fn set_bounds(&self, bounds: &PushBounds) {
        self.most.store(most(bounds.inbox), Relaxed);
        self.retention_ms.store(retention_ms(bounds.inbox_retention), Relaxed);
    }

    /// Keeps a message. `settled` runs in the order of ids, before the answer.
    pub async fn insert(
        &self,
        user: Arc<str>,
        new: NewMessage,
        now_ms: u64,
        settled: impl FnOnce(Result<&Inserted, &Failure>) + Send + 'static,
    ) -> Result<Inserted, Failure> {
        let (most, most_bytes) = (self.most.load(Relaxed), self.most_bytes);
        let retention_ms = self.retention_ms.load(Relaxed);
        let next_sweep_ms = self.next_sweep_ms.clone();
        let work = move |db: &Connection| {
            if now_ms >= next_sweep_ms.load(Relaxed) {
                next_sweep_ms.store(now_ms.saturating_add(SWEEP_EVERY_MS), Relaxed);
                sweep(db, now_ms, retention_ms)?;
            }
            if let Some(key) = new.key() {
                let known =
                    db.prepare_cached(BY_KEY)?.query_row(params![&*user, &**key], |row| row.get(0)).optional()?;
                if let Some(id) = known {
                    return Ok(Inserted::Known(from_sql(id)));
                }
            }
            if from_sql(db.prepare_cached(SIZE)?.query_row([], |row| row.get(0))?) >= most_bytes {
                return Ok(Inserted::Full);
            }
            let row = params![&*user, new.key().map(|key| &**key), &**new.kind(), &**new.data(), to_sql(now_ms)];
            db.prepare_cached(INSERT)?.execute(row)?;
            let id = db.last_insert_rowid();
            drop_oldest(db, &user, most)?;
            Ok(Inserted::New(from_sql(id)))
        };
        self.file.write(work, settled).await
    }

    /// Marks messages as read. `settled` runs before the answer.
    pub async fn mark_read(
        &self,
        user: Arc<str>,
        which: Which,
        now_ms: u64,
        settled: impl FnOnce(Result<&Marked, &Failure>) + Send + 'static,
    ) -> Result<Marked, Failure> {
        let work = move |db: &Connection| {
            let mark =
                |sql: &str, id: u64| db.prepare_cached(sql)?.execute(params![&*user, to_sql(id), to_sql(now_ms)]);
            let changed = match which {
                Which::These(ids) => {
                    let marked: rusqlite::Result<Vec<usize>> = ids.into_iter().map(|id| mark(MARK_ONE, id)).collect();
                    marked?.into_iter().sum()
                }
                Which::Through(id) => mark(MARK_THROUGH, id)?,
            };
            Ok(Marked { changed, unread: unread(db, &user, u64::MAX)? })
        };
        self.file.write(work, settled).await
    }

    /// How a user's inbox stands, counting messages through `head`.
    pub async fn standing(&self, user: Arc<str>, head: u64) -> Result<Standing, Failure> {
        let read = move |db: &Connection| {
            Ok(Standing { unread: unread(db, &user, head)?, lost_through: lost_through(db, &user)? })
        };
        self.file.read(read).await
    }

    /// The next unread messages of a user after one id, through another; none at the end.
    pub async fn page(&self, user: Arc<str>, after: u64, through: u64) -> Result<Page, Failure> {
        let Ok(channel) = user_channel(&user) else { return Ok(Page { messages: Vec::new(), lost_through: 0 }) };
        let message = move |row: &Row<'_>| {
            let (kind, data): (String, String) = (row.get(1)?, row.get(2)?);
            let new = NewMessage::new(&kind, None, data.as_bytes());
            let (id, time_ms) = (from_sql(row.get(0)?), from_sql(row.get(3)?));
            // What is not a message any more, because a bound has changed, is passed over.
            Ok(new.ok().map(|new| Arc::new(Message::new(channel.clone(), id, true, &new, time_ms))))
        };
        let read = move |db: &Connection| {
            let mut page = db.prepare_cached(PAGE)?;
            let rows = params![&*user, to_sql(after), to_sql(through), PAGE_MESSAGES];
            let page: rusqlite::Result<Vec<_>> = page.query_map(rows, message)?.collect();
            let messages = page?.into_iter().flatten().collect();
            // After the messages: what is given up between the two is told of once too often, never once too seldom.
            Ok(Page { messages, lost_through: lost_through(db, &user)? })
        };
        self.file.read(read).await
    }
}

/// Gives up the oldest unread messages of a user who has more than `most`.
fn drop_oldest(db: &Connection, user: &str, most: i64) -> rusqlite::Result<()> {
    let last: Option<i64> =
        db.prepare_cached(OLDEST_TO_KEEP)?.query_row(params![user, most], |row| row.get(0)).optional()?;
    let Some(last) = last else { return Ok(()) };
    db.prepare_cached(DROP_THROUGH)?.execute(params![user, last])?;
    db.prepare_cached(NOTE_LOST)?.execute(params![user, last])?;
    Ok(())
}

/// Gives up what is too old, read or not, and what was read a while ago.
fn sweep(db: &Connection, now_ms: u64, retention_ms: u64) -> rusqlite::Result<()> {
    let aged_ms = to_sql(now_ms.saturating_sub(retention_ms));
    let aged: Option<i64> = db.prepare_cached(AGED)?.query_row([aged_ms], |row| row.get(0))?;
    if let Some(aged) = aged {
        let aged = aged.max(to_sql(number(db, AGED_THROUGH)?));
        db.prepare_cached(SET_NUMBER)?.execute(params![AGED_THROUGH, aged])?;
        db.prepare_cached(SWEEP_LOST)?.execute([aged])?;
    }
    db.prepare_cached(SWEEP_AGED)?.execute([aged_ms])?;
    let read_ms = now_ms.saturating_sub(u64::try_from(KEYS_KEPT.as_millis()).unwrap_or(u64::MAX));
    db.prepare_cached(SWEEP_READ)?.execute([to_sql(read_ms)])?;
    Ok(())
}

/// Up to which message something may be gone that a user has not read.
fn lost_through(db: &Connection, user: &str) -> rusqlite::Result<u64> {
    let lost = db.prepare_cached(LOST)?.query_row([user], |row| row.get(0)).optional()?.map_or(0, from_sql);
    Ok(lost.max(number(db, AGED_THROUGH)?))
}

fn unread(db: &Connection, user: &str, through: u64) -> rusqlite::Result<u64> {
    Ok(from_sql(db.prepare_cached(UNREAD)?.query_row(params![user, to_sql(through)], |row| row.get(0))?))
}

/// A number that is kept; 0 if it is not.
fn number(db: &Connection, name: &str) -> rusqlite::Result<u64> {
    Ok(db.prepare_cached(NUMBER)?.query_row([name], |row| row.get(0)).optional()?.map_or(0, from_sql))
}

fn to_sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn from_sql(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}
