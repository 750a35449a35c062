//! Waiting: for a time, a signal, the end of another saga. A short wait keeps the run; in a long one the run ends when
//! nothing else of the saga goes on, and another begins when the wait is over and somebody asks for what is due.

use futures::future::select;

use super::Run;
use crate::MAX_KEY_BYTES;
use crate::record::{Record, Tidings};
use crate::replay::EventId;
use crate::table;
use crate::types::{EventKind, Outcome, Recording, SagaError, check_name, check_size};
use crate::wake::{Pauses, yield_once};

/// A longer wait ends the run, in milliseconds. Longer than the longest delay of a step's own retries: nobody has to
/// resume a saga for those.
const LONGEST_LIVE_WAIT_MS: u64 = 20_000;

/// What a wait finds when it looks.
pub(super) enum Looked<T> {
    Found(T),
    /// Look again then.
    Until(u64),
    /// Look again when something has come, or then. That may be soon.
    News(Option<u64>),
}

pub(super) enum Waited<T> {
    Found(T),
    Cancelled(String),
}

impl Run {
    /// A durable timer: answers when `duration_ms` have passed since it was first asked for.
    ///
    /// # Errors
    /// As [`Run::enter`]; [`SagaError::LeaseLost`] for a long wait, after which another run goes on.
    pub async fn sleep(&self, name: &str, duration_ms: u64) -> Result<Recording, SagaError> {
        let _ask = self.ask();
        let id = match self.next_event(EventKind::Timer, name).await? {
            Next::Recorded(recording) => return Ok(recording),
            Next::New(id) => id,
        };
        let fires_at_ms = self.until(&id, duration_ms)?;
        let look = || {
            let is_due = self.real_now_ms() >= fires_at_ms;
            Ok(if is_due { Looked::Found(()) } else { Looked::Until(fires_at_ms) })
        };
        match self.wait(&id, look).await? {
            Waited::Found(()) => self.told(&id, (Outcome::Success, Tidings::Fired), Vec::new(), fires_at_ms).await,
            Waited::Cancelled(reason) => self.cancel_event(&id, false, reason).await,
        }
    }

    /// The next signal of this name, in the order of their arrival. The outcome is [`Outcome::Error`] when `timeout_ms`
    /// have passed since it was first asked for.
    ///
    /// # Errors
    /// As [`Run::sleep`].
    pub async fn signal(&self, name: &str, timeout_ms: Option<u64>) -> Result<Recording, SagaError> {
        let _ask = self.ask();
        let id = match self.next_event(EventKind::Signal, name).await? {
            Next::Recorded(recording) => return Ok(recording),
            Next::New(id) => id,
        };
        let until_ms = timeout_ms.map(|timeout_ms| self.until(&id, timeout_ms)).transpose()?;
        let look = || {
            let arrived = table::next_signal(self.database(), self.held.position, name)?;
            Ok(match arrived {
                Some(arrived) => Looked::Found(Some(arrived)),
                None if until_ms.is_some_and(|at_ms| self.real_now_ms() >= at_ms) => Looked::Found(None),
                None => Looked::News(until_ms),
            })
        };
        match self.wait(&id, look).await? {
            Waited::Found(Some((signal, payload))) => {
                let at_ms = self.real_now_ms();
                let record = Record::Told { of: id.clone(), at_ms, outcome: Outcome::Success, what: Tidings::Signal };
                self.append(&record, &payload, |database| table::take_signal(database, signal))?;
                self.happened(&id, Recording::of(Outcome::Success, payload, at_ms)).await
            }
            Waited::Found(None) => {
                self.told(&id, (Outcome::Error, Tidings::TimedOut), Vec::new(), self.real_now_ms()).await
            }
            Waited::Cancelled(reason) => self.cancel_event(&id, false, reason).await,
        }
    }

    /// The answer of another saga, once it has ended. The outcome is [`Outcome::Unknown`] if it has ended without one.
    ///
    /// # Errors
    /// As [`Run::sleep`]; [`SagaError::NotFound`] if there is no such saga.
    pub async fn child(&self, name: &str, key: &str) -> Result<Recording, SagaError> {
        check_size("a saga's key", key.len(), MAX_KEY_BYTES)?;
        let _ask = self.ask();
        let id = match self.next_event(EventKind::Child, name).await? {
            Next::Recorded(recording) => return Ok(recording),
            Next::New(id) => id,
        };
        if !self.replay.children.contains(&id) {
            if table::find(self.database(), key)?.is_none() {
                return Err(SagaError::NotFound);
            }
            let record = Record::Awaited { of: id.clone(), key: key.to_owned() };
            self.append(&record, &[], |database| table::await_child(database, self.held.position, key))?;
        }
        let look = || {
            Ok(match table::find(self.database(), key)? {
                // One that was forgotten ended long ago.
                None => Looked::Found(None),
                Some(child) => match child.answer(key) {
                    Some(answer) => Looked::Found(answer.ok()),
                    None => Looked::News(None),
                },
            })
        };
        let at_ms = || self.real_now_ms();
        match self.wait(&id, look).await? {
            Waited::Found(Some(answer)) => self.told(&id, (Outcome::Success, Tidings::Child), answer, at_ms()).await,
            Waited::Found(None) => self.told(&id, (Outcome::Unknown, Tidings::Child), Vec::new(), at_ms()).await,
            Waited::Cancelled(reason) => self.cancel_event(&id, true, reason).await,
        }
    }

    async fn next_event(&self, kind: EventKind, name: &str) -> Result<Next, SagaError> {
        check_name(name)?;
        self.check_live()?;
        let occurrence = self.state.borrow_mut().next_occurrence(kind, name);
        let id = EventId::new(kind, name, occurrence);
        if let Some((index, recording)) = self.replay.find(&id) {
            let recording = recording.clone();
            return self.tell(self.turn(index), &id, recording).await.map(Next::Recorded);
        }
        self.replayed(&id.describe()).await?;
        Ok(Next::New(id))
    }

    /// When a wait of so long ends that was first asked for now, or before.
    fn until(&self, id: &EventId, duration_ms: u64) -> Result<u64, SagaError> {
        if let Some(known) = self.state.borrow().until_ms.get(id) {
            return Ok(*known);
        }
        let at_ms = self.real_now_ms().saturating_add(duration_ms);
        self.append(&Record::Until { of: id.clone(), at_ms }, &[], |_| Ok(()))?;
        Ok(at_ms)
    }

    /// Records that something does not happen any more, since the saga is cancelled.
    pub(super) async fn cancel_event(
        &self,
        id: &EventId,
        maybe_ran: bool,
        reason: String,
    ) -> Result<Recording, SagaError> {
        let outcome = if maybe_ran { Outcome::Unknown } else { Outcome::Error };
        self.state.borrow_mut().cut.retain(|cut| cut.of != *id);
        let what = (outcome, Tidings::Cancelled);
        let told = self.told(id, what, reason.into_bytes(), self.real_now_ms()).await?;
        Ok(Recording { cancelled: true, ..told })
    }

    /// Records that something has happened, and tells the code.
    async fn told(
        &self,
        id: &EventId,
        (outcome, what): (Outcome, Tidings),
        payload: Vec<u8>,
        at_ms: u64,
    ) -> Result<Recording, SagaError> {
        self.append(&Record::Told { of: id.clone(), at_ms, outcome, what }, &payload, |_| Ok(()))?;
        self.happened(id, Recording::of(outcome, payload, at_ms)).await
    }

    async fn happened(&self, id: &EventId, recording: Recording) -> Result<Recording, SagaError> {
        let number = self.state.borrow_mut().turns.next();
        self.tell(self.turn(number), id, recording).await
    }

    /// Waits until `look` finds something, or the saga is cancelled; compensations are shielded from that.
    pub(super) async fn wait<T>(
        &self,
        id: &EventId,
        look: impl Fn() -> Result<Looked<T>, SagaError>,
    ) -> Result<Waited<T>, SagaError> {
        let (mut wait, mut pauses) = (None, Pauses::default());
        let live_until_ms = self.real_now_ms() + LONGEST_LIVE_WAIT_MS;
        loop {
            let changed = self.changed.next();
            self.look()?;
            let is_undo = id.kind == EventKind::Undo;
            if !is_undo && let Some(reason) = self.cancelled() {
                return Ok(Waited::Cancelled(reason));
            }
            let (at_ms, waits_for_news) = match look()? {
                Looked::Found(found) => return Ok(Waited::Found(found)),
                Looked::Until(at_ms) => (Some(at_ms), false),
                Looked::News(at_ms) => (at_ms, true),
            };
            let (deadline_ms, changes) = {
                let state = self.state.borrow();
                (state.deadline_ms.filter(|_| !is_undo), state.changes)
            };
            let at_ms = at_ms.into_iter().chain(deadline_ms).min();
            let wait = wait.get_or_insert_with(|| Wait::new(self));
            wait.set(at_ms, changes);
            let now_ms = self.real_now_ms();
            // What may come at any time is waited for a while; of a time it is known how far it is.
            let is_long = at_ms.is_none_or(|at_ms| at_ms > now_ms.saturating_add(LONGEST_LIVE_WAIT_MS));
            if is_long && (!waits_for_news || now_ms >= live_until_ms) {
                // Branches that begin together have all asked before the run may end.
                yield_once().await;
                if self.suspend()? {
                    return Err(SagaError::LeaseLost);
                }
            }
            let pause_ms = pauses.next_ms().min(at_ms.map_or(u64::MAX, |at_ms| at_ms.saturating_sub(now_ms)));
            select(changed, self.inner.clock.sleep(pause_ms)).await;
        }
    }

    /// Why the saga is to be cancelled, if it is.
    fn cancelled(&self) -> Option<String> {
        let state = self.state.borrow();
        let passed = state.deadline_ms.is_some_and(|at_ms| self.real_now_ms() >= at_ms);
        state.cancelled.clone().or_else(|| passed.then(|| "the saga's deadline has passed".to_owned()))
    }

    /// Ends this run if all that goes on in it are waits; it goes on when the first of them is over.
    fn suspend(&self) -> Result<bool, SagaError> {
        self.check_live()?;
        let (wakes_at_ms, changes) = {
            let state = self.state.borrow();
            let has_news = state.waits.values().any(|(_, seen)| *seen != state.changes);
            if has_news || state.asks > state.waits.len() || state.turns.is_handing() || !state.open.is_empty() {
                return Ok(false);
            }
            (state.waits.values().filter_map(|(at_ms, _)| *at_ms).min(), state.changes)
        };
        let suspended = self.held.suspend(self.database(), (wakes_at_ms, changes), &self.open_attempts())?;
        if suspended {
            self.leave_off();
        }
        Ok(suspended)
    }
}

enum Next {
    Recorded(Recording),
    New(EventId),
}

/// A wait of this run, for as long as it is waited.
struct Wait<'a> {
    run: &'a Run,
    id: u64,
}

impl<'a> Wait<'a> {
    fn new(run: &'a Run) -> Self {
        let mut state = run.state.borrow_mut();
        let id = state.next_wait;
        state.next_wait += 1;
        drop(state);
        Self { run, id }
    }

    fn set(&self, at_ms: Option<u64>, seen: u64) {
        self.run.state.borrow_mut().waits.insert(self.id, (at_ms, seen));
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.run.state.borrow_mut().waits.remove(&self.id);
    }
}
