//! Key-value stores: the trait with its contract. The embedded backend is in [`embedded`], one on a Redis server in
//! [`redis`], several as one in [`routed`], the suite that every backend has to pass in [`conformance`], the WIT
//! interfaces in [`glue`]. Which component may open which store is the glue's concern, not the backend's.

mod cache;
pub mod conformance;
pub mod embedded;
pub mod glue;
pub mod redis;
pub mod routed;

use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;

use weft_core::{Failure, Fault, Reason};

/// Longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 1_024;
/// Largest value, in bytes.
pub const MAX_VALUE_BYTES: usize = 1_024 * 1_024;
/// Most keys or writes in one batch, and most keys in one page.
pub const MAX_BATCH: usize = 1_000;

/// What a key holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub value: Bytes,
    /// Changes with every write of the key and is never used twice in one store, even after a delete.
    pub version: u64,
    /// When the entry ends, in milliseconds since the Unix epoch.
    pub expires_at_ms: Option<u64>,
}

/// One write of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Puts a value in place of whatever was there, its time to live included.
    Set {
        /// The key.
        key: String,
        /// The value.
        value: Bytes,
        /// How long the entry lives; for ever without it.
        ttl: Option<Duration>,
    },
    /// Removes the key; fine if it is not there.
    Delete {
        /// The key.
        key: String,
    },
}

/// What a compare-and-set came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Swap {
    /// The value was written.
    Swapped,
    /// The key holds something else: this. Nothing was written.
    Conflict(Option<Entry>),
}

/// Why an operation has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A limit was passed; the text says which.
    #[error("{0}")]
    TooLarge(String),
    /// An increment met a value that is not a whole number in decimal, or left the range of 64 bits.
    #[error("key {key:?} does not hold a 64-bit whole number in decimal, or the sum passes its range")]
    NotANumber {
        /// The key.
        key: String,
    },
    /// The backend did not answer.
    #[error(transparent)]
    Unavailable(#[from] Failure),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Unavailable(failure) => failure,
            other => Self::not_attempted(Fault::Guest, Reason::ResourceLimit, other.to_string()),
        }
    }
}

/// Key-value stores, told apart by label. A store exists as soon as it is written to.
///
/// The contract, kept by every backend:
/// * A write that was answered is durable, and every later read sees it. A write that failed with
///   [`weft_core::Outcome::Unknown`] may have happened.
/// * Writes of one call of [`Store::write`] land together or not at all; of equal keys the last one wins.
/// * An entry is gone for every operation from the millisecond at which it ends.
/// * Keys are listed in the order of their bytes. Keys that are written or deleted while pages are fetched may or may
///   not be seen; all others are seen exactly once.
/// * Numbers are kept as decimal text, as Redis does.
pub trait Store: std::fmt::Debug + Send + Sync + 'static {
    /// The entry of each key, in the order asked. At most [`MAX_BATCH`] keys.
    fn get_many(&self, label: &str, keys: Vec<String>) -> BoxFuture<'_, Result<Vec<Option<Entry>>, Error>>;

    /// Applies all writes, or none. At most [`MAX_BATCH`].
    fn write(&self, label: &str, writes: Vec<Write>) -> BoxFuture<'_, Result<(), Error>>;

    /// Writes `value` if the key's version is `expected` (`None`: if the key does not exist).
    fn compare_and_set(
        &self,
        label: &str,
        key: &str,
        expected: Option<u64>,
        value: Bytes,
        ttl: Option<Duration>,
    ) -> BoxFuture<'_, Result<Swap, Error>>;

    /// Adds `delta` to the number at the key (0 if there is none) and answers the sum. A time to live stays.
    fn increment(&self, label: &str, key: &str, delta: i64) -> BoxFuture<'_, Result<i64, Error>>;

    /// At most `limit` keys (at most [`MAX_BATCH`]) that begin with `prefix` and stand behind `after`.
    fn list_keys(
        &self,
        label: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<String>, Error>>;

    /// The value of a key for callers that cannot wait, out of memory where possible. The embedded backend answers as
    /// `get` does; a distributed one may answer what was true a second ago.
    ///
    /// # Errors
    /// As `get`.
    fn get_cached(&self, label: &str, key: &str) -> Result<Option<Bytes>, Error>;
}

impl dyn Store {
    /// The entry of a key.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn get(&self, label: &str, key: &str) -> Result<Option<Entry>, Error> {
        Ok(self.get_many(label, vec![key.to_owned()]).await?.pop().flatten())
    }

    /// Whether the key exists.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn exists(&self, label: &str, key: &str) -> Result<bool, Error> {
        Ok(self.get(label, key).await?.is_some())
    }

    /// Puts a value in place of whatever was there.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn set(&self, label: &str, key: &str, value: Bytes, ttl: Option<Duration>) -> Result<(), Error> {
        self.write(label, vec![Write::Set { key: key.to_owned(), value, ttl }]).await
    }

    /// Removes the key; fine if it is not there.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete(&self, label: &str, key: &str) -> Result<(), Error> {
        self.write(label, vec![Write::Delete { key: key.to_owned() }]).await
    }
}

/// Refuses a key that is too long.
///
/// # Errors
/// [`Error::TooLarge`].
pub fn check_key(key: &str) -> Result<(), Error> {
    if key.len() > MAX_KEY_BYTES {
        let start: String = key.chars().take(32).collect();
        let message = format!("the key {start:?}… has {} bytes; at most {MAX_KEY_BYTES} are allowed", key.len());
        return Err(Error::TooLarge(message));
    }
    Ok(())
}

/// Refuses a value that is too large.
///
/// # Errors
/// [`Error::TooLarge`].
pub fn check_value(key: &str, value: &[u8]) -> Result<(), Error> {
    check_key(key)?;
    if value.len() > MAX_VALUE_BYTES {
        let message = format!("the value of {key:?} has {} bytes; at most {MAX_VALUE_BYTES} are allowed", value.len());
        return Err(Error::TooLarge(message));
    }
    Ok(())
}

/// Refuses a batch that has too many parts.
///
/// # Errors
/// [`Error::TooLarge`].
pub fn check_batch(len: usize) -> Result<(), Error> {
    if len > MAX_BATCH {
        return Err(Error::TooLarge(format!("a batch of {len} was asked for; at most {MAX_BATCH} are allowed")));
    }
    Ok(())
}
