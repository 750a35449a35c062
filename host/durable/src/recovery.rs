//! Bringing sagas back: at the start, when a run ended before its saga, when a timer or a delay is due. Woken by
//! notification or by the clock at the next due time, never by polling.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::{BoxFuture, Either, FutureExt, select};
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::Notify;

use weft_core::{Failure, Fault, Reason};

use crate::engine::{Inner, Sagas};
use crate::index::Saga;

/// Sagas that are resumed at the same time.
const MAX_RESUMING: usize = 64;
/// Runs in a row without a new record after which a saga needs attention.
const MAX_IDLE_RUNS: u32 = 10;
/// Runs in a row that the host could not begin, after which a saga needs attention: at the longest delay, most of an
/// hour.
const MAX_REFUSED: u32 = 100;
const FIRST_DELAY_MS: u64 = 100;
const LONGEST_DELAY_MS: u64 = 30_000;

/// Runs a saga again on the code that it began with. Implemented by whoever runs instances.
pub trait Resume: Send + Sync + 'static {
    /// Calls `resumable.resume(key)` on the component at this digest. Resolves when that run has ended, whether or not
    /// the saga has.
    fn resume(&self, component: &str, digest: &str, key: &str) -> BoxFuture<'static, Result<(), Failure>>;
}

/// What is to be resumed, and when.
#[derive(Debug)]
pub(crate) struct Due {
    /// Time in milliseconds since the Unix epoch, and the saga's position.
    queue: Mutex<BTreeSet<(u64, u64)>>,
    changed: Notify,
    unfinished: AtomicUsize,
}

impl Due {
    /// Nothing is due yet; so many sagas are unfinished.
    pub(crate) fn new(unfinished: usize) -> Self {
        Self { queue: Mutex::default(), changed: Notify::new(), unfinished: AtomicUsize::new(unfinished) }
    }

    fn queue(&self) -> MutexGuard<'_, BTreeSet<(u64, u64)>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, at_ms: u64, position: u64) {
        self.queue().insert((at_ms, position));
        self.changed.notify_one();
    }

    pub(crate) fn wake(&self) {
        self.changed.notify_one();
    }

    pub(crate) fn begun(&self) {
        self.unfinished.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn ended(&self) {
        self.unfinished.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn unfinished(&self) -> usize {
        self.unfinished.load(Ordering::Relaxed)
    }

    /// The next saga that is due, or when the next will be.
    fn pop(&self, now_ms: u64) -> Result<u64, Option<u64>> {
        let mut queue = self.queue();
        match queue.first().copied() {
            Some((at_ms, position)) if at_ms <= now_ms => {
                queue.pop_first();
                Ok(position)
            }
            next => Err(next.map(|(at_ms, _)| at_ms)),
        }
    }
}

/// How long a saga rests after so many runs without a new record.
pub(crate) fn back_off_ms(idle_runs: u32) -> u64 {
    match idle_runs {
        0 => 0,
        runs => FIRST_DELAY_MS.saturating_mul(1 << (runs - 1).min(20)).min(LONGEST_DELAY_MS),
    }
}

impl Sagas {
    /// Resumes sagas until [`Sagas::shutdown`]; to be run once, on a task of its own.
    pub fn recover(&self, resume: Arc<dyn Resume>) -> impl Future<Output = ()> + Send + 'static {
        let inner = Arc::clone(&self.inner);
        async move {
            let mut resuming = FuturesUnordered::new();
            while inner.check_open().is_ok() {
                let next_at_ms = loop {
                    if resuming.len() >= MAX_RESUMING {
                        break None;
                    }
                    match inner.due.pop(inner.clock.now_ms()) {
                        Ok(position) => resuming.push(resume_one(Arc::clone(&inner), position, Arc::clone(&resume))),
                        Err(next_at_ms) => break next_at_ms,
                    }
                };
                let ended = async {
                    if resuming.next().await.is_none() {
                        futures::future::pending::<()>().await;
                    }
                };
                select(std::pin::pin!(ended), std::pin::pin!(wait_for_due(&inner, next_at_ms))).await;
            }
        }
    }
}

async fn wait_for_due(inner: &Inner, next_at_ms: Option<u64>) {
    let changed = std::pin::pin!(inner.due.changed.notified());
    let time = match next_at_ms {
        Some(at_ms) => {
            let wait_ms = at_ms.saturating_sub(inner.clock.now_ms());
            Either::Left(inner.clock.sleep(Duration::from_millis(wait_ms)))
        }
        None => Either::Right(futures::future::pending()),
    };
    select(changed, time.boxed()).await;
}

async fn resume_one(inner: Arc<Inner>, position: u64, resume: Arc<dyn Resume>) {
    let Some(saga) = inner.index().at(position).cloned() else { return };
    let runs = {
        let mut state = saga.state();
        if state.resuming {
            state.due_again = true;
            return;
        }
        // One that was due earlier and waits for another time now has an entry for that.
        let is_due = state.due_at_ms().is_some_and(|at_ms| at_ms <= inner.clock.now_ms());
        if !is_due || state.lease.is_some() {
            return;
        }
        state.resuming = state.idle_runs < MAX_IDLE_RUNS && state.refused < MAX_REFUSED;
        state.resuming.then_some(state.runs)
    };
    let Some(runs) = runs else {
        give_up(&inner, &saga).await;
        return;
    };
    let digest = Arc::clone(&saga.state().digest);
    let ended = resume.resume(&saga.component, &digest, &saga.key).await;
    let mut state = saga.state();
    state.resuming = false;
    if std::mem::take(&mut state.due_again) {
        inner.due.push(inner.clock.now_ms(), position);
    }
    // What the host could not serve is no sign against the saga; what it cannot serve at all needs a person.
    let (mut idle, mut refused) = (1, 0);
    // A run that ends for a long wait has nothing else to say than that it ended.
    if let Err(failure) = &ended
        && state.suspended.is_none()
        && !state.paused
    {
        tracing::warn!(saga = %saga.key, %failure, "a saga's run ended early");
        state.last_failure = Some(failure.to_string().into());
        (idle, refused) = match (failure.reason, failure.fault) {
            (Reason::Overloaded | Reason::ShuttingDown, _) => (0, 0),
            (_, Fault::Host) => (0, 1),
            _ => (1, 0),
        };
    }
    // A run that never began has released no lease: nobody else has made the saga due again.
    if state.runs == runs && state.lease.is_none() && !state.is_ended() && !state.paused {
        state.idle_runs += idle;
        state.refused += refused;
        let delay_ms = back_off_ms(state.idle_runs.max(state.refused).max(1));
        inner.due.push(inner.clock.now_ms() + delay_ms, position);
    }
}

async fn give_up(inner: &Inner, saga: &Saga) {
    let (runs, last) = {
        let state = saga.state();
        (state.idle_runs + state.refused, state.last_failure.clone())
    };
    let last = last.unwrap_or_else(|| "it said nothing".into());
    let reason = format!("{runs} runs in a row came no further; the last one: {last}");
    if let Err(error) = inner.park(saga, None, reason).await {
        tracing::error!(saga = %saga.key, %error, "a saga cannot be ended");
    }
}
