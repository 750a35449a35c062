//! Steps and compensations: entering, leaving, trying again, and keeping the lease while an attempt runs.

use std::future::Future;
use std::rc::Rc;

use futures::future::select;

use super::waits::{Looked, Waited};
use super::{Open, Run};
use crate::record::{OpenAttempt, Record};
use crate::replay::{Attempts, EventId};
use crate::types::{
    AttemptResult, Entered, Execution, Left, Outcome, Phase, Recording, SagaError, Status, StepOptions, check_name,
    check_size,
};
use crate::{LEASE_MS, MAX_PAYLOAD_BYTES, policy};

/// How much longer than its timeout an attempt keeps the lease, in milliseconds.
const MARGIN_MS: u64 = 10_000;

impl Run {
    /// Enters the next occurrence of a step, or its next attempt. All earlier records of this saga are durable when it
    /// answers [`Entered::Execute`].
    ///
    /// # Errors
    /// [`SagaError::LeaseLost`] if this run has to stop, as for a long delay before a retry; [`SagaError::Mismatch`] if
    /// the journal holds something else (the saga then needs attention); or why the database refuses.
    pub async fn enter(&self, name: &str, phase: Phase, options: StepOptions) -> Result<Entered, SagaError> {
        check_name(name)?;
        let _ask = self.ask();
        self.check_live()?;
        let id = self.next_step(name, phase, options.occurrence)?;
        if let Some((index, recording)) = self.replay.find(&id) {
            let recording = recording.clone();
            return self.tell(self.turn(index), &id, recording).await.map(Entered::Recorded);
        }
        self.replayed(&id.describe()).await?;
        let attempts = self.state.borrow().attempts.get(&id).copied().unwrap_or_default();
        let key = self.step_key(name, id.occurrence);
        loop {
            if let Some(reason) = self.admitted(&id, attempts).await? {
                return self.cancel_event(&id, attempts.maybe_ran, reason).await.map(Entered::Recorded);
            }
            // An order that has come meanwhile holds.
            if self.open(&id, attempts.ended + 1, &options)? {
                return Ok(Entered::Execute(Execution { attempt: attempts.ended + 1, key }));
            }
        }
    }

    /// Ends the open attempt of the step that was entered last under that name and phase.
    ///
    /// # Errors
    /// [`SagaError::Mismatch`] if no attempt of it is open; [`SagaError::LeaseLost`], [`SagaError::TooLarge`], or why
    /// the database refuses.
    pub async fn leave(&self, name: &str, phase: Phase, result: AttemptResult) -> Result<Left, SagaError> {
        let (AttemptResult::Success(payload) | AttemptResult::Error(payload) | AttemptResult::Failed { payload, .. }) =
            &result;
        check_size("a step's payload", payload.len(), MAX_PAYLOAD_BYTES)?;
        let _ask = self.ask();
        self.check_live()?;
        let open = self.close(name, phase);
        let open =
            open.ok_or_else(|| SagaError::Mismatch(format!("step {name} is left without having been entered")))?;
        let id = open.attempt.of.clone();
        let (outcome, retry_at_ms, payload) = self.judge(&open, result);
        self.state.borrow_mut().cut.retain(|cut| cut.of != id);
        let ended_at_ms = self.real_now_ms();
        let OpenAttempt { attempt, started_at_ms, .. } = open.attempt;
        let record = Record::Step { of: id.clone(), attempt, outcome, retry_at_ms, started_at_ms, ended_at_ms };
        self.append(&record, &payload, |_| Ok(()))?;
        self.changed.notify();
        if let Some(retry_at_ms) = retry_at_ms {
            let mut state = self.state.borrow_mut();
            state.attempts.entry(id).or_default().add(attempt, outcome, retry_at_ms);
            state.again.insert((phase, name.to_owned()));
            return Ok(Left::Again);
        }
        let turn = {
            let mut state = self.state.borrow_mut();
            if phase == Phase::Undo && outcome != Outcome::Success {
                state.failed_undos.push(id.clone());
            }
            state.turns.next()
        };
        let recording = Recording::of(outcome, payload, ended_at_ms);
        self.tell(self.turn(turn), &id, recording).await.map(Left::Settled)
    }

    /// Keeps the lease as long as attempts of this run are open, each for its timeout and a little more. To be driven
    /// beside an attempt that [`Run::enter`] has answered; none if that is done already.
    pub fn heartbeat(self: &Rc<Self>) -> Option<impl Future<Output = ()> + use<>> {
        if self.beats.replace(true) {
            return None;
        }
        let run = Rc::clone(self);
        Some(async move {
            loop {
                let changed = run.changed.next();
                let until_ms = run.state.borrow().open.iter().map(|open| open.until_ms).max();
                if !run.is_live() || until_ms.is_none_or(|until_ms| until_ms <= run.real_now_ms()) {
                    break;
                }
                // What the database refuses now it may take the next time, and the record after it tells.
                let _ = run.renew();
                select(changed, run.inner.clock.sleep(LEASE_MS / 3)).await;
            }
            run.beats.set(false);
        })
    }

    /// Waits for the time of a retry; answers why the saga is cancelled, if it is.
    async fn admitted(&self, id: &EventId, attempts: Attempts) -> Result<Option<String>, SagaError> {
        let look = || {
            let is_due = self.real_now_ms() >= attempts.retry_at_ms;
            Ok(if is_due { Looked::Found(()) } else { Looked::Until(attempts.retry_at_ms) })
        };
        Ok(match self.wait(id, look).await? {
            Waited::Found(()) => None,
            Waited::Cancelled(reason) => Some(reason),
        })
    }

    /// Notes in the database that an attempt begins. `false` if the saga is cancelled.
    fn open(&self, id: &EventId, attempt: u32, options: &StepOptions) -> Result<bool, SagaError> {
        let now_ms = self.real_now_ms();
        let until_ms = now_ms + u64::from(options.timeout_ms) + MARGIN_MS;
        let attempt = OpenAttempt { of: id.clone(), attempt, started_at_ms: now_ms };
        self.state.borrow_mut().open.push(Open { attempt, retry: options.retry, until_ms });
        let is_undo = id.kind == Phase::Undo.into();
        // What a race has lost is compensated, and then the saga goes on.
        let status = if is_undo { Status::Compensating } else { Status::Running };
        let opened = self.held.open(self.database(), &self.open_attempts(), status, now_ms + LEASE_MS);
        if !matches!(opened, Ok(true)) {
            self.state.borrow_mut().open.retain(|open| open.attempt.of != *id);
            self.look()?;
            return opened;
        }
        self.leased_until_ms.set(now_ms + LEASE_MS);
        Ok(true)
    }

    fn next_step(&self, name: &str, phase: Phase, occurrence: Option<u32>) -> Result<EventId, SagaError> {
        let mut state = self.state.borrow_mut();
        let is_same = |open: &Open| open.attempt.of.name == name && open.attempt.of.kind == phase.into();
        if state.open.iter().any(is_same) {
            let text = format!(
                "step {name} is entered again before it is left: steps that run together have names of their own"
            );
            return Err(SagaError::Mismatch(text));
        }
        let counted = if state.again.remove(&(phase, name.to_owned())) {
            state.occurrences.get(&(phase.into(), name.to_owned())).copied().unwrap_or(1)
        } else {
            state.next_occurrence(phase.into(), name)
        };
        Ok(EventId::new(phase, name, occurrence.unwrap_or(counted)))
    }

    pub(super) fn close(&self, name: &str, phase: Phase) -> Option<Open> {
        let mut state = self.state.borrow_mut();
        let is_meant = |open: &Open| open.attempt.of.name == name && open.attempt.of.kind == phase.into();
        let found = state.open.iter().rposition(is_meant)?;
        Some(state.open.remove(found))
    }

    /// What the record of an ended attempt says: settled, or to be tried again.
    fn judge(&self, open: &Open, result: AttemptResult) -> (Outcome, Option<u64>, Vec<u8>) {
        let OpenAttempt { of, attempt, .. } = &open.attempt;
        let maybe_ran_before = self.state.borrow().attempts.get(of).is_some_and(|attempts| attempts.maybe_ran);
        match result {
            AttemptResult::Success(payload) => (Outcome::Success, None, payload),
            AttemptResult::Error(payload) => (error_or_unknown(maybe_ran_before), None, payload),
            AttemptResult::Failed { maybe_ran, payload, .. } if *attempt >= open.retry.max_attempts => {
                (error_or_unknown(maybe_ran_before || maybe_ran), None, payload)
            }
            AttemptResult::Failed { maybe_ran, retry_after_ms, payload } => {
                let key = self.step_key(&of.name, of.occurrence);
                let random = policy::random(&key, of.kind == Phase::Undo.into(), *attempt);
                let delay_ms = policy::delay_ms(&open.retry, *attempt, retry_after_ms, random);
                let outcome = error_or_unknown(maybe_ran_before || maybe_ran);
                (outcome, Some(self.real_now_ms() + delay_ms), payload)
            }
        }
    }
}

fn error_or_unknown(maybe_ran: bool) -> Outcome {
    if maybe_ran { Outcome::Unknown } else { Outcome::Error }
}
