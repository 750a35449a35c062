//! Sagas as the control socket shows them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use weft_durable::{
    AttemptView, EventKind, OrderView, Outcome, Phase, SagaEvent, SagaPage, SagaSummary, SagaView, StepView, WaitView,
};

/// The longest error of a transition, in bytes; a longer one is cut. The whole stands in the saga itself.
const MAX_ERROR_BYTES: usize = 4096;

/// One entry of `GET /v1/sagas`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct SagaEntry {
    /// Its id, which is its key.
    pub id: String,
    /// The durable function.
    pub name: String,
    /// The component that it belongs to; empty for a choreographed saga.
    pub component: String,
    /// `running`, `paused`, `completed`, `compensating`, `compensated` or `needs-attention`.
    pub status: String,
    /// Carried through the whole of one business operation.
    pub correlation_id: String,
    /// Milliseconds since the Unix epoch.
    pub started_at_ms: u64,
    /// Milliseconds since the Unix epoch; none while it runs.
    pub ended_at_ms: Option<u64>,
}

/// `GET /v1/sagas`: newest first.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct SagaList {
    /// One page.
    pub items: Vec<SagaEntry>,
    /// For the next page; none on the last.
    pub next_cursor: Option<u64>,
}

/// `GET /v1/sagas/{id}`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Saga {
    /// What a list shows of it.
    #[serde(flatten)]
    pub entry: SagaEntry,
    /// The digest of its code.
    pub digest: String,
    /// How often it has continued as new.
    pub generation: u32,
    /// What its code has set for searching.
    pub attributes: BTreeMap<String, String>,
    /// The function's answer as it wrote it, once there is one.
    pub result: Option<String>,
    /// Why it stopped, where that is not an answer of the function.
    pub error: Option<String>,
    /// Steps and compensations, in the order in which they first appear.
    pub steps: Vec<SagaStep>,
    /// Timers, signals and children, in the order in which they were asked for.
    pub waits: Vec<SagaWait>,
    /// What persons and other functions have ordered, in order.
    pub orders: Vec<SagaOrder>,
}

/// A step of a saga, or a compensation.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct SagaStep {
    /// Its name.
    pub name: String,
    /// From 1, for steps that are entered several times.
    pub occurrence: u32,
    /// Whether it takes the step back.
    pub compensation: bool,
    /// `running`, `retrying`, `completed`, `compensated`, `failed` or `unknown`.
    pub status: String,
    /// Attempts that ended or run.
    pub attempts: u32,
    /// Milliseconds since the Unix epoch.
    pub started_at_ms: u64,
    /// Milliseconds since the Unix epoch; none while it is not settled.
    pub ended_at_ms: Option<u64>,
    /// What its last error said.
    pub error: Option<String>,
    /// The attempts that have ended.
    pub tried: Vec<SagaAttempt>,
}

/// One attempt that has ended.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct SagaAttempt {
    /// Milliseconds since the Unix epoch.
    pub started_at_ms: u64,
    /// Milliseconds since the Unix epoch.
    pub ended_at_ms: u64,
    /// `success`, `error` or `unknown`.
    pub outcome: String,
}

/// A timer, a signal or the end of a child that a saga has asked for.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct SagaWait {
    /// `timer`, `signal` or `child`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// From 1, for those that are asked for several times.
    pub occurrence: u32,
    /// `waiting`, `done`, `timed-out` or `cancelled`.
    pub status: String,
    /// Milliseconds since the Unix epoch.
    pub since_ms: Option<u64>,
    /// When the wait ends by itself.
    pub until_ms: Option<u64>,
    /// Milliseconds since the Unix epoch.
    pub ended_at_ms: Option<u64>,
}

/// An order that a saga was given.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct SagaOrder {
    /// `pause`, `resume`, `cancel`, `retry`, `skip`, `abandon` or `migrate`.
    pub order: String,
    /// The step or the digest that it is about.
    pub about: Option<String>,
    /// Who gave it.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// Milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// `GET /v1/sagas/{id}/timeline`: the saga of that id, or all those of that correlation id.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Timeline {
    /// The host's time, in milliseconds since the Unix epoch: what is not over has come so far.
    pub now_ms: u64,
    /// In the order of their start.
    pub sagas: Vec<Saga>,
    /// Whether there are more than are shown.
    pub more: bool,
}

/// A line of `GET /v1/sagas/events`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Transition {
    /// Such as `saga.started` or `step.completed`.
    pub event: String,
    /// The saga's id.
    pub saga: String,
    /// The durable function.
    pub name: String,
    /// Carried through the whole of one business operation.
    pub correlation_id: String,
    /// The step, timer or signal that it is about.
    pub step: Option<String>,
    /// From 1, for steps.
    pub attempt: Option<u32>,
    /// Milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// What went wrong, or who ordered it and why.
    pub error: Option<String>,
}

impl From<&SagaSummary> for SagaEntry {
    fn from(saga: &SagaSummary) -> Self {
        Self {
            id: saga.key.to_string(),
            name: saga.name.to_string(),
            component: saga.component.to_string(),
            status: saga.status.as_str().to_owned(),
            correlation_id: saga.correlation_id.to_string(),
            started_at_ms: saga.started_at_ms,
            ended_at_ms: saga.ended_at_ms,
        }
    }
}

impl From<&SagaPage> for SagaList {
    fn from(page: &SagaPage) -> Self {
        Self { items: page.items.iter().map(SagaEntry::from).collect(), next_cursor: page.next_cursor }
    }
}

impl From<&SagaView> for SagaEntry {
    fn from(saga: &SagaView) -> Self {
        Self {
            id: saga.key.clone(),
            name: saga.name.clone(),
            component: saga.component.clone(),
            status: saga.status.as_str().to_owned(),
            correlation_id: saga.correlation_id.clone(),
            started_at_ms: saga.started_at_ms,
            ended_at_ms: saga.ended_at_ms,
        }
    }
}

impl From<&SagaView> for Saga {
    fn from(saga: &SagaView) -> Self {
        Self {
            entry: SagaEntry::from(saga),
            digest: saga.digest.clone(),
            generation: saga.generation,
            attributes: saga.attributes.iter().cloned().collect(),
            result: saga.result.as_deref().map(|bytes| String::from_utf8_lossy(bytes).into_owned()),
            error: saga.error.clone(),
            steps: saga.steps.iter().map(SagaStep::from).collect(),
            waits: saga.waits.iter().map(SagaWait::from).collect(),
            orders: saga.orders.iter().map(SagaOrder::from).collect(),
        }
    }
}

impl From<&StepView> for SagaStep {
    fn from(step: &StepView) -> Self {
        Self {
            name: step.name.clone(),
            occurrence: step.occurrence,
            compensation: step.phase == Phase::Undo,
            status: step.status.to_owned(),
            attempts: step.attempts,
            started_at_ms: step.started_at_ms,
            ended_at_ms: step.ended_at_ms,
            error: step.error.clone(),
            tried: step.tried.iter().map(SagaAttempt::from).collect(),
        }
    }
}

impl From<&AttemptView> for SagaAttempt {
    fn from(attempt: &AttemptView) -> Self {
        let outcome = match attempt.outcome {
            Outcome::Success => "success",
            Outcome::Error => "error",
            Outcome::Unknown => "unknown",
        };
        let (started_at_ms, ended_at_ms) = (attempt.started_at_ms, attempt.ended_at_ms);
        Self { started_at_ms, ended_at_ms, outcome: outcome.to_owned() }
    }
}

impl From<&WaitView> for SagaWait {
    fn from(wait: &WaitView) -> Self {
        let kind = match wait.kind {
            EventKind::Timer => "timer",
            EventKind::Signal => "signal",
            EventKind::Child => "child",
            EventKind::Do => "step",
            EventKind::Undo => "compensation",
        };
        Self {
            kind: kind.to_owned(),
            name: wait.name.clone(),
            occurrence: wait.occurrence,
            status: wait.status.to_owned(),
            since_ms: wait.since_ms,
            until_ms: wait.until_ms,
            ended_at_ms: wait.ended_at_ms,
        }
    }
}

impl From<&OrderView> for SagaOrder {
    fn from(order: &OrderView) -> Self {
        Self {
            order: order.order.to_owned(),
            about: order.about.clone(),
            actor: order.actor.clone(),
            reason: order.reason.clone(),
            at_ms: order.at_ms,
        }
    }
}

impl From<&SagaEvent> for Transition {
    fn from(event: &SagaEvent) -> Self {
        let cut = |text: &String| {
            let end = text.floor_char_boundary(MAX_ERROR_BYTES);
            text.get(..end).unwrap_or_default().to_owned()
        };
        Self {
            event: event.name.to_owned(),
            saga: event.saga.to_string(),
            name: event.function.to_string(),
            correlation_id: event.correlation_id.to_string(),
            step: event.step.clone(),
            attempt: event.attempt,
            at_ms: event.at_ms,
            error: event.error.as_ref().map(cut),
        }
    }
}
