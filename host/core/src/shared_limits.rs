//! Counts of requests that several hosts share: so many in a window, for each key, whichever host they come to. What is
//! counted, for whom, and what a host counts by itself, is the gateway's business; keeping the counts, a backend's.

use std::fmt::Debug;
use std::time::Duration;

use futures::future::BoxFuture;

use crate::failure::Failure;

/// How the requests of one key are counted. Times are those of whoever keeps the counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// A window begins with a request that finds none, and admits so many.
    Fixed {
        /// Requests.
        limit: u32,
        /// Its length in milliseconds.
        window_ms: u64,
    },
    /// No span of that length admits more. Requests are counted in sixtieths of it, each until its last moment is out of the span.
    Sliding {
        /// Requests.
        limit: u32,
        /// Its length in milliseconds.
        window_ms: u64,
    },
    /// No span admits more than the capacity and what flows back in it.
    Bucket {
        /// Requests.
        capacity: u32,
        /// So many flow back,
        refill: u32,
        /// evenly, in so many milliseconds.
        interval_ms: u64,
    },
}

/// One count that a request asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedAsk {
    /// What is counted for whom, and how: another window has another key. At most 1 KiB.
    pub key: String,
    /// How.
    pub window: Window,
}

/// How one count stands, after the request if that is admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedStanding {
    /// Requests that would be admitted now.
    pub remaining: u32,
    /// Until more are; 0 if nothing is counted.
    pub reset: Duration,
    /// What [`SharedLimits::give_back`] needs to know.
    pub mark: u64,
}

/// What came of asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedAnswer {
    /// Whether all admit the request, and have counted it; else none has.
    pub is_admitted: bool,
    /// How they stand, in the order of the question.
    pub standings: Vec<SharedStanding>,
}

/// Counts that are shared.
pub trait SharedLimits: Debug + Send + Sync + 'static {
    /// Asks all counts at once: each of them counts the request, or none does.
    ///
    /// # Errors
    /// [`Failure`] if whoever keeps the counts does not answer soon; the request may have been counted.
    fn admit(&self, asks: Vec<SharedAsk>) -> BoxFuture<'_, Result<SharedAnswer, Failure>>;

    /// Undoes what was admitted, as far as it still counts; each with the mark of its standing.
    ///
    /// # Errors
    /// As [`SharedLimits::admit`].
    fn give_back(&self, asks: Vec<(SharedAsk, u64)>) -> BoxFuture<'_, Result<(), Failure>>;
}
