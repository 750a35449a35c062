//! What every message system that is measured can do, and the events that it is given. Owns what they have in common:
//! an event's bytes and its number; each system is a module.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::time::Instant;

use crate::process::Process;

/// The data of an event, in bytes.
pub const DATA_BYTES: usize = 256;
/// Where all events go.
pub const TOPIC: &str = "bench.events";
/// Digits of a number in the data.
const DIGITS: usize = 12;
/// What stands before them.
const BEFORE: &str = "{\"n\":\"";
const BETWEEN: &str = "\",\"pad\":\"";
const AFTER: &str = "\"}";

/// Connections of a peer's clients. More of them only cost processor time, which two cores have little of.
#[cfg(feature = "peers")]
pub const CONNECTIONS: usize = 4;
/// Between two looks at something that only shows itself when it is asked.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// For a server that reads all that was written when it starts.
const LOOK_FOR: Duration = Duration::from_secs(300);

/// Called with the number of each event when its handler starts; the event is acknowledged when it has returned.
pub type Handle = Arc<dyn Fn(u64) -> anyhow::Result<()> + Send + Sync>;

/// A message system that runs.
pub trait Engine: Send + Sync + 'static {
    /// Publishes an event; it is acknowledged when this resolves.
    fn publish(&self, publisher: usize, number: u64) -> BoxFuture<'_, anyhow::Result<()>>;

    /// Has the events handled and acknowledged, those first that are there. Ends only by an error.
    fn consume(self: Arc<Self>, handle: Handle) -> BoxFuture<'static, anyhow::Result<()>>;

    /// How many events the consumer has not acknowledged, as the system itself counts them.
    fn unsettled(&self) -> BoxFuture<'_, anyhow::Result<u64>>;

    /// The processes that do its work.
    fn processes(&self) -> Vec<Process>;

    /// Ends it in good order, so that it can be started again on the same data.
    fn close(&self) -> BoxFuture<'_, anyhow::Result<()>>;
}

/// Looks until it sees something.
///
/// # Errors
/// Of a look, or if that takes too long.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
    let until = Instant::now() + LOOK_FOR;
    loop {
        match look().await? {
            Some(seen) => return Ok(seen),
            None if Instant::now() > until => bail!("{what}: not within {LOOK_FOR:?}"),
            None => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

/// The data of the event with this number: JSON of [`DATA_BYTES`] bytes.
#[must_use]
pub fn data(number: u64) -> Bytes {
    let pad = DATA_BYTES - BEFORE.len() - DIGITS - BETWEEN.len() - AFTER.len();
    format!("{BEFORE}{number:0DIGITS$}{BETWEEN}{:x<pad$}{AFTER}", "").into()
}

/// The number of the event with this data.
///
/// # Errors
/// If it is not as long as it was, or has no number.
pub fn number(data: &[u8]) -> anyhow::Result<u64> {
    anyhow::ensure!(data.len() == DATA_BYTES, "an event came with {} bytes instead of {DATA_BYTES}", data.len());
    let digits = data.get(BEFORE.len()..BEFORE.len() + DIGITS).unwrap_or_default();
    std::str::from_utf8(digits)?.parse().context("an event came without its number")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_is_json_of_one_length_and_holds_the_number() {
        for of in [0, 7, 999_999_999_999] {
            let data = data(of);
            assert_eq!(data.len(), DATA_BYTES);
            serde_json::from_slice::<serde_json::Value>(&data).unwrap();
            assert_eq!(number(&data).unwrap(), of);
        }
        assert!(number(b"{}").is_err());
        assert!(number(&[b'x'; DATA_BYTES]).is_err());
    }
}
