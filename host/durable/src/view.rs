//! Sagas as they are shown: lists, counts, and one saga with its steps, read from the journal.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::engine::{Inner, Sagas};
use crate::error::SagaError;
use crate::events::SagaEvent;
use crate::index::Saga;
use crate::record::{Entry, Order, Ordered, StepEnded, Tidings};
use crate::replay::EventId;
use crate::types::{EventKind, Outcome, Phase, Status};

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
    /// The digest of its code: what it began with, or was migrated to.
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
    /// What the code has set for searching.
    pub attributes: Vec<(String, String)>,
    /// How often it has continued as new.
    pub generation: u32,
    /// In the order in which they first appear; of this generation.
    pub steps: Vec<StepView>,
    /// Timers, signals and children, in the order in which they were asked for.
    pub waits: Vec<WaitView>,
    /// What persons and other functions have ordered, in order.
    pub orders: Vec<OrderView>,
}

/// A timer, a signal or the end of a child that the code has asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitView {
    /// Which of these.
    pub kind: EventKind,
    /// Its name.
    pub name: String,
    /// From 1, for those that are asked for several times.
    pub occurrence: u32,
    /// `waiting`, `done`, `timed-out` or `cancelled`.
    pub status: &'static str,
    /// When it was asked for, in milliseconds since the Unix epoch: when the code was told of something last before it.
    pub since_ms: Option<u64>,
    /// When the wait ends by itself.
    pub until_ms: Option<u64>,
    /// Milliseconds since the Unix epoch.
    pub ended_at_ms: Option<u64>,
}

/// An order that a saga was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderView {
    /// `pause`, `resume`, `cancel`, `retry`, `skip`, `abandon` or `migrate`.
    pub order: &'static str,
    /// The step or the digest that it is about.
    pub about: Option<String>,
    /// Who gave it.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// Milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// One attempt of a step that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptView {
    /// Milliseconds since the Unix epoch.
    pub started_at_ms: u64,
    /// Milliseconds since the Unix epoch.
    pub ended_at_ms: u64,
    /// What it came to.
    pub outcome: Outcome,
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
    /// The attempts that have ended.
    pub tried: Vec<AttemptView>,
}

/// One saga in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SagaSummary {
    /// Its key, which is its id.
    pub key: Arc<str>,
    /// The durable function.
    pub name: Arc<str>,
    /// The component that it belongs to; empty for a choreographed saga.
    pub component: Arc<str>,
    /// Where it stands.
    pub status: Status,
    /// Carried through the whole of one business operation.
    pub correlation_id: Arc<str>,
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
    /// Only those of this business operation.
    pub correlation_id: Option<String>,
    /// Only those that began at or after this time, in milliseconds since the Unix epoch.
    pub since_ms: Option<u64>,
    /// Only those that began before this time, in milliseconds since the Unix epoch.
    pub until_ms: Option<u64>,
    /// Only those that have all these attributes.
    pub attributes: Vec<(String, String)>,
}

impl SagaFilter {
    fn takes(&self, saga: &Saga) -> bool {
        let name = self.name.as_deref();
        let correlation_id = self.correlation_id.as_deref();
        if name.is_some_and(|name| *saga.function != *name && *saga.component != *name)
            || correlation_id.is_some_and(|id| *saga.correlation_id != *id)
            || self.since_ms.is_some_and(|since_ms| saga.started_at_ms < since_ms)
            || self.until_ms.is_some_and(|until_ms| saga.started_at_ms >= until_ms)
        {
            return false;
        }
        let state = saga.state();
        let has = |(name, value): &(String, String)| {
            let attributes = state.extra.as_ref().map(|extra| &extra.attributes);
            attributes.and_then(|attributes| attributes.get(&**name)).is_some_and(|known| **known == **value)
        };
        self.status.is_none_or(|status| state.shown_status() == status) && self.attributes.iter().all(has)
    }
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
    /// On their way, and held.
    pub paused: u64,
    /// Ended with success.
    pub completed: u64,
    /// Taking back their steps.
    pub compensating: u64,
    /// Ended with an error, nothing left.
    pub compensated: u64,
    /// A person has to look at them, and nobody has.
    pub needs_attention: u64,
}

impl Sagas {
    /// Sagas, newest first: at most `limit` (and 1,000) that began before the one at `cursor`.
    #[must_use]
    pub fn list(&self, filter: &SagaFilter, limit: usize, cursor: Option<u64>) -> SagaPage {
        let limit = limit.clamp(1, MAX_PAGE);
        let index = self.inner.index();
        let mut found = index.before(cursor.unwrap_or(u64::MAX)).filter(|saga| filter.takes(saga));
        let mut last = None;
        let page = found.by_ref().take(limit).inspect(|saga| last = Some(saga.position));
        let items = page.map(|saga| summary(saga)).collect();
        let next_cursor = found.next().and(last);
        SagaPage { items, next_cursor }
    }

    /// Where one saga stands; its records are not read.
    ///
    /// # Errors
    /// [`SagaError::NotFound`].
    pub fn summary(&self, key: &str) -> Result<SagaSummary, SagaError> {
        self.inner.find(key).map(|saga| summary(&saga)).ok_or(SagaError::NotFound)
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
            let state = saga.state();
            let count = match state.shown_status() {
                Status::Running => &mut counts.running,
                Status::Paused => &mut counts.paused,
                Status::NeedsAttention if state.abandoned => continue,
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
        // What needs attention may be opened again.
        let unfinished = index.all().filter(|saga| !saga.is_choreographed() && !saga.state().has_answered());
        unfinished.map(|saga| (Arc::clone(&saga.component), Arc::clone(&saga.state().digest))).collect()
    }

    /// When the oldest saga began that is still known, in milliseconds since the Unix epoch: what its steps have
    /// recorded elsewhere may still be asked for.
    #[must_use]
    pub fn oldest_started_at_ms(&self) -> Option<u64> {
        self.inner.index().all().map(|saga| saga.started_at_ms).next()
    }

    /// The transitions of all sagas from now on. Who is too slow misses some.
    #[must_use]
    pub fn follow(&self) -> tokio::sync::broadcast::Receiver<Arc<SagaEvent>> {
        self.inner.events.follow()
    }
}

fn summary(saga: &Saga) -> SagaSummary {
    let state = saga.state();
    SagaSummary {
        key: Arc::clone(&saga.key),
        name: Arc::clone(&saga.function),
        component: Arc::clone(&saga.component),
        status: state.shown_status(),
        correlation_id: Arc::clone(&saga.correlation_id),
        started_at_ms: saga.started_at_ms,
        ended_at_ms: state.ended_at_ms,
    }
}

fn show(inner: &Inner, saga: &Saga) -> Result<SagaView, SagaError> {
    let (status, ended_at_ms, open, digest, generation, cancelled, attributes) = {
        let state = saga.state();
        let attributes = state.extra.as_ref().map(|extra| {
            let pairs = extra.attributes.iter();
            pairs.map(|(name, value)| (name.to_string(), value.to_string())).collect::<Vec<_>>()
        });
        let (status, cancelled) = (state.shown_status(), state.cancelled.clone());
        let (digest, open) = (state.digest.to_string(), state.open.clone());
        (status, state.ended_at_ms, open, digest, state.generation, cancelled, attributes.unwrap_or_default())
    };
    let history = inner.history(saga)?;
    let ended = history.ended().cloned();
    let mut steps = Named::default();
    let mut waits = Named::default();
    let mut orders = Vec::new();
    let mut latest_ms = history.started.at_ms;
    for (_, entry) in &history.entries {
        match entry {
            Entry::Step(step) => add(&mut steps, step),
            Entry::Ordered(ordered) => orders.push(order_view(ordered)),
            entry => add_wait(&mut waits, entry, latest_ms),
        }
        latest_ms = told_at_ms(entry).unwrap_or(latest_ms);
    }
    for open in open {
        let step = step_of(&mut steps, (&open.name, open.occurrence, open.phase), open.started_at_ms);
        step.status = "running";
        step.attempts = open.attempt;
    }
    let error = ended.as_ref().and_then(|ended| ended.reason.clone());
    Ok(SagaView {
        status,
        ended_at_ms,
        digest,
        generation,
        attributes,
        steps: steps.in_order(),
        waits: waits.in_order(),
        orders,
        result: ended.and_then(|ended| ended.answer),
        error: error.or_else(|| Some(format!("cancelled: {}", cancelled?))),
        key: history.started.key,
        name: history.started.function,
        component: history.started.component,
        correlation_id: history.started.correlation_id,
        input: history.started.input,
        started_at_ms: history.started.at_ms,
    })
}

/// When the code was told of this, if it was: it goes on from there.
fn told_at_ms(entry: &Entry) -> Option<u64> {
    match entry {
        Entry::Step(step) => Some(step.ended_at_ms),
        Entry::TimerFired(timer) => Some(timer.fires_at_ms),
        Entry::Told(told) => Some(told.at_ms),
        Entry::Continued(continued) => Some(continued.at_ms),
        _ => None,
    }
}

fn order_view(ordered: &Ordered) -> OrderView {
    let (order, about) = match &ordered.order {
        Order::Pause => ("pause", None),
        Order::Resume => ("resume", None),
        Order::Cancel => ("cancel", None),
        Order::Rewind { name, occurrence } => ("retry", Some(format!("{name}#{occurrence}"))),
        Order::Retry => ("retry", None),
        Order::Skip { name, occurrence } => ("skip", Some(format!("{name}#{occurrence}"))),
        Order::Abandon => ("abandon", None),
        Order::Migrate { digest } => ("migrate", Some(digest.clone())),
    };
    let (actor, reason) = (ordered.actor.clone(), ordered.reason.clone());
    OrderView { order, about, actor, reason, at_ms: ordered.at_ms }
}

fn add_wait(waits: &mut Named<WaitView>, entry: &Entry, since_ms: u64) {
    let (kind, name, occurrence) = match entry {
        Entry::TimerSet(timer) | Entry::TimerFired(timer) => (EventKind::Timer, &timer.name, timer.occurrence),
        Entry::Awaited(awaited) => (awaited.kind, &awaited.name, awaited.occurrence),
        Entry::Told(told) => (told.kind, &told.name, told.occurrence),
        _ => return,
    };
    let wait = waits.named(EventId::new(kind, name, occurrence), |id| WaitView {
        kind,
        name: id.name.clone(),
        occurrence,
        status: "waiting",
        since_ms: Some(since_ms),
        until_ms: None,
        ended_at_ms: None,
    });
    match entry {
        Entry::TimerSet(timer) => wait.until_ms = Some(timer.fires_at_ms),
        Entry::Awaited(awaited) => wait.until_ms = awaited.until_ms,
        Entry::TimerFired(timer) => (wait.status, wait.ended_at_ms) = ("done", Some(timer.fires_at_ms)),
        Entry::Told(told) => {
            wait.ended_at_ms = Some(told.at_ms);
            wait.status = match told.what {
                Tidings::Cancelled(_) => "cancelled",
                Tidings::TimedOut => "timed-out",
                Tidings::Signal(_) | Tidings::Child(_) => "done",
            };
        }
        _ => {}
    }
}

fn add(steps: &mut Named<StepView>, ended: &StepEnded) {
    let (started_at_ms, ended_at_ms, outcome) = (ended.started_at_ms, ended.ended_at_ms, ended.outcome);
    let step = step_of(steps, (&ended.name, ended.occurrence, ended.phase), started_at_ms);
    step.tried.push(AttemptView { started_at_ms, ended_at_ms, outcome });
    step.attempts = ended.attempt;
    step.ended_at_ms = ended.retry_at_ms.is_none().then_some(ended_at_ms);
    step.error = (outcome != Outcome::Success).then(|| String::from_utf8_lossy(&ended.payload).into_owned());
    step.status = match (outcome, ended.phase) {
        _ if ended.retry_at_ms.is_some() => "retrying",
        (Outcome::Success, Phase::Do) => "completed",
        (Outcome::Success, Phase::Undo) => "compensated",
        (Outcome::Error, _) => "failed",
        (Outcome::Unknown, _) => "unknown",
    };
}

/// The view of a step, which is put in if it is not there.
fn step_of<'s>(
    steps: &'s mut Named<StepView>,
    (name, occurrence, phase): (&str, u32, Phase),
    started_at_ms: u64,
) -> &'s mut StepView {
    steps.named(EventId::new(phase, name, occurrence), |id| StepView {
        name: id.name.clone(),
        occurrence,
        phase,
        status: "running",
        attempts: 0,
        started_at_ms,
        ended_at_ms: None,
        error: None,
        tried: Vec::new(),
    })
}

/// Views with their places, in the order in which they first appear; a saga may have many.
struct Named<V>(HashMap<EventId, (usize, V)>);

impl<V> Default for Named<V> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<V> Named<V> {
    fn named(&mut self, id: EventId, make: impl FnOnce(&EventId) -> V) -> &mut V {
        let next = self.0.len();
        let (_, view) = self.0.entry(id).or_insert_with_key(|id| (next, make(id)));
        view
    }

    fn in_order(self) -> Vec<V> {
        let mut all: Vec<_> = self.0.into_values().collect();
        all.sort_unstable_by_key(|(place, _)| *place);
        all.into_iter().map(|(_, view)| view).collect()
    }
}
