//! The embedded key-value backend: all stores in one SQLite file, writes grouped into one flush, a cache for reads.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use rusqlite::{Connection, OptionalExtension, Row, params};

use weft_core::{Clock, Failure};

use super::cache::Cache;
use super::{Entry, Error, Store, Swap, Write, check_batch, check_key, check_value};
use crate::sqlite_file::SqliteFile;

/// The id of a row is the version of its entry: AUTOINCREMENT never gives a number out twice.
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS entries (
        version INTEGER PRIMARY KEY AUTOINCREMENT,
        store TEXT NOT NULL,
        key TEXT NOT NULL,
        value BLOB NOT NULL,
        expires_at_ms INTEGER,
        UNIQUE (store, key)
    );
    CREATE INDEX IF NOT EXISTS entries_by_end ON entries (expires_at_ms) WHERE expires_at_ms IS NOT NULL;
";
const GET: &str = "SELECT value, version, expires_at_ms FROM entries
    WHERE store = ?1 AND key = ?2 AND (expires_at_ms IS NULL OR expires_at_ms > ?3)";
const SET: &str = "INSERT OR REPLACE INTO entries (store, key, value, expires_at_ms) VALUES (?1, ?2, ?3, ?4)";
const DELETE: &str = "DELETE FROM entries WHERE store = ?1 AND key = ?2";
const LIST: &str = "SELECT key FROM entries
    WHERE store = ?1 AND key > ?2 AND key >= ?3 AND (expires_at_ms IS NULL OR expires_at_ms > ?4) ORDER BY key LIMIT ?5";
const LIST_FIRST: &str = "SELECT key FROM entries
    WHERE store = ?1 AND key >= ?2 AND (expires_at_ms IS NULL OR expires_at_ms > ?3) ORDER BY key LIMIT ?4";
/// Ended entries are invisible at once; their space is given back a little with later writes.
const SWEEP: &str = "DELETE FROM entries WHERE version IN
    (SELECT version FROM entries WHERE expires_at_ms <= ?1 ORDER BY expires_at_ms LIMIT 200)";
const SWEEP_EVERY_MS: u64 = 1_000;

/// Key-value stores in one file.
#[derive(Debug)]
pub struct Embedded {
    file: Arc<SqliteFile>,
    cache: Arc<Cache>,
    clock: Arc<dyn Clock>,
    next_sweep_ms: Arc<AtomicU64>,
}

impl Embedded {
    /// Opens or creates the file at `path`. The caller holds the data directory's lock.
    ///
    /// # Errors
    /// The file cannot be opened, or is not a store.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, Failure> {
        let file = Arc::new(SqliteFile::open(path, SCHEMA)?);
        Ok(Self { file, cache: Arc::default(), clock, next_sweep_ms: Arc::default() })
    }

    /// Writes `work`'s effect on `keys` and forgets what was cached of them.
    async fn write_keys<R: Send + 'static>(
        &self,
        store: Arc<str>,
        keys: Vec<String>,
        work: impl FnOnce(&Connection, &str, u64) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<R, Error> {
        let (clock, cache) = (Arc::clone(&self.clock), Arc::clone(&self.cache));
        let (sweep, label) = (Arc::clone(&self.next_sweep_ms), Arc::clone(&store));
        let job = move |db: &Connection| {
            // Time is read where writes are ordered, so that it does not run backwards between them.
            let now_ms = clock.now_ms();
            if now_ms >= sweep.load(Ordering::Relaxed) {
                sweep.store(now_ms + SWEEP_EVERY_MS, Ordering::Relaxed);
                db.prepare_cached(SWEEP)?.execute([to_sql(now_ms)])?;
            }
            work(db, &store, now_ms)
        };
        let settled = move |_: Result<&R, &Failure>| cache.forget(&label, keys.iter().map(String::as_str));
        Ok(self.file.write(job, settled).await?)
    }

    fn cached(&self, label: &str, key: &str) -> Result<Option<Entry>, super::cache::Ticket> {
        let now_ms = self.clock.now_ms();
        Ok(self.cache.get(label, key)?.filter(|entry| entry.expires_at_ms.is_none_or(|end| end > now_ms)))
    }
}

impl Store for Embedded {
    fn get_many(&self, label: &str, keys: Vec<String>) -> BoxFuture<'_, Result<Vec<Option<Entry>>, Error>> {
        let label: Arc<str> = label.into();
        Box::pin(async move {
            check_batch(keys.len())?;
            keys.iter().try_for_each(|key| check_key(key))?;
            let known: Vec<_> = keys.into_iter().map(|key| (self.cached(&label, &key), key)).collect();
            if known.iter().all(|(slot, _)| slot.is_ok()) {
                return Ok(known.into_iter().filter_map(|(slot, _)| slot.ok()).collect());
            }
            let (clock, cache) = (Arc::clone(&self.clock), Arc::clone(&self.cache));
            let read = move |db: &Connection| {
                let now_ms = clock.now_ms();
                let fetch = |(slot, key): (Result<_, _>, String)| match slot {
                    Ok(slot) => Ok(slot),
                    Err(ticket) => {
                        let slot = get(db, &label, &key, now_ms)?;
                        cache.put(ticket, &label, &key, &slot);
                        Ok(slot)
                    }
                };
                known.into_iter().map(fetch).collect()
            };
            Ok(self.file.read(read).await?)
        })
    }

    fn write(&self, label: &str, writes: Vec<Write>) -> BoxFuture<'_, Result<(), Error>> {
        let label: Arc<str> = label.into();
        Box::pin(async move {
            check_batch(writes.len())?;
            let mut keys = Vec::with_capacity(writes.len());
            for write in &writes {
                let (Write::Set { key, .. } | Write::Delete { key }) = write;
                check_key(key)?;
                if let Write::Set { value, .. } = write {
                    check_value(key, value)?;
                }
                keys.push(key.clone());
            }
            let work = move |db: &Connection, store: &str, now_ms| {
                writes.iter().try_for_each(|write| match write {
                    Write::Set { key, value, ttl } => set(db, store, key, value, end_ms(now_ms, *ttl)),
                    Write::Delete { key } => db.prepare_cached(DELETE)?.execute(params![store, key]).map(|_| ()),
                })
            };
            self.write_keys(label, keys, work).await
        })
    }

    fn compare_and_set(
        &self,
        label: &str,
        key: &str,
        expected: Option<u64>,
        value: Bytes,
        ttl: Option<Duration>,
    ) -> BoxFuture<'_, Result<Swap, Error>> {
        let (label, key): (Arc<str>, String) = (label.into(), key.to_owned());
        Box::pin(async move {
            check_value(&key, &value)?;
            let keys = vec![key.clone()];
            let work = move |db: &Connection, store: &str, now_ms| {
                let current = get(db, store, &key, now_ms)?;
                if current.as_ref().map(|entry| entry.version) != expected {
                    return Ok(Swap::Conflict(current));
                }
                set(db, store, &key, &value, end_ms(now_ms, ttl))?;
                Ok(Swap::Swapped)
            };
            self.write_keys(label, keys, work).await
        })
    }

    fn increment(&self, label: &str, key: &str, delta: i64) -> BoxFuture<'_, Result<i64, Error>> {
        let (label, key): (Arc<str>, String) = (label.into(), key.to_owned());
        Box::pin(async move {
            check_key(&key)?;
            let wanted = key.clone();
            let work = move |db: &Connection, store: &str, now_ms| {
                let current = get(db, store, &wanted, now_ms)?;
                let number = current.as_ref().map_or(Some(0), |entry| decimal(&entry.value));
                let Some(sum) = number.and_then(|number| number.checked_add(delta)) else { return Ok(None) };
                let end = current.and_then(|entry| entry.expires_at_ms);
                set(db, store, &wanted, sum.to_string().as_bytes(), end)?;
                Ok(Some(sum))
            };
            self.write_keys(label, vec![key.clone()], work).await?.ok_or(Error::NotANumber { key })
        })
    }

    fn list_keys(
        &self,
        label: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<String>, Error>> {
        let (label, prefix, after) = (label.to_owned(), prefix.to_owned(), after.map(str::to_owned));
        Box::pin(async move {
            check_batch(limit)?;
            check_key(&prefix)?;
            let now = to_sql(self.clock.now_ms());
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let read = move |db: &Connection| {
                let key = |row: &Row<'_>| row.get::<_, String>(0);
                let keys: rusqlite::Result<Vec<String>> = match after {
                    Some(after) => {
                        let mut list = db.prepare_cached(LIST)?;
                        list.query_map(params![label, after, prefix, now, limit], key)?.collect()
                    }
                    None => {
                        let mut list = db.prepare_cached(LIST_FIRST)?;
                        list.query_map(params![label, prefix, now, limit], key)?.collect()
                    }
                };
                // Keys with the prefix stand together at the start.
                Ok(keys?.into_iter().take_while(|key| key.starts_with(&prefix)).collect())
            };
            Ok(self.file.read(read).await?)
        })
    }

    fn get_cached(&self, label: &str, key: &str) -> Result<Option<Bytes>, Error> {
        check_key(key)?;
        let entry = match self.cached(label, key) {
            Ok(entry) => entry,
            Err(ticket) => {
                let now_ms = self.clock.now_ms();
                let entry = self.file.read_blocking(|db| get(db, label, key, now_ms))?;
                self.cache.put(ticket, label, key, &entry);
                entry
            }
        };
        Ok(entry.map(|entry| entry.value))
    }
}

fn get(db: &Connection, store: &str, key: &str, now_ms: u64) -> rusqlite::Result<Option<Entry>> {
    let entry = |row: &Row<'_>| {
        let value: Vec<u8> = row.get(0)?;
        let end: Option<i64> = row.get(2)?;
        Ok(Entry { value: value.into(), version: from_sql(row.get(1)?), expires_at_ms: end.map(from_sql) })
    };
    db.prepare_cached(GET)?.query_row(params![store, key, to_sql(now_ms)], entry).optional()
}

fn set(db: &Connection, store: &str, key: &str, value: &[u8], end_ms: Option<u64>) -> rusqlite::Result<()> {
    db.prepare_cached(SET)?.execute(params![store, key, value, end_ms.map(to_sql)]).map(|_| ())
}

fn end_ms(now_ms: u64, ttl: Option<Duration>) -> Option<u64> {
    ttl.map(|ttl| now_ms.saturating_add(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)))
}

fn decimal(value: &[u8]) -> Option<i64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn to_sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn from_sql(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use weft_core::clock::ManualClock;

    use super::*;
    use crate::kv::conformance;

    #[tokio::test]
    async fn keeps_the_contract() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at_ms(1_000));
        let path = dir.path().join("kv.db");
        let open = || -> Box<dyn Store> { Box::new(Embedded::open(&path, clock.clone()).unwrap()) };
        conformance::run(&open, &|by| clock.advance(by)).await;
    }

    #[tokio::test]
    async fn space_of_ended_entries_is_given_back() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at_ms(1_000));
        let embedded = Embedded::open(&dir.path().join("kv.db"), clock.clone()).unwrap();
        let store: &dyn Store = &embedded;
        for n in 0..100 {
            store.set("s", &n.to_string(), Bytes::from("x"), Some(Duration::from_secs(1))).await.unwrap();
        }
        clock.advance(Duration::from_secs(2));
        store.set("s", "last", Bytes::from("x"), None).await.unwrap();
        let left: i64 =
            embedded.file.read_blocking(|db| db.query_row("SELECT count(*) FROM entries", [], |r| r.get(0))).unwrap();
        assert_eq!(left, 1);
    }
}
