//! Sagas as they are shown: lists, counts, and one saga with its steps, read from the journal.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::engine::{Inner, Sagas};
use crate::error::SagaError;
use crate::index::Saga;
use crate::record::{Entry, StepEnded};
use crate::types::{Outcome, Phase, Status};

/// The most sagas on one page.
const MAX_PAGE: usize = 1000;

/// One saga with its steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SagaView {
    /// Its key, which is its id.
    pub key: String,
    /// The durable function.
    pub name: String,
    /// The component that it belongs to.
    pub component: String,
    /// The digest of the code that it began with.
    pub digest: String,
    /// Where it stands.
    pub status: Status,
    /// Carried through the whole of one business operation.
    pub correlation_id: String,
    /// The guest's bytes.
    pub input: Vec<u8>,
    /// The function's answer, once there is one.
    pub result: Option<Vec<u8>>,
    /// Why it stopped, where that is not an answer of the function.
    pub error: Option<String>,
    /// Milliseconds since the Unix epoch.
    pub started_at_ms: u64,
    /// Milliseconds since the Unix epoch.
    pub ended_at_ms: Option<u64>,
    /// In the order in which they first appear.
    pub steps: Vec<StepView>,
}

/// One step, or one compensation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepView {
    /// Its name.
    pub name: String,
    /// From 1, for steps that are entered several times.
    pub occurrence: u32,
    /// The step or its compensation.
    pub phase: Phase,
    /// `running`, `retrying`, `completed`, `compensated` (a compensation that succeeded), `failed` or `unknown`.
    pub status: &'static str,
    /// Attempts that ended or run.
    pub attempts: u32,
    /// Milliseconds since the Unix epoch.
    pub started_at_ms: u64,
    /// Milliseconds since the Unix epoch; none while it is not settled.
    pub ended_at_ms: Option<u64>,
    /// The payload of its last error.
    pub error: Option<String>,
}

/// One saga in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SagaSummary {
    /// Its key, which is its id.
    pub key: Arc<str>,
    /// The durable function.
    pub name: Arc<str>,
    /// The component that it belongs to.
    pub component: Arc<str>,
    /// Where it stands.
    pub status: Status,
    /// Milliseconds since the Unix epoch.
    pub started_at_ms: u64,
    /// Milliseconds since the Unix epoch.
    pub ended_at_ms: Option<u64>,
}

/// Which sagas to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SagaFilter {
    /// Only those.
    pub status: Option<Status>,
    /// Only those whose function or component has this name.
    pub name: Option<String>,
}

/// Some sagas, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SagaPage {
    /// At most as many as were asked for.
    pub items: Vec<SagaSummary>,
    /// For the next page; none on the last.
    pub next_cursor: Option<u64>,
}

/// How many sagas stand where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// On their way.
    pub running: u64,
    /// Ended with success.
    pub completed: u64,
    /// Taking back their steps.
    pub compensating: u64,
    /// Ended with an error, nothing left.
    pub compensated: u64,
    /// Ended; a person has to look at them.
    pub needs_attention: u64,
}

impl Sagas {
    /// Sagas, newest first: at most `limit` (and 1,000) that began before the one at `cursor`.
    #[must_use]
    pub fn list(&self, filter: &SagaFilter, limit: usize, cursor: Option<u64>) -> SagaPage {
        let limit = limit.clamp(1, MAX_PAGE);
        let index = self.inner.index();
        let wanted = |saga: &&Arc<Saga>| {
            let name = filter.name.as_deref();
            name.is_none_or(|name| *saga.function == *name || *saga.component == *name)
                && filter.status.is_none_or(|status| saga.state().status == status)
        };
        let mut found = index.before(cursor.unwrap_or(u64::MAX)).filter(wanted);
        let mut last = None;
        let page = found.by_ref().take(limit).inspect(|saga| last = Some(saga.position));
        let items = page.map(|saga| summary(saga)).collect();
        let next_cursor = found.next().and(last);
        SagaPage { items, next_cursor }
    }

    /// One saga with its steps.
    ///
    /// # Errors
    /// [`SagaError::NotFound`]; [`SagaError::Unavailable`] if its records cannot be read.
    pub fn show(&self, key: &str) -> Result<SagaView, SagaError> {
        let saga = self.inner.find(key).ok_or(SagaError::NotFound)?;
        show(&self.inner, &saga)
    }

    /// How many sagas stand where.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for saga in self.inner.index().all() {
            let count = match saga.state().status {
                Status::Running => &mut counts.running,
                Status::Completed => &mut counts.completed,
                Status::Compensating => &mut counts.compensating,
                Status::Compensated => &mut counts.compensated,
                Status::NeedsAttention => &mut counts.needs_attention,
            };
            *count += 1;
        }
        counts
    }

    /// Component and digest of all code that unfinished sagas need.
    #[must_use]
    pub fn needed_digests(&self) -> BTreeSet<(Arc<str>, Arc<str>)> {
        let index = self.inner.index();
        let unfinished = index.all().filter(|saga| !saga.state().is_ended());
        unfinished.map(|saga| (Arc::clone(&saga.component), Arc::clone(&saga.digest))).collect()
    }
}

fn summary(saga: &Saga) -> SagaSummary {
    let state = saga.state();
    SagaSummary {
        key: Arc::clone(&saga.key),
        name: Arc::clone(&saga.function),
        component: Arc::clone(&saga.component),
        status: state.status,
        started_at_ms: saga.started_at_ms,
        ended_at_ms: state.ended_at_ms,
    }
}

fn show(inner: &Inner, saga: &Saga) -> Result<SagaView, SagaError> {
    let (status, ended_at_ms, open) = {
        let state = saga.state();
        (state.status, state.ended_at_ms, state.open.clone())
    };
    let history = inner.history(saga)?;
    let mut steps = Vec::new();
    for entry in &history.entries {
        if let Entry::Step(step) = entry {
            add(&mut steps, step);
        }
    }
    for open in open {
        update(&mut steps, (&open.name, open.occurrence, open.phase), open.started_at_ms, |step| {
            step.status = "running";
            step.attempts = open.attempt;
        });
    }
    let ended = history.ended();
    Ok(SagaView {
        status,
        ended_at_ms,
        steps,
        result: ended.and_then(|ended| ended.answer.clone()),
        error: ended.and_then(|ended| ended.reason.clone()),
        key: history.started.key,
        name: history.started.function,
        component: history.started.component,
        digest: history.started.digest,
        correlation_id: history.started.correlation_id,
        input: history.started.input,
        started_at_ms: history.started.at_ms,
    })
}

fn add(steps: &mut Vec<StepView>, ended: &StepEnded) {
    let succeeded = ended.outcome == Outcome::Success;
    let status = match (ended.outcome, ended.phase) {
        _ if ended.retry_at_ms.is_some() => "retrying",
        (Outcome::Success, Phase::Do) => "completed",
        (Outcome::Success, Phase::Undo) => "compensated",
        (Outcome::Error, _) => "failed",
        (Outcome::Unknown, _) => "unknown",
    };
    update(steps, (&ended.name, ended.occurrence, ended.phase), ended.started_at_ms, |step| {
        step.attempts = ended.attempt;
        step.ended_at_ms = ended.retry_at_ms.is_none().then_some(ended.ended_at_ms);
        step.error = (!succeeded).then(|| String::from_utf8_lossy(&ended.payload).into_owned());
        step.status = status;
    });
}

/// Changes the view of a step, which is put in if it is not there.
fn update(
    steps: &mut Vec<StepView>,
    (name, occurrence, phase): (&str, u32, Phase),
    started_at_ms: u64,
    change: impl FnOnce(&mut StepView),
) {
    let same = |step: &&mut StepView| step.name == name && step.occurrence == occurrence && step.phase == phase;
    if let Some(step) = steps.iter_mut().find(same) {
        return change(step);
    }
    let (name, status) = (name.to_owned(), "running");
    let mut step =
        StepView { name, occurrence, phase, status, attempts: 0, started_at_ms, ended_at_ms: None, error: None };
    change(&mut step);
    steps.push(step);
}
