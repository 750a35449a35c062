//! One run of a saga: it delivers what is recorded, in the order of the journal, and lets run what is not. Retries are
//! decided here. What an attempt does, and how long it may take, is the caller's business.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::SagaClock;
use crate::engine::{Inner, check_size};
use crate::error::SagaError;
use crate::index::{OpenAttempt, Saga};
use crate::policy;
use crate::record::{Ended, Entry, StepEnded, Timer};
use crate::recovery::back_off_ms;
use crate::replay::{Attempts, EventId, Replay};
use crate::types::{AttemptResult, Entered, Execution, Left, Outcome, Phase, Recording, Status, StepOptions};
use crate::{MAX_NAME_BYTES, MAX_PAYLOAD_BYTES};

mod delivery;

/// A longer wait ends the run; recovery resumes the saga when the wait is over.
const LONGEST_LIVE_WAIT_MS: u64 = 5000;
/// The right to go on with a saga. Dropped before the saga has ended, it leaves the saga to recovery.
#[derive(Debug)]
pub(crate) struct Lease {
    pub inner: Arc<Inner>,
    pub saga: Arc<Saga>,
    pub id: u64,
    /// How many records the saga had when this run began.
    pub records: usize,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut state = self.saga.state();
        if state.lease != Some(self.id) {
            return;
        }
        state.lease = None;
        state.open.clear();
        state.cut_short = true;
        if state.is_ended() {
            return;
        }
        state.idle_runs = if state.records.len() > self.records { 0 } else { state.idle_runs + 1 };
        let at_ms = self.inner.clock.now_ms() + back_off_ms(state.idle_runs);
        self.inner.due.push(at_ms, self.saga.position);
    }
}

/// A live run of a saga, from [`crate::Sagas::begin`]. Calls may run at the same time.
#[derive(Debug)]
pub struct Run {
    lease: Lease,
    clock: SagaClock,
    replay: Replay,
    /// The first record that is not delivered yet.
    cursor: watch::Sender<usize>,
    state: Mutex<RunState>,
}

#[derive(Debug, Default)]
struct RunState {
    occurrences: HashMap<(Option<Phase>, String), u32>,
    /// Steps whose next `enter` is another attempt of the same occurrence.
    again: HashSet<(Phase, String)>,
    attempts: HashMap<EventId, Attempts>,
    timers: HashMap<EventId, u64>,
    failed_undo: Option<EventId>,
    delivered: HashSet<usize>,
    /// When the waits of this run end.
    waits: BTreeMap<u64, u64>,
    next_wait: u64,
}

impl Run {
    pub(crate) fn new(lease: Lease, clock: SagaClock, mut replay: Replay) -> Self {
        clock.advance_to(lease.saga.started_at_ms);
        let state = RunState {
            attempts: std::mem::take(&mut replay.attempts),
            timers: std::mem::take(&mut replay.timers),
            failed_undo: replay.failed_undo.take(),
            ..RunState::default()
        };
        Self { lease, clock, replay, cursor: watch::Sender::new(0), state: Mutex::new(state) }
    }

    /// The saga's key.
    #[must_use]
    pub fn key(&self) -> &Arc<str> {
        &self.lease.saga.key
    }

    /// The number of this run's lease, never used twice in a process.
    #[must_use]
    pub fn lease(&self) -> u64 {
        self.lease.id
    }

    /// The clock that the saga's code sees.
    #[must_use]
    pub fn clock(&self) -> SagaClock {
        self.clock.clone()
    }

    /// Enters the next occurrence of a step, or its next attempt. All earlier records of this saga are durable when it
    /// answers [`Entered::Execute`].
    ///
    /// # Errors
    /// [`SagaError::LeaseLost`] if this run has to stop, as for a long delay before a retry; [`SagaError::Mismatch`] if
    /// the journal holds something else (the saga then needs attention); or why the journal refuses.
    pub async fn enter(&self, name: &str, phase: Phase, options: StepOptions) -> Result<Entered, SagaError> {
        check_name(name)?;
        self.check_live()?;
        let id = self.next_step(name, phase)?;
        let cut_short = self.lease.saga.state().cut_short;
        if phase == Phase::Undo {
            self.compensating();
        }
        if let Some(index) = self.replay.find(&id) {
            return self.deliver(index, &id).await.map(Entered::Recorded);
        }
        if cut_short {
            self.state().attempts.entry(id.clone()).or_default().maybe_ran = true;
        }
        self.replayed(&id.describe()).await?;
        let attempts = self.state().attempts.get(&id).copied().unwrap_or_default();
        self.pause_until(attempts.retry_at_ms).await?;
        self.inner().check_open()?;
        let end = self.lease.saga.state().end;
        self.inner().log.flush(end).await?;
        let attempt = attempts.ended + 1;
        let key = format!("{}/{name}#{}", self.key(), id.occurrence);
        let started_at_ms = self.inner().clock.now_ms();
        let (name, occurrence, retry) = (name.to_owned(), id.occurrence, options.retry);
        let open = OpenAttempt { name, phase, occurrence, attempt, started_at_ms, retry };
        self.live()?.open.push(open);
        Ok(Entered::Execute(Execution { attempt, key }))
    }

    /// Ends the open attempt of the step that was entered last under that name and phase.
    ///
    /// # Errors
    /// [`SagaError::Mismatch`] if no attempt of it is open; [`SagaError::LeaseLost`], [`SagaError::TooLarge`], or why
    /// the journal refuses.
    pub async fn leave(&self, name: &str, phase: Phase, result: AttemptResult) -> Result<Left, SagaError> {
        let (AttemptResult::Success(payload) | AttemptResult::Error(payload) | AttemptResult::Failed { payload, .. }) =
            &result;
        check_size("a step's payload", payload.len(), MAX_PAYLOAD_BYTES)?;
        let open = self.close(name, phase)?;
        let id = EventId { phase: Some(phase), name: open.name.clone(), occurrence: open.occurrence };
        let before = self.state().attempts.get(&id).copied().unwrap_or_default();
        let step = self.judge(&open, before, result);
        let entry = Entry::Step(step.clone());
        let appended = self.inner().append(&self.lease.saga, Some(self.lease.id), &entry)?;
        let concurrent = !self.lease.saga.state().open.is_empty() || !self.state().waits.is_empty();
        if step.outcome != Outcome::Success || concurrent {
            self.inner().log.flush(appended.end).await?;
        }
        if step.retry_at_ms.is_some() {
            let mut state = self.state();
            state.attempts.entry(id).or_default().add(&step);
            state.again.insert((phase, open.name));
            return Ok(Left::Again);
        }
        if phase == Phase::Undo && step.outcome != Outcome::Success {
            self.state().failed_undo.get_or_insert(id);
        }
        self.clock.advance_to(step.ended_at_ms);
        Ok(Left::Settled(Recording { outcome: step.outcome, payload: step.payload, at_ms: step.ended_at_ms }))
    }

    /// A durable timer: answers when `duration_ms` have passed since it was first asked for.
    ///
    /// # Errors
    /// As [`Run::enter`]; [`SagaError::LeaseLost`] for a long wait, after which recovery resumes the saga.
    pub async fn sleep(&self, name: &str, duration_ms: u64) -> Result<(), SagaError> {
        check_name(name)?;
        self.check_live()?;
        let occurrence = self.state().next_occurrence(None, name);
        let id = EventId { phase: None, name: name.to_owned(), occurrence };
        if let Some(index) = self.replay.find(&id) {
            return self.deliver(index, &id).await.map(drop);
        }
        self.replayed(&id.describe()).await?;
        let known = self.state().timers.get(&id).copied();
        let (saga, name) = (self.lease.saga.position, name.to_owned());
        let fires_at_ms = known.unwrap_or_else(|| self.inner().clock.now_ms().saturating_add(duration_ms));
        let timer = Timer { saga, name, occurrence, fires_at_ms };
        if known.is_none() {
            self.append_flushed(&Entry::TimerSet(timer.clone())).await?;
        }
        self.pause_until(fires_at_ms).await?;
        // Where it fired among other ends matters only for branches that run together; `enter` flushes for the rest.
        self.inner().append(&self.lease.saga, Some(self.lease.id), &Entry::TimerFired(timer))?;
        self.clock.advance_to(fires_at_ms);
        Ok(())
    }

    /// Ends the saga with its answer; durable when it answers. `failed` tells whether the answer is an error.
    ///
    /// # Errors
    /// [`SagaError::Mismatch`] if the journal holds more than the code asked for; [`SagaError::LeaseLost`],
    /// [`SagaError::TooLarge`], or why the journal refuses.
    pub async fn finish(&self, failed: bool, answer: Vec<u8>) -> Result<(), SagaError> {
        check_size("a saga's answer", answer.len(), MAX_PAYLOAD_BYTES)?;
        self.check_live()?;
        self.replayed("the end").await?;
        let failed_undo = self.state().failed_undo.clone();
        let status = match (&failed_undo, failed) {
            (Some(_), _) => Status::NeedsAttention,
            (None, true) => Status::Compensated,
            (None, false) => Status::Completed,
        };
        let reason = failed_undo.map(|id| format!("the {} did not succeed", id.describe()));
        let at_ms = self.inner().clock.now_ms();
        let ended = Ended { saga: self.lease.saga.position, status, failed, at_ms, answer: Some(answer), reason };
        self.inner().end(&self.lease.saga, Some(self.lease.id), ended).await
    }

    fn inner(&self) -> &Arc<Inner> {
        &self.lease.inner
    }

    fn state(&self) -> MutexGuard<'_, RunState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The saga's state, if this run may go on.
    fn live(&self) -> Result<MutexGuard<'_, crate::index::SagaState>, SagaError> {
        let state = self.lease.saga.state();
        if state.lease == Some(self.lease.id) && !state.is_ended() { Ok(state) } else { Err(SagaError::LeaseLost) }
    }

    fn check_live(&self) -> Result<(), SagaError> {
        self.live().map(drop)
    }

    fn compensating(&self) {
        let mut state = self.lease.saga.state();
        if state.status == Status::Running {
            state.status = Status::Compensating;
        }
    }

    fn next_step(&self, name: &str, phase: Phase) -> Result<EventId, SagaError> {
        let is_open = self.lease.saga.state().open.iter().any(|open| open.name == name && open.phase == phase);
        if is_open {
            let text = format!(
                "step {name} is entered again before it is left: steps that run together have names of their own"
            );
            return Err(SagaError::Mismatch(text));
        }
        let mut state = self.state();
        let occurrence = if state.again.remove(&(phase, name.to_owned())) {
            state.occurrences.get(&(Some(phase), name.to_owned())).copied().unwrap_or(1)
        } else {
            state.next_occurrence(Some(phase), name)
        };
        Ok(EventId { phase: Some(phase), name: name.to_owned(), occurrence })
    }

    /// Waits until `at_ms`. A long wait ends this run, unless an attempt is running beside it.
    async fn pause_until(&self, at_ms: u64) -> Result<(), SagaError> {
        let wait_ms = at_ms.saturating_sub(self.inner().clock.now_ms());
        if wait_ms == 0 {
            return self.check_live();
        }
        let _wait = Wait::new(self, at_ms);
        if wait_ms > LONGEST_LIVE_WAIT_MS {
            let wakes_at_ms = self.state().waits.values().min().copied().unwrap_or(at_ms);
            let mut state = self.live()?;
            if state.open.is_empty() {
                state.lease = None;
                state.suspended = true;
                state.idle_runs = 0;
                self.inner().due.push(wakes_at_ms, self.lease.saga.position);
                return Err(SagaError::LeaseLost);
            }
        }
        self.inner().clock.sleep(Duration::from_millis(wait_ms)).await;
        self.check_live()
    }

    async fn append_flushed(&self, entry: &Entry) -> Result<(), SagaError> {
        let appended = self.inner().append(&self.lease.saga, Some(self.lease.id), entry)?;
        Ok(self.inner().log.flush(appended.end).await?)
    }

    fn close(&self, name: &str, phase: Phase) -> Result<OpenAttempt, SagaError> {
        let mut state = self.live()?;
        let found = state.open.iter().rposition(|open| open.name == name && open.phase == phase);
        let found = found.map(|index| state.open.remove(index));
        found.ok_or_else(|| SagaError::Mismatch(format!("step {name} is left without having been entered")))
    }

    /// The record of an ended attempt: settled, or to be tried again.
    fn judge(&self, open: &OpenAttempt, before: Attempts, result: AttemptResult) -> StepEnded {
        let ended_at_ms = self.inner().clock.now_ms();
        let (outcome, retry_at_ms, payload) = match result {
            AttemptResult::Success(payload) => (Outcome::Success, None, payload),
            AttemptResult::Error(payload) => (error_or_unknown(before.maybe_ran), None, payload),
            AttemptResult::Failed { maybe_ran, payload, .. } if open.attempt >= open.retry.max_attempts => {
                (error_or_unknown(before.maybe_ran || maybe_ran), None, payload)
            }
            AttemptResult::Failed { maybe_ran, retry_after_ms, payload } => {
                let key = format!("{}/{}#{}", self.key(), open.name, open.occurrence);
                let random = policy::random(&key, open.phase == Phase::Undo, open.attempt);
                let delay_ms = policy::delay_ms(&open.retry, open.attempt, retry_after_ms, random);
                (error_or_unknown(before.maybe_ran || maybe_ran), Some(ended_at_ms + delay_ms), payload)
            }
        };
        StepEnded {
            saga: self.lease.saga.position,
            name: open.name.clone(),
            occurrence: open.occurrence,
            phase: open.phase,
            attempt: open.attempt,
            outcome,
            retry_at_ms,
            started_at_ms: open.started_at_ms,
            ended_at_ms,
            payload,
        }
    }
}

impl RunState {
    fn next_occurrence(&mut self, phase: Option<Phase>, name: &str) -> u32 {
        let count = self.occurrences.entry((phase, name.to_owned())).or_default();
        *count += 1;
        *count
    }
}

fn error_or_unknown(maybe_ran: bool) -> Outcome {
    if maybe_ran { Outcome::Unknown } else { Outcome::Error }
}

fn check_name(name: &str) -> Result<(), SagaError> {
    if name.is_empty() {
        return Err(SagaError::TooLarge("the name of a step or timer has at least one byte".to_owned()));
    }
    check_size("the name of a step or timer", name.len(), MAX_NAME_BYTES)
}

/// A wait of this run, for as long as it is waited.
struct Wait<'a> {
    run: &'a Run,
    id: u64,
}

impl<'a> Wait<'a> {
    fn new(run: &'a Run, at_ms: u64) -> Self {
        let mut state = run.state();
        let id = state.next_wait;
        state.next_wait += 1;
        state.waits.insert(id, at_ms);
        drop(state);
        Self { run, id }
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.run.state().waits.remove(&self.id);
    }
}
