//! Key-value stores of any label, in one table: Spin has no store but `default` without runtime configuration.

use crate::bindings::weft::sql::types::{Error, Value};
use crate::connection::{Columns, Connection, Platform, text};
use crate::error::describe;
use crate::store::Store;

/// Longest label and longest key, in bytes.
const KEY_BYTES: usize = 1_024;
/// Largest value, in bytes.
const VALUE_BYTES: usize = 1_024 * 1_024;
/// Most keys that are listed.
const KEYS: u64 = 100_000;

impl<C: Connection, P: Platform> Store<C, P> {
    /// The value of a key.
    ///
    /// # Errors
    /// In words.
    pub fn kv_get(&mut self, store: &str, key: &str) -> Result<Option<Vec<u8>>, String> {
        let select = "SELECT value FROM weft_kv WHERE store = ?1 AND key = ?2";
        let rows = self.kv(store, key, |own| own.first(select, &[text(store), text(key)]))?;
        Ok(rows.map(|mut row| row.bytes()))
    }

    /// Puts a value in place of whatever was there.
    ///
    /// # Errors
    /// In words.
    pub fn kv_set(&mut self, store: &str, key: &str, value: Vec<u8>) -> Result<(), String> {
        if value.len() > VALUE_BYTES {
            return Err(format!("the value of {key:?} has {} bytes, at most {VALUE_BYTES} fit", value.len()));
        }
        let put = "INSERT INTO weft_kv (store, key, value) VALUES (?1, ?2, ?3) \
                   ON CONFLICT (store, key) DO UPDATE SET value = excluded.value";
        self.kv(store, key, |own| own.run(put, &[text(store), text(key), Value::Blob(value)]).map(drop))
    }

    /// Removes a key; fine if it is not there.
    ///
    /// # Errors
    /// In words.
    pub fn kv_delete(&mut self, store: &str, key: &str) -> Result<(), String> {
        let delete = "DELETE FROM weft_kv WHERE store = ?1 AND key = ?2";
        self.kv(store, key, |own| own.run(delete, &[text(store), text(key)]).map(drop))
    }

    /// Whether a key is there.
    ///
    /// # Errors
    /// In words.
    pub fn kv_exists(&mut self, store: &str, key: &str) -> Result<bool, String> {
        let count = "SELECT count(*) FROM weft_kv WHERE store = ?1 AND key = ?2";
        self.kv(store, key, |own| own.number(count, &[text(store), text(key)])).map(|count| count > 0)
    }

    /// All keys of a store, in order.
    ///
    /// # Errors
    /// In words; also for a store with more than 100,000 keys.
    pub fn kv_keys(&mut self, store: &str) -> Result<Vec<String>, String> {
        let select = format!("SELECT key FROM weft_kv WHERE store = ?1 ORDER BY key LIMIT {}", KEYS + 1);
        let rows = self.kv(store, "", |own| own.run(&select, &[text(store)]))?.rows;
        if u64::try_from(rows.len()).unwrap_or(u64::MAX) > KEYS {
            return Err(format!("the store {store} has more than {KEYS} keys"));
        }
        Ok(rows.into_iter().map(|row| Columns::of(row).text()).collect())
    }

    fn kv<T>(&mut self, store: &str, key: &str, work: impl FnOnce(&Self) -> Result<T, Error>) -> Result<T, String> {
        if store.len() > KEY_BYTES || key.len() > KEY_BYTES {
            return Err(format!("labels and keys have at most {KEY_BYTES} bytes"));
        }
        self.enter().and_then(|()| work(self)).map_err(|error| describe(&error))
    }
}
