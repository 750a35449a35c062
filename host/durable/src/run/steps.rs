//! Steps and compensations: entering, leaving, trying again.

use super::waits::{Looked, Waited};
use super::{Run, check_name};
use crate::MAX_PAYLOAD_BYTES;
use crate::engine::check_size;
use crate::error::SagaError;
use crate::faults;
use crate::index::OpenAttempt;
use crate::limits::{Admission, Places};
use crate::policy;
use crate::record::{Entry, StepEnded};
use crate::replay::{Attempts, EventId};
use crate::types::{
    AttemptResult, Entered, EventKind, Execution, Left, LimitUse, Outcome, Phase, Recording, RetryPolicy, Status,
    StepOptions,
};

impl Run {
    /// Enters the next occurrence of a step, or its next attempt. All earlier records of this saga are durable when it
    /// answers [`Entered::Execute`].
    ///
    /// # Errors
    /// [`SagaError::LeaseLost`] if this run has to stop, as for a long delay before a retry; [`SagaError::Mismatch`] if
    /// the journal holds something else (the saga then needs attention); [`SagaError::TooLarge`] for a limit that does
    /// not exist; or why the journal refuses.
    pub async fn enter(&self, name: &str, phase: Phase, options: StepOptions) -> Result<Entered, SagaError> {
        check_name(name)?;
        let _ask = self.ask();
        self.check_live()?;
        let id = self.next_step(name, phase, options.occurrence)?;
        let cut_short = self.lease.saga.state().cut_short;
        if phase == Phase::Undo {
            self.shows(Status::Compensating);
        }
        match self.replay.find(&id) {
            // A compensation that is to be tried again runs in its old place.
            Some(index) if self.replay.recording(index).is_none() => self.reach(index, &id.describe()).await?,
            Some(index) => {
                let recording = self.replay.recording(index).cloned().ok_or(SagaError::LeaseLost)?;
                return self.tell(self.turn(index), &id, recording).await.map(Entered::Recorded);
            }
            None => {
                if cut_short {
                    let mut state = self.state();
                    state.attempts.entry(id.clone()).or_default().maybe_ran = true;
                    state.unsure.insert(id.clone());
                }
                self.replayed(&id.describe()).await?;
            }
        }
        self.rehearsed()?;
        if phase == Phase::Do {
            // What a race has lost is compensated, and then the saga goes on.
            self.shows(Status::Running);
        }
        let attempts = self.state().attempts.get(&id).copied().unwrap_or_default();
        let key = self.step_key(name, id.occurrence);
        let places = loop {
            let places = match self.admitted(&id, attempts, &options.limits, &key).await? {
                Admitted::Now(places) => places,
                Admitted::Cancelled(reason) => {
                    return self.cancel_event(&id, attempts.maybe_ran, reason).await.map(Entered::Recorded);
                }
            };
            self.inner().check_open()?;
            let end = self.live()?.end;
            self.inner().log.flush(end).await?;
            // An order that has become durable with that flush holds from now on.
            let state = self.live()?;
            if !state.paused && (state.cancelled.is_none() || phase == Phase::Undo) {
                break places;
            }
        };
        if self.inner().faults.fails(name, id.occurrence, phase) {
            return self.settle_without_running(&id, attempts, options.retry).await.map(Entered::Recorded);
        }
        let attempt = attempts.ended + 1;
        let started_at_ms = self.inner().clock.now_ms();
        let (name, occurrence, retry) = (name.to_owned(), id.occurrence, options.retry);
        let open = OpenAttempt { name, phase, occurrence, attempt, started_at_ms, retry };
        self.inner().events.attempt_began(&self.lease.saga, &open);
        self.live()?.open.push(open);
        self.state().places.insert(id, places);
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
        let _ask = self.ask();
        let mut open = self.close(name, phase)?;
        let (result, settles) = self.inner().faults.result((name, open.occurrence, phase), result);
        if settles {
            open.retry.max_attempts = open.attempt;
        }
        self.record_attempt(&open, result).await
    }

    async fn record_attempt(&self, open: &OpenAttempt, result: AttemptResult) -> Result<Left, SagaError> {
        let id = EventId::new(open.phase, &open.name, open.occurrence);
        let before = {
            let mut state = self.state();
            state.places.remove(&id);
            state.attempts.get(&id).copied().unwrap_or_default()
        };
        let step = self.judge(open, before, result);
        let entry = Entry::Step(step.clone());
        let appended = self.append(&entry)?;
        self.state().unsure.remove(&id);
        let again = step.retry_at_ms.is_some();
        // A compensation that is tried again keeps the number that it has.
        let vacant = self.replay.find(&id);
        let turn = (!again).then(|| self.turn(vacant.unwrap_or_else(|| self.state().turns.next())));
        let concurrent = !self.lease.saga.state().open.is_empty() || self.state().asks > 1;
        if step.outcome != Outcome::Success || concurrent {
            self.inner().log.flush(appended.end).await?;
        }
        self.changed.notify_waiters();
        let Some(turn) = turn else {
            let mut state = self.state();
            state.attempts.entry(id).or_default().add(&step);
            state.again.insert((open.phase, open.name.clone()));
            return Ok(Left::Again);
        };
        if open.phase == Phase::Undo && step.outcome != Outcome::Success {
            self.state().failed_undos.push(id.clone());
        }
        let recording = Recording::of(step.outcome, step.payload, step.ended_at_ms);
        self.tell(turn, &id, recording).await.map(Left::Settled)
    }

    /// What a harness wants: the step ends as if its callee could not be reached.
    async fn settle_without_running(
        &self,
        id: &EventId,
        attempts: Attempts,
        mut retry: RetryPolicy,
    ) -> Result<Recording, SagaError> {
        let phase = if id.kind == EventKind::Undo { Phase::Undo } else { Phase::Do };
        let attempt = attempts.ended + 1;
        retry.max_attempts = attempt;
        let (started_at_ms, name) = (self.inner().clock.now_ms(), id.name.clone());
        let open = OpenAttempt { name, phase, occurrence: id.occurrence, attempt, started_at_ms, retry };
        match self.record_attempt(&open, faults::lost()).await? {
            Left::Settled(recording) => Ok(recording),
            Left::Again => Err(SagaError::LeaseLost),
        }
    }

    /// Waits for the time of a retry and for the limits of a step.
    async fn admitted(
        &self,
        id: &EventId,
        attempts: Attempts,
        uses: &[LimitUse],
        key: &str,
    ) -> Result<Admitted, SagaError> {
        let look = || {
            let now_ms = self.inner().clock.now_ms();
            if attempts.retry_at_ms > now_ms && !std::mem::take(&mut self.lease.saga.state().hurry) {
                return Looked::Until(attempts.retry_at_ms);
            }
            match self.inner().limits.admit(uses, key, now_ms) {
                Admission::Now(places) => Looked::Found(Ok(places)),
                Admission::At(at_ms) => Looked::Until(at_ms),
                Admission::Full => Looked::Place,
                Admission::Unknown(name) => Looked::Found(Err(name)),
            }
        };
        // A branch that is dropped here will not come; one that sleeps until its turn will.
        let turn = LimitTurn { run: self, key };
        let waited = self.wait(id, look).await;
        std::mem::forget(turn);
        match waited? {
            Waited::Found(Ok(places)) => Ok(Admitted::Now(places)),
            Waited::Found(Err(name)) => {
                Err(SagaError::TooLarge(format!("there is no limit {name:?}: declare it in the manifest")))
            }
            Waited::Cancelled(reason) => {
                self.inner().limits.forgo(key);
                Ok(Admitted::Cancelled(reason))
            }
        }
    }

    fn shows(&self, status: Status) {
        let mut state = self.lease.saga.state();
        if !self.lease.rehearsal && !state.is_ended() {
            state.status = status;
        }
    }

    fn next_step(&self, name: &str, phase: Phase, occurrence: Option<u32>) -> Result<EventId, SagaError> {
        let is_open = self.lease.saga.state().open.iter().any(|open| open.name == name && open.phase == phase);
        if is_open {
            let text = format!(
                "step {name} is entered again before it is left: steps that run together have names of their own"
            );
            return Err(SagaError::Mismatch(text));
        }
        let mut state = self.state();
        let counted = if state.again.remove(&(phase, name.to_owned())) {
            state.occurrences.get(&(phase.into(), name.to_owned())).copied().unwrap_or(1)
        } else {
            state.next_occurrence(phase.into(), name)
        };
        Ok(EventId::new(phase, name, occurrence.unwrap_or(counted)))
    }

    pub(super) fn close(&self, name: &str, phase: Phase) -> Result<OpenAttempt, SagaError> {
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
                let key = self.step_key(&open.name, open.occurrence);
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

/// Gives up a turn in limits when it is dropped, unless the run has ended to wait: the saga comes for its turn then.
struct LimitTurn<'a> {
    run: &'a Run,
    key: &'a str,
}

impl Drop for LimitTurn<'_> {
    fn drop(&mut self) {
        if self.run.check_live().is_ok() {
            self.run.inner().limits.forgo(self.key);
        }
    }
}

enum Admitted {
    Now(Places),
    Cancelled(String),
}

fn error_or_unknown(maybe_ran: bool) -> Outcome {
    if maybe_ran { Outcome::Unknown } else { Outcome::Error }
}
