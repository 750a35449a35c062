//! Bounds how many calls to one function run and wait at the same time, so that one slow function cannot take the
//! host's instances and memory from all others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use weft_core::{Failure, Fault, Reason};

/// How long an overloaded caller should wait before it tries again.
const RETRY_AFTER_MS: u32 = 1_000;

/// The bound of one function.
#[derive(Debug)]
pub struct Bulkhead {
    /// Such as `function seats`.
    name: Arc<str>,
    running: Arc<Semaphore>,
    max_concurrent: usize,
    pending: AtomicUsize,
    max_pending: usize,
}

/// The right to run one call; released on drop.
#[derive(Debug)]
pub struct Permit {
    _permit: OwnedSemaphorePermit,
}

impl Bulkhead {
    /// A bound of `max_concurrent` running and `max_pending` waiting calls of what `name` names for a person.
    #[must_use]
    pub fn new(name: Arc<str>, max_concurrent: usize, max_pending: usize) -> Self {
        let max_concurrent = max_concurrent.min(Semaphore::MAX_PERMITS);
        let running = Arc::new(Semaphore::new(max_concurrent));
        Self { name, running, max_concurrent, pending: AtomicUsize::new(0), max_pending }
    }

    /// Waits for the right to run, at most for `remaining`.
    ///
    /// # Errors
    /// Overloaded at once if too many wait already; deadline if it passed in the queue. Nothing was started.
    pub async fn enter(&self, remaining: Duration) -> Result<Permit, Failure> {
        if let Some(permit) = self.try_enter() {
            return Ok(permit);
        }
        let waiting = Waiting::begin(&self.pending);
        if waiting.before >= self.max_pending {
            return Err(self.overloaded());
        }
        match tokio::time::timeout(remaining, self.running.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Permit { _permit: permit }),
            Ok(Err(_)) => Err(self.overloaded()),
            Err(_) => {
                let message = format!("the deadline passed while waiting for {}", self.name);
                Err(Failure::not_attempted(Fault::Host, Reason::Deadline, message))
            }
        }
    }

    /// The right to run, if there is one at once.
    #[must_use]
    pub fn try_enter(&self) -> Option<Permit> {
        self.running.clone().try_acquire_owned().ok().map(|permit| Permit { _permit: permit })
    }

    /// Calls that run and calls that wait, for operators: they may have ended when this answers.
    #[must_use]
    pub fn occupied(&self) -> (usize, usize) {
        let running = self.max_concurrent.saturating_sub(self.running.available_permits());
        (running, self.pending.load(Ordering::Relaxed).min(self.max_pending))
    }

    fn overloaded(&self) -> Failure {
        let message = format!("{} has as many calls as it may", self.name);
        Failure::not_attempted(Fault::Host, Reason::Overloaded, message).retry_after_ms(RETRY_AFTER_MS)
    }
}

/// Counts one waiting call until it is dropped, also when the wait itself is given up.
struct Waiting<'a> {
    count: &'a AtomicUsize,
    before: usize,
}

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        Self { count, before: count.fetch_add(1, Ordering::AcqRel) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::AcqRel);
    }
}
