//! One run of a saga: what it holds while it lives, and its end. What the code is told comes through `turns`; steps are
//! `steps`, timers, signals and children are `waits`, what takes no part in the saga's course is `notes`. What an
//! attempt does, and how long it may take, is the caller's business.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::database::{Database, transaction};
use crate::engine::Inner;
use crate::record::{OpenAttempt, Record};
use crate::replay::{Attempts, EventId, Replay};
use crate::table::{Held, Saga};
use crate::types::{EventKind, Phase, RetryPolicy, SagaError, Status, check_size};
use crate::wake::Changed;
use crate::{LEASE_MS, MAX_PAYLOAD_BYTES, MAX_SAGA_RECORDS};

mod notes;
mod steps;
mod turns;
mod waits;

/// A live run of a saga, from [`crate::Journal::begin`]. Calls may run at the same time.
pub struct Run {
    inner: Rc<Inner>,
    /// The number of this run in its instance.
    number: u64,
    held: Held,
    key: String,
    generation: u32,
    input: Vec<u8>,
    replay: Replay,
    /// What the code is shown of the time.
    clock_ms: Cell<u64>,
    is_live: Cell<bool>,
    leased_until_ms: Cell<u64>,
    beats: Cell<bool>,
    changed: Changed,
    state: RefCell<RunState>,
}

/// A saga that was begun, or taken over.
pub(crate) struct Taken {
    held: Held,
    key: String,
    generation: u32,
    input: Vec<u8>,
    replay: Replay,
    /// Attempts that ran when the run before was cut short.
    cut: Vec<OpenAttempt>,
    attributes: BTreeMap<String, String>,
    deadline_ms: Option<u64>,
    cancelled: Option<String>,
    changes: u64,
    started_at_ms: u64,
    now_ms: u64,
}

impl Taken {
    pub(crate) fn fresh(held: Held, key: &str, input: &[u8], now_ms: u64) -> Self {
        Self {
            held,
            key: key.to_owned(),
            generation: 0,
            input: input.to_vec(),
            replay: Replay::default(),
            cut: Vec::new(),
            attributes: BTreeMap::new(),
            deadline_ms: None,
            cancelled: None,
            changes: 0,
            started_at_ms: now_ms,
            now_ms,
        }
    }

    pub(crate) fn known(held: Held, key: &str, saga: Saga, replay: Replay, now_ms: u64) -> Self {
        Self {
            held,
            key: key.to_owned(),
            generation: saga.generation,
            input: saga.continued.unwrap_or(saga.input),
            replay,
            cut: saga.open,
            attributes: saga.attributes,
            deadline_ms: saga.deadline_ms,
            cancelled: saga.cancelled,
            changes: saga.changes,
            started_at_ms: saga.started_at_ms,
            now_ms,
        }
    }
}

/// An attempt that runs in this run.
#[derive(Clone, Debug)]
struct Open {
    attempt: OpenAttempt,
    retry: RetryPolicy,
    /// Until when this run keeps its saga for it.
    until_ms: u64,
}

#[derive(Default)]
struct RunState {
    occurrences: BTreeMap<(EventKind, String), u32>,
    /// Steps whose next `enter` is another attempt of the same occurrence.
    again: BTreeSet<(Phase, String)>,
    attempts: BTreeMap<EventId, Attempts>,
    open: Vec<Open>,
    /// Attempts of runs before that left no record: what they did is not known.
    cut: Vec<OpenAttempt>,
    until_ms: BTreeMap<EventId, u64>,
    failed_undos: Vec<EventId>,
    exposed: BTreeMap<String, u32>,
    attributes: BTreeMap<String, String>,
    attributes_set: u32,
    records: usize,
    deadline_ms: Option<u64>,
    cancelled: Option<String>,
    /// How often something had come from outside when this run looked last.
    changes: u64,
    turns: turns::Turns,
    /// When the waits of this run end, none for those that end otherwise; and what they have seen of what came from
    /// outside.
    waits: BTreeMap<u64, (Option<u64>, u64)>,
    next_wait: u64,
    /// Calls of the journal that have not been answered.
    asks: usize,
}

impl Run {
    pub(crate) fn new(inner: Rc<Inner>, number: u64, taken: Taken) -> Self {
        let Taken { held, key, generation, input, mut replay, cut, attributes, deadline_ms, cancelled, .. } = taken;
        let mut attempts = std::mem::take(&mut replay.attempts);
        for open in &cut {
            attempts.entry(open.of.clone()).or_default().maybe_ran = true;
        }
        let state = RunState {
            attempts,
            cut,
            until_ms: std::mem::take(&mut replay.until_ms),
            failed_undos: std::mem::take(&mut replay.failed_undos),
            attributes,
            records: replay.records,
            deadline_ms,
            cancelled,
            changes: taken.changes,
            turns: turns::Turns::new(replay.told()),
            ..RunState::default()
        };
        Self {
            inner,
            number,
            held,
            key,
            generation,
            input,
            replay,
            clock_ms: Cell::new(taken.started_at_ms),
            is_live: Cell::new(true),
            leased_until_ms: Cell::new(taken.now_ms + LEASE_MS),
            beats: Cell::new(false),
            changed: Changed::default(),
            state: RefCell::new(state),
        }
    }

    /// The number of this run, never used twice by an instance.
    #[must_use]
    pub fn lease(&self) -> u64 {
        self.number
    }

    /// How often the saga has continued as new.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// What this generation began with.
    #[must_use]
    pub fn input(&self) -> &[u8] {
        &self.input
    }

    /// The time of what the code was told last, at first the saga's beginning: milliseconds since the Unix epoch, the
    /// same at the same place of every run.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.clock_ms.get()
    }

    /// Ends the saga with its answer; durable when it answers. `failed` tells whether the answer is an error.
    ///
    /// # Errors
    /// [`SagaError::Mismatch`] if the journal holds more than the code asked for; [`SagaError::LeaseLost`],
    /// [`SagaError::TooLarge`], or why the database refuses.
    pub async fn finish(&self, failed: bool, answer: &[u8]) -> Result<(), SagaError> {
        check_size("a saga's answer", answer.len(), MAX_PAYLOAD_BYTES)?;
        self.check_live()?;
        self.replayed("the end").await?;
        let (status, reason) = {
            let state = self.state.borrow();
            let undone: Vec<String> = state.failed_undos.iter().map(EventId::describe).collect();
            let status = match (undone.is_empty(), failed) {
                (false, _) => Status::NeedsAttention,
                (true, true) => Status::Compensated,
                (true, false) => Status::Completed,
            };
            let mut reasons = Vec::new();
            if failed && let Some(cancelled) = &state.cancelled {
                reasons.push(format!("cancelled: {cancelled}"));
            }
            if !undone.is_empty() {
                reasons.push(format!("the {} did not succeed", undone.join(" and the ")));
            }
            (status, (!reasons.is_empty()).then(|| reasons.join("; ")))
        };
        self.end(status, Some(answer), reason.as_deref())
    }

    fn end(&self, status: Status, answer: Option<&[u8]>, reason: Option<&str>) -> Result<(), SagaError> {
        let (database, now_ms) = (self.database(), self.real_now_ms());
        let end = || self.held.end(database, &self.key, (status, answer, reason), now_ms);
        self.own(transaction(database, end)?)?;
        self.leave_off();
        // Those who wait for it as their child look again.
        self.inner.wake_all();
        Ok(())
    }

    fn database(&self) -> &dyn Database {
        &*self.inner.database
    }

    fn real_now_ms(&self) -> u64 {
        self.inner.clock.now_ms()
    }

    pub(crate) fn is_live(&self) -> bool {
        self.is_live.get()
    }

    pub(crate) fn wake(&self) {
        self.changed.notify();
    }

    fn check_live(&self) -> Result<(), SagaError> {
        if self.is_live() { Ok(()) } else { Err(SagaError::LeaseLost) }
    }

    /// This run is over, and those who wait in it are to know.
    fn leave_off(&self) {
        self.is_live.set(false);
        let waiting = self.state.borrow_mut().turns.end();
        drop(waiting);
        self.changed.notify();
        self.inner.release(self.number);
    }

    /// Takes note whether the database still knows this run.
    fn own(&self, is_own: bool) -> Result<(), SagaError> {
        if !is_own {
            self.leave_off();
        }
        self.check_live()
    }

    /// Looks at what has come from outside, and keeps the lease.
    fn look(&self) -> Result<(), SagaError> {
        self.check_live()?;
        let Some(news) = self.held.look(self.database())? else { return self.own(false) };
        let is_new = {
            let mut state = self.state.borrow_mut();
            state.cancelled = news.cancelled;
            std::mem::replace(&mut state.changes, news.changes) != news.changes
        };
        if is_new {
            self.changed.notify();
        }
        self.renew()
    }

    /// Keeps the lease, if a third of it has passed.
    fn renew(&self) -> Result<(), SagaError> {
        let now_ms = self.real_now_ms();
        if self.leased_until_ms.get() > now_ms + LEASE_MS * 2 / 3 {
            return Ok(());
        }
        self.own(self.held.renew(self.database(), now_ms + LEASE_MS)?)?;
        self.leased_until_ms.set(now_ms + LEASE_MS);
        Ok(())
    }

    /// Adds a record and does what belongs to it, in one transaction.
    fn append(
        &self,
        record: &Record,
        payload: &[u8],
        also: impl FnOnce(&dyn Database) -> Result<(), SagaError>,
    ) -> Result<(), SagaError> {
        self.check_live()?;
        if self.state.borrow().records >= MAX_SAGA_RECORDS {
            let text = format!("a saga has at most {MAX_SAGA_RECORDS} records: continue as new, or split the work");
            return Err(SagaError::TooLarge(text));
        }
        let (database, until_ms) = (self.database(), self.real_now_ms() + LEASE_MS);
        let open = self.open_attempts();
        let appended = transaction(database, || {
            let appended = self.held.append(database, (record, payload), &open, until_ms)?;
            if appended {
                also(database)?;
            }
            Ok(appended)
        })?;
        self.own(appended)?;
        self.leased_until_ms.set(until_ms);
        self.state.borrow_mut().records += 1;
        Ok(())
    }

    /// What stands in the database of attempts that have left no record yet.
    fn open_attempts(&self) -> Vec<OpenAttempt> {
        let state = self.state.borrow();
        let own = state.open.iter().map(|open| &open.attempt);
        let cut = state.cut.iter().filter(|cut| !state.open.iter().any(|open| open.attempt.of == cut.of));
        own.chain(cut).cloned().collect()
    }

    /// The key of a step: the same in every run, and of every generation another.
    fn step_key(&self, name: &str, occurrence: u32) -> String {
        match self.generation {
            0 => format!("{}/{name}#{occurrence}", self.key),
            generation => format!("{}~{generation}/{name}#{occurrence}", self.key),
        }
    }

    /// Counts a call of the journal until it is answered.
    fn ask(&self) -> Ask<'_> {
        self.state.borrow_mut().asks += 1;
        Ask(self)
    }
}

impl std::fmt::Debug for Run {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Run").field("key", &self.key).field("held", &self.held).finish_non_exhaustive()
    }
}

impl RunState {
    fn next_occurrence(&mut self, kind: EventKind, name: &str) -> u32 {
        let count = self.occurrences.entry((kind, name.to_owned())).or_default();
        *count += 1;
        *count
    }
}

/// A call of the journal.
struct Ask<'a>(&'a Run);

impl Drop for Ask<'_> {
    fn drop(&mut self) {
        self.0.state.borrow_mut().asks -= 1;
        self.0.changed.notify();
    }
}
