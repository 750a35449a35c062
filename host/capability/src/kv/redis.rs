//! Key-value stores in Redis, for hosts whose runtime configuration says so. Each store is five keys of its own; every
//! operation is one script, so that it happens whole or not at all. Whether what was answered is durable is the server's
//! setting (`appendonly`, `appendfsync always`).

mod blocking;
mod scripts;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use redis::{FromRedisValue, Script, ScriptInvocation};

use weft_core::{Clock, Failure, Fault, Reason};

use super::{Entry, Error, Store, Swap, Write, check_batch, check_key, check_value};
use crate::outbound::Resolve;
use crate::redis::server::{Server, ServerError};
use blocking::Blocking;

/// The largest answer, in bytes. A batch may ask for more than fits; it gets an error.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// Key-value stores in one database of a Redis server.
#[derive(Debug)]
pub struct RedisStore {
    server: Arc<Stores>,
    clock: Arc<dyn Clock>,
    blocking: Blocking,
}

impl RedisStore {
    /// The stores at `url` (`redis://` or `rediss://`), each of whose commands may take as long as `command`. Nothing is connected yet.
    ///
    /// # Errors
    /// If it is no such URL.
    pub fn new(
        url: &str,
        command: Duration,
        resolver: &Arc<dyn Resolve>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, Failure> {
        let bad = |message: String| Failure::not_attempted(Fault::Host, Reason::Internal, message);
        let server = || Server::new(url, MAX_ANSWER_BYTES, command, resolver.clone(), clock.clone());
        let server = || server().map(Stores).map_err(bad);
        let blocking = Blocking::new(server()?, clock.clone());
        let server = server()?;
        let server = Stores(server.0.living_here());
        Ok(Self { server: Arc::new(server), clock: clock.clone(), blocking })
    }

    fn end(&self, ttl: Option<Duration>) -> String {
        let end =
            |ttl: Duration| self.clock.now_ms().saturating_add(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
        ttl.map_or_else(String::new, |ttl| end(ttl).to_string())
    }
}

/// The server of the stores.
#[derive(Debug)]
struct Stores(Server);

impl Stores {
    async fn run<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, Error> {
        let unavailable = |of: fn(Fault, Reason, String) -> Failure, error: &ServerError| {
            of(Fault::Backend, Reason::Unavailable, format!("the key-value store's Redis server: {error}")).into()
        };
        self.0.run(script).await.map_err(|error| match error {
            ServerError::Unreached(_) => unavailable(Failure::not_attempted, &error),
            ServerError::TooLarge(_) => Error::TooLarge(format!("{error}; ask for fewer keys")),
            ServerError::Failed(_) => unavailable(Failure::unknown, &error),
        })
    }

    async fn get_many(&self, label: &str, keys: &[String], now_ms: u64) -> Result<Vec<Option<Entry>>, Error> {
        let mut call = invocation(&scripts::GET, label, now_ms);
        call.arg(keys);
        let found: Vec<Found> = self.run(&call).await?;
        Ok(found.into_iter().map(entry).collect())
    }
}

/// Value, version, end; nothing at all if the key is not there.
type Found = Option<(Vec<u8>, u64, String)>;

fn entry(found: Found) -> Option<Entry> {
    let (value, version, end) = found?;
    Some(Entry { value: value.into(), version, expires_at_ms: end.parse().ok() })
}

/// A script on the keys of a store. The braces keep them on one node of a cluster.
fn invocation<'s>(script: &'s Script, label: &str, now_ms: u64) -> ScriptInvocation<'s> {
    let mut call = script.prepare_invoke();
    for part in ["values", "versions", "ends", "order", "sequence"] {
        call.key(format!("weft:kv:{{{label}}}:{part}"));
    }
    call.arg(now_ms);
    call
}

impl Store for RedisStore {
    fn get_many(&self, label: &str, keys: Vec<String>) -> BoxFuture<'_, Result<Vec<Option<Entry>>, Error>> {
        let label = label.to_owned();
        Box::pin(async move {
            check_batch(keys.len())?;
            keys.iter().try_for_each(|key| check_key(key))?;
            self.server.get_many(&label, &keys, self.clock.now_ms()).await
        })
    }

    fn write(&self, label: &str, writes: Vec<Write>) -> BoxFuture<'_, Result<(), Error>> {
        let label = label.to_owned();
        Box::pin(async move {
            check_batch(writes.len())?;
            let mut call = invocation(&scripts::WRITE, &label, self.clock.now_ms());
            for write in &writes {
                match write {
                    Write::Set { key, value, ttl } => {
                        check_value(key, value)?;
                        call.arg("set").arg(key).arg(&value[..]).arg(self.end(*ttl));
                    }
                    Write::Delete { key } => {
                        check_key(key)?;
                        call.arg("delete").arg(key).arg("").arg("");
                    }
                }
            }
            self.server.run(&call).await
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
        let (label, key) = (label.to_owned(), key.to_owned());
        Box::pin(async move {
            check_value(&key, &value)?;
            let mut call = invocation(&scripts::COMPARE_AND_SET, &label, self.clock.now_ms());
            let expected = expected.map_or_else(String::new, |version| version.to_string());
            call.arg(&key).arg(expected).arg(&value[..]).arg(self.end(ttl));
            let (swapped, current): (bool, Found) = self.server.run(&call).await?;
            Ok(if swapped { Swap::Swapped } else { Swap::Conflict(entry(current)) })
        })
    }

    fn increment(&self, label: &str, key: &str, delta: i64) -> BoxFuture<'_, Result<i64, Error>> {
        let (label, key) = (label.to_owned(), key.to_owned());
        Box::pin(async move {
            check_key(&key)?;
            let mut call = invocation(&scripts::INCREMENT, &label, self.clock.now_ms());
            call.arg(&key).arg(delta);
            let sum: Option<i64> = self.server.run(&call).await?;
            sum.ok_or(Error::NotANumber { key })
        })
    }

    fn list_keys(
        &self,
        label: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<String>, Error>> {
        let label = label.to_owned();
        let first = match after {
            Some(after) if after >= prefix => format!("({after}"),
            _ => format!("[{prefix}"),
        };
        // No key has the byte 255, so all with the prefix stand before it.
        let last = if prefix.is_empty() { b"+".to_vec() } else { [b"(", prefix.as_bytes(), b"\xff"].concat() };
        let checked = check_key(prefix);
        Box::pin(async move {
            check_batch(limit)?;
            checked?;
            let mut call = invocation(&scripts::LIST, &label, self.clock.now_ms());
            call.arg(first).arg(last).arg(limit);
            self.server.run(&call).await
        })
    }

    fn get_cached(&self, label: &str, key: &str) -> Result<Option<Bytes>, Error> {
        check_key(key)?;
        self.blocking.get(label, key)
    }
}

#[cfg(test)]
mod tests {
    use weft_core::clock::ManualClock;
    use weft_core::id::new_trace_id;

    use super::*;
    use crate::kv::conformance;
    use crate::outbound::SystemResolver;

    const COMMAND: Duration = Duration::from_secs(15);

    fn store(url: &str, clock: &Arc<ManualClock>) -> RedisStore {
        let (resolver, clock): (Arc<dyn Resolve>, Arc<dyn Clock>) = (Arc::new(SystemResolver), clock.clone());
        RedisStore::new(url, COMMAND, &resolver, &clock).unwrap()
    }

    /// Labels of this run, so that what an earlier one left is not in the way.
    #[derive(Debug)]
    struct Fresh(RedisStore, String);

    impl Fresh {
        fn label(&self, label: &str) -> String {
            format!("{}-{label}", self.1)
        }
    }

    impl Store for Fresh {
        fn get_many(&self, label: &str, keys: Vec<String>) -> BoxFuture<'_, Result<Vec<Option<Entry>>, Error>> {
            self.0.get_many(&self.label(label), keys)
        }

        fn write(&self, label: &str, writes: Vec<Write>) -> BoxFuture<'_, Result<(), Error>> {
            self.0.write(&self.label(label), writes)
        }

        fn compare_and_set(
            &self,
            label: &str,
            key: &str,
            expected: Option<u64>,
            value: Bytes,
            ttl: Option<Duration>,
        ) -> BoxFuture<'_, Result<Swap, Error>> {
            self.0.compare_and_set(&self.label(label), key, expected, value, ttl)
        }

        fn increment(&self, label: &str, key: &str, delta: i64) -> BoxFuture<'_, Result<i64, Error>> {
            self.0.increment(&self.label(label), key, delta)
        }

        fn list_keys(
            &self,
            label: &str,
            prefix: &str,
            after: Option<&str>,
            limit: usize,
        ) -> BoxFuture<'_, Result<Vec<String>, Error>> {
            self.0.list_keys(&self.label(label), prefix, after, limit)
        }

        fn get_cached(&self, label: &str, key: &str) -> Result<Option<Bytes>, Error> {
            self.0.get_cached(&self.label(label), key)
        }
    }

    #[tokio::test]
    async fn keeps_the_contract() {
        let Some(url) = weft_tests::servers::redis() else { return };
        let (clock, run) = (Arc::new(ManualClock::at_ms(1_000)), new_trace_id().to_string());
        let open = || -> Box<dyn Store> { Box::new(Fresh(store(&url, &clock), run.clone())) };
        conformance::run(&open, &|by| clock.advance(by)).await;
    }

    #[tokio::test]
    async fn space_of_ended_entries_is_given_back() {
        let Some(url) = weft_tests::servers::redis() else { return };
        let clock = Arc::new(ManualClock::at_ms(1_000));
        let (store, label) = (store(&url, &clock), new_trace_id().to_string());
        let kv: &dyn Store = &store;
        for n in 0..100 {
            kv.set(&label, &n.to_string(), Bytes::from("x"), Some(Duration::from_secs(1))).await.unwrap();
        }
        clock.advance(Duration::from_secs(2));
        kv.set(&label, "last", Bytes::from("x"), None).await.unwrap();
        let (mut connection, _) = store.server.0.line().await.unwrap();
        let key = format!("weft:kv:{{{label}}}:values");
        let left: usize = redis::cmd("HLEN").arg(key).query_async(&mut connection).await.unwrap();
        assert_eq!(left, 1);
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_unavailable() {
        let store = store("redis://127.0.0.1:1", &Arc::new(ManualClock::default()));
        let kv: &dyn Store = &store;
        assert!(matches!(kv.get("s", "k").await, Err(Error::Unavailable(_))));
        assert!(matches!(kv.get_cached("s", "k"), Err(Error::Unavailable(_))));
    }

    #[test]
    fn a_url_of_something_else_is_refused() {
        let (resolver, clock): (Arc<dyn Resolve>, Arc<dyn Clock>) =
            (Arc::new(SystemResolver), Arc::new(ManualClock::default()));
        assert!(RedisStore::new("http://localhost", COMMAND, &resolver, &clock).is_err());
    }
}
