//! What happens to sagas, as it happens: a view of the journal's records for whoever follows. Nothing is kept for who
//! comes later, and who is too slow misses some.

use std::sync::Arc;

use tokio::sync::broadcast;

use crate::index::{OpenAttempt, Saga};
use crate::record::{Entry, Order, StepEnded};
use crate::types::{Outcome, Phase, Status};

/// Transitions that a slow follower may be behind.
const BUFFERED: usize = 1024;

/// One transition of a saga.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SagaEvent {
    /// Such as `saga.started` or `step.completed`.
    pub name: &'static str,
    /// The saga's key, which is its id.
    pub saga: Arc<str>,
    /// Carried through the whole of one business operation.
    pub correlation_id: Arc<str>,
    /// The durable function.
    pub function: Arc<str>,
    /// The step, timer or signal that it is about.
    pub step: Option<String>,
    /// From 1, for steps.
    pub attempt: Option<u32>,
    /// Milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// What went wrong, or why.
    pub error: Option<String>,
}

/// Who follows.
#[derive(Debug)]
pub(crate) struct Events(broadcast::Sender<Arc<SagaEvent>>);

impl Default for Events {
    fn default() -> Self {
        Self(broadcast::Sender::new(BUFFERED))
    }
}

impl Events {
    pub(crate) fn follow(&self) -> broadcast::Receiver<Arc<SagaEvent>> {
        self.0.subscribe()
    }

    fn send(&self, saga: &Saga, describe: impl FnOnce() -> Option<Transition>) {
        if self.0.receiver_count() == 0 {
            return;
        }
        let Some(Transition { name, step, attempt, at_ms, error }) = describe() else { return };
        let (key, function) = (Arc::clone(&saga.key), Arc::clone(&saga.function));
        let correlation_id = Arc::clone(&saga.correlation_id);
        let event = SagaEvent { name, saga: key, correlation_id, function, step, attempt, at_ms, error };
        // The last follower may have gone.
        let _ = self.0.send(Arc::new(event));
    }

    pub(crate) fn attempt_began(&self, saga: &Saga, open: &OpenAttempt) {
        self.send(saga, || {
            let name = if open.phase == Phase::Do { "step.started" } else { "step.compensating" };
            let (step, attempt) = (Some(open.name.clone()), Some(open.attempt));
            Some(Transition { name, step, attempt, at_ms: open.started_at_ms, error: None })
        });
    }

    pub(crate) fn recorded(&self, saga: &Saga, entry: &Entry) {
        self.send(saga, || transition(entry));
    }
}

struct Transition {
    name: &'static str,
    step: Option<String>,
    attempt: Option<u32>,
    at_ms: u64,
    error: Option<String>,
}

fn transition(entry: &Entry) -> Option<Transition> {
    let plain = |name, at_ms, step: Option<&String>| {
        Some(Transition { name, step: step.cloned(), attempt: None, at_ms, error: None })
    };
    match entry {
        Entry::Started(started) => plain("saga.started", started.at_ms, None),
        Entry::Step(step) => Some(of_step(step)),
        Entry::TimerFired(timer) => plain("timer.fired", timer.fires_at_ms, Some(&timer.name)),
        Entry::Signalled(signalled) => plain("signal.received", signalled.at_ms, Some(&signalled.name)),
        Entry::Continued(continued) => plain("saga.continued", continued.at_ms, None),
        Entry::Ended(ended) => {
            let name = match ended.status {
                Status::Completed => "saga.completed",
                Status::Compensated => "saga.compensated",
                _ => "saga.failed",
            };
            Some(Transition { name, step: None, attempt: None, at_ms: ended.at_ms, error: ended.reason.clone() })
        }
        Entry::Ordered(ordered) => {
            let (name, step) = match &ordered.order {
                Order::Pause => ("saga.paused", None),
                Order::Resume => ("saga.resumed", None),
                Order::Cancel => ("saga.cancelled", None),
                Order::Rewind { name, .. } => ("saga.retried", Some(name.clone())),
                Order::Retry => ("saga.retried", None),
                Order::Skip { name, .. } => ("step.skipped", Some(name.clone())),
                Order::Abandon => ("saga.abandoned", None),
                Order::Migrate { .. } => ("saga.migrated", None),
            };
            let error = Some(format!("{}: {}", ordered.actor, ordered.reason));
            Some(Transition { name, step, attempt: None, at_ms: ordered.at_ms, error })
        }
        Entry::TimerSet(_)
        | Entry::Awaited(_)
        | Entry::Told(_)
        | Entry::Noted(..)
        | Entry::Suspended(_)
        | Entry::Ticked(_) => None,
    }
}

fn of_step(step: &StepEnded) -> Transition {
    let name = match (step.outcome, step.phase) {
        _ if step.retry_at_ms.is_some() => "step.retrying",
        (Outcome::Success, Phase::Do) => "step.completed",
        (Outcome::Success, Phase::Undo) => "step.compensated",
        _ => "step.failed",
    };
    let failed = step.outcome != Outcome::Success;
    Transition {
        name,
        step: Some(step.name.clone()),
        attempt: Some(step.attempt),
        at_ms: step.ended_at_ms,
        error: failed.then(|| String::from_utf8_lossy(&step.payload).into_owned()),
    }
}
