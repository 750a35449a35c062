//! What an operator can set, with its defaults and units. Routes and keys have files of their own, and so has what is replaced at once.

use std::sync::Arc;
use std::time::Duration;

use weft_core::answers::Answers;
use weft_core::manifest;
use weft_core::push::PushHub;
use weft_telemetry::DecisionLog;

/// The bounds of one gateway. Everything that a client can send or hold is in here.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Largest request body, in bytes; beyond it 413.
    pub body_bytes: u64,
    /// Most header lines of a request; beyond it 431. hyper has a bound of its own at 100.
    pub header_count: usize,
    /// All header names and values of a request together, in bytes; beyond it 431.
    pub header_bytes: usize,
    /// Longest path and query, in bytes; beyond it 414.
    pub uri_bytes: usize,
    /// Connections open at a time; one more gets 503 and is closed.
    pub connections: usize,
    /// Requests in work at a time, over all connections; one more gets 503.
    pub in_flight: usize,
    /// Concurrent streams of one HTTP/2 connection.
    pub streams_per_connection: u32,
    /// From the first byte of a request's head to its last; beyond it 408.
    pub head_timeout: Duration,
    /// How long a connection may lie idle between requests, or take no byte of an answer, before it is closed. It may
    /// be found idle only after twice this.
    pub idle_timeout: Duration,
    /// From a request's head to the end of its body; beyond it 408.
    pub body_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self::from(&manifest::Gateway::default())
    }
}

/// What the manifest can set; the rest has one value that fits all.
impl From<&manifest::Gateway> for Limits {
    fn from(gateway: &manifest::Gateway) -> Self {
        let ms = |ms: u32| Duration::from_millis(ms.into());
        // 32 bits always fit: the host needs a 64-bit machine for its instances.
        let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        Self {
            body_bytes: gateway.max_body_bytes,
            header_count: 80,
            header_bytes: count(gateway.max_header_bytes),
            uri_bytes: 8 * 1024,
            connections: count(gateway.max_connections),
            in_flight: count(gateway.max_concurrent),
            streams_per_connection: 128,
            head_timeout: ms(gateway.header_timeout_ms),
            body_timeout: ms(gateway.body_timeout_ms),
            idle_timeout: ms(gateway.idle_timeout_ms),
        }
    }
}

/// What a gateway has for as long as it lives. What is replaced with its routes is in [`crate::Deployment`].
#[derive(Debug, Default)]
pub struct Settings {
    /// Where clients are pushed to from, if they are.
    pub push: Option<Arc<dyn PushHub>>,
    /// Where answers to requests with an `Idempotency-Key` are kept; without it the header means nothing.
    pub answers: Option<Arc<dyn Answers>>,
    /// Where it is kept who was refused.
    pub decisions: Option<DecisionLog>,
    /// What `/.well-known/spin/info` tells.
    pub application: About,
}

/// Which application is served.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct About {
    /// Its name.
    pub name: String,
    /// Its version, if it has one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
}
