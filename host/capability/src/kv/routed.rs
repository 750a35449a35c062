//! Key-value stores of several backends as one: which label is where is said when the host is put together.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;

use super::{Entry, Error, Store, Swap, Write};

/// Labels with a backend of their own, and one backend for all others.
#[derive(Debug)]
pub struct Routed {
    own: BTreeMap<Arc<str>, Arc<dyn Store>>,
    others: Arc<dyn Store>,
}

impl Routed {
    /// The labels of `own` there, all others in `others`.
    #[must_use]
    pub fn new(own: BTreeMap<Arc<str>, Arc<dyn Store>>, others: Arc<dyn Store>) -> Self {
        Self { own, others }
    }

    fn of(&self, label: &str) -> &dyn Store {
        &**self.own.get(label).unwrap_or(&self.others)
    }
}

impl Store for Routed {
    fn get_many(&self, label: &str, keys: Vec<String>) -> BoxFuture<'_, Result<Vec<Option<Entry>>, Error>> {
        self.of(label).get_many(label, keys)
    }

    fn write(&self, label: &str, writes: Vec<Write>) -> BoxFuture<'_, Result<(), Error>> {
        self.of(label).write(label, writes)
    }

    fn compare_and_set(
        &self,
        label: &str,
        key: &str,
        expected: Option<u64>,
        value: Bytes,
        ttl: Option<Duration>,
    ) -> BoxFuture<'_, Result<Swap, Error>> {
        self.of(label).compare_and_set(label, key, expected, value, ttl)
    }

    fn increment(&self, label: &str, key: &str, delta: i64) -> BoxFuture<'_, Result<i64, Error>> {
        self.of(label).increment(label, key, delta)
    }

    fn list_keys(
        &self,
        label: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<String>, Error>> {
        self.of(label).list_keys(label, prefix, after, limit)
    }

    fn get_cached(&self, label: &str, key: &str) -> Result<Option<Bytes>, Error> {
        self.of(label).get_cached(label, key)
    }
}

#[cfg(test)]
mod tests {
    use weft_core::clock::ManualClock;

    use super::*;
    use crate::kv::conformance;
    use crate::kv::embedded::Embedded;

    #[tokio::test]
    async fn keeps_the_contract_with_labels_in_two_places() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at_ms(1_000));
        let embedded =
            |name: &str| -> Arc<dyn Store> { Arc::new(Embedded::open(&dir.path().join(name), clock.clone()).unwrap()) };
        let open = || -> Box<dyn Store> {
            let own = BTreeMap::from([("cas".into(), embedded("own.db"))]);
            Box::new(Routed::new(own, embedded("others.db")))
        };
        conformance::run(&open, &|by| clock.advance(by)).await;
    }
}
