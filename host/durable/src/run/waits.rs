//! Waiting: for a time, a signal, the end of another saga, a place in a limit. A short wait keeps the instance; in a
//! long one the run ends when nothing else of the saga goes on, and recovery begins another when the wait is over.

use std::time::Duration;

use futures::future::{Either, select};

use super::turns::yield_once;
use super::{Run, check_name};
use crate::engine::check_size;
use crate::error::SagaError;
use crate::record::{Awaited, Entry, Suspended, Tidings, Timer, Told};
use crate::replay::EventId;
use crate::types::{EventKind, Outcome, Recording};
use crate::{MAX_KEY_BYTES, MAX_PAYLOAD_BYTES};

/// A longer wait ends the run.
const LONGEST_LIVE_WAIT_MS: u64 = 5000;

/// What a wait finds when it looks.
pub(super) enum Looked<T> {
    Found(T),
    /// Look again then.
    Until(u64),
    /// Look again when a place in a limit is free. The run waits for it.
    Place,
    /// Look again when something has changed.
    Change,
}

pub(super) enum Waited<T> {
    Found(T),
    Cancelled(String),
}

impl Run {
    /// A durable timer: answers when `duration_ms` have passed since it was first asked for.
    ///
    /// # Errors
    /// As [`Run::enter`]; [`SagaError::LeaseLost`] for a long wait, after which recovery resumes the saga.
    pub async fn sleep(&self, name: &str, duration_ms: u64) -> Result<Recording, SagaError> {
        let _ask = self.ask();
        let id = match self.next_event(EventKind::Timer, name).await? {
            Next::Recorded(recording) => return Ok(recording),
            Next::New(id) => id,
        };
        let known = self.state().timers.get(&id).copied();
        let fires_at_ms = known.unwrap_or_else(|| self.inner().clock.now_ms().saturating_add(duration_ms));
        let (saga, occurrence) = (self.lease.saga.position, id.occurrence);
        let timer = Timer { saga, name: id.name.clone(), occurrence, fires_at_ms };
        if known.is_none() {
            self.append_flushed(&Entry::TimerSet(timer.clone())).await?;
        }
        let look = || {
            if self.inner().clock.now_ms() >= fires_at_ms { Looked::Found(()) } else { Looked::Until(fires_at_ms) }
        };
        match self.wait(&id, look).await? {
            Waited::Found(()) => {
                // Its place among other ends is flushed with what runs next.
                let entry = Entry::TimerFired(timer);
                self.happen(&id, &entry, Recording::of(Outcome::Success, Vec::new(), fires_at_ms)).await
            }
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
        let known = self.state().timers.get(&id).copied();
        let until_ms = known.or_else(|| Some(self.inner().clock.now_ms().saturating_add(timeout_ms?)));
        if known.is_none() && until_ms.is_some() {
            self.await_event(&id, until_ms, None).await?;
        }
        let look = || match (self.arrived(name), until_ms) {
            (Some(position), _) => Looked::Found(Some(position)),
            (None, Some(until_ms)) if self.inner().clock.now_ms() >= until_ms => Looked::Found(None),
            (None, Some(until_ms)) => Looked::Until(until_ms),
            (None, None) => Looked::Change,
        };
        let (outcome, what, payload) = match self.wait(&id, look).await? {
            Waited::Found(Some(position)) => {
                (Outcome::Success, Tidings::Signal(position), self.inner().signal_payload(position)?)
            }
            Waited::Found(None) => (Outcome::Error, Tidings::TimedOut, Vec::new()),
            Waited::Cancelled(reason) => return self.cancel_event(&id, false, reason).await,
        };
        self.told(&id, outcome, what, payload).await
    }

    /// The answer of another saga, once it has ended.
    ///
    /// # Errors
    /// As [`Run::sleep`].
    pub async fn child(&self, name: &str, key: &str) -> Result<Recording, SagaError> {
        check_size("a saga's key", key.len(), MAX_KEY_BYTES)?;
        let _ask = self.ask();
        let id = match self.next_event(EventKind::Child, name).await? {
            Next::Recorded(recording) => return Ok(recording),
            Next::New(id) => id,
        };
        let awaited = self.replay.children.contains(&id);
        if !awaited && self.inner().find(key).is_none() {
            return Err(SagaError::NotFound);
        }
        if !awaited {
            self.await_event(&id, None, Some(key.to_owned())).await?;
        }
        // Also in a run that finds it recorded: those who wait are told once.
        self.inner().index().await_child(key, self.lease.saga.position);
        let look = || {
            let answered = self.inner().find(key).is_none_or(|child| child.state().has_answered());
            if answered { Looked::Found(()) } else { Looked::Change }
        };
        if matches!(look(), Looked::Found(())) {
            self.inner().index().forget_parent(key, self.lease.saga.position);
        }
        match self.wait(&id, look).await? {
            Waited::Found(()) => {}
            Waited::Cancelled(reason) => return self.cancel_event(&id, true, reason).await,
        }
        match self.inner().answer_of(key).await {
            Ok(answer) => self.told(&id, Outcome::Success, Tidings::Child(answer.clone()), answer).await,
            Err(SagaError::Unavailable(_) | SagaError::NotFound) => {
                self.told(&id, Outcome::Unknown, Tidings::Child(Vec::new()), Vec::new()).await
            }
            Err(error) => Err(error),
        }
    }

    async fn next_event(&self, kind: EventKind, name: &str) -> Result<Next, SagaError> {
        check_name(name)?;
        self.check_live()?;
        let occurrence = self.state().next_occurrence(kind, name);
        let id = EventId::new(kind, name, occurrence);
        if let Some((index, recording)) = self.replay.find(&id).and_then(|at| Some((at, self.replay.recording(at)?))) {
            return self.tell(self.turn(index), &id, recording.clone()).await.map(Next::Recorded);
        }
        self.replayed(&id.describe()).await?;
        self.rehearsed()?;
        Ok(Next::New(id))
    }

    async fn await_event(&self, id: &EventId, until_ms: Option<u64>, child: Option<String>) -> Result<(), SagaError> {
        let (saga, kind, name) = (self.lease.saga.position, id.kind, id.name.clone());
        let awaited = Awaited { saga, kind, name, occurrence: id.occurrence, until_ms, child };
        self.append_flushed(&Entry::Awaited(awaited)).await
    }

    /// The oldest signal of this name that the code was not told of.
    fn arrived(&self, name: &str) -> Option<u64> {
        let state = self.lease.saga.state();
        let signals = state.extra.as_ref().map_or(&[][..], |extra| &extra.signals);
        let waiting = signals.iter().find(|signal| *signal.name == *name && !signal.taken);
        waiting.map(|signal| signal.position)
    }

    /// Records that something does not happen any more, since the saga is cancelled.
    pub(super) async fn cancel_event(
        &self,
        id: &EventId,
        maybe_ran: bool,
        reason: String,
    ) -> Result<Recording, SagaError> {
        let outcome = if maybe_ran { Outcome::Unknown } else { Outcome::Error };
        let payload = reason.clone().into_bytes();
        self.state().unsure.remove(id);
        let told = self.told(id, outcome, Tidings::Cancelled(reason), payload).await?;
        Ok(Recording { cancelled: true, ..told })
    }

    async fn told(
        &self,
        id: &EventId,
        outcome: Outcome,
        what: Tidings,
        payload: Vec<u8>,
    ) -> Result<Recording, SagaError> {
        let at_ms = self.inner().clock.now_ms();
        let (saga, kind, name, occurrence) = (self.lease.saga.position, id.kind, id.name.clone(), id.occurrence);
        let entry = Entry::Told(Told { saga, kind, name, occurrence, at_ms, outcome, what });
        debug_assert!(payload.len() <= MAX_PAYLOAD_BYTES, "an answer or a signal");
        self.happen(id, &entry, Recording::of(outcome, payload, at_ms)).await
    }

    /// Records that something has happened, and tells the code. What runs next flushes it.
    async fn happen(&self, id: &EventId, entry: &Entry, recording: Recording) -> Result<Recording, SagaError> {
        let appended = self.append(entry)?;
        let (number, alone) = {
            let mut state = self.state();
            (state.turns.next(), state.asks == 1)
        };
        let turn = self.turn(number);
        if !alone || !self.lease.saga.state().open.is_empty() {
            self.inner().log.flush(appended.end).await?;
        }
        self.tell(turn, id, recording).await
    }

    /// Waits until `look` finds something, or the saga is cancelled; compensations are shielded from that.
    pub(super) async fn wait<T>(&self, id: &EventId, look: impl Fn() -> Looked<T>) -> Result<Waited<T>, SagaError> {
        let mut wait = None;
        loop {
            let changed = std::pin::pin!(self.changed.notified());
            let freed = std::pin::pin!(self.inner().limits.freed());
            self.check_live()?;
            if id.kind != EventKind::Undo
                && let Some(reason) = self.cancelled()
            {
                return Ok(Waited::Cancelled(reason));
            }
            let (paused, changes) = {
                let state = self.lease.saga.state();
                (state.paused, state.changes)
            };
            let looked = if paused { Looked::Change } else { look() };
            let (at_ms, is_place) = match looked {
                Looked::Found(found) => return Ok(Waited::Found(found)),
                Looked::Until(at_ms) => (Some(at_ms), false),
                Looked::Place => (None, true),
                Looked::Change => (None, false),
            };
            let deadline_ms = self.lease.saga.state().deadline_ms.filter(|_| id.kind != EventKind::Undo && !paused);
            let at_ms = at_ms.into_iter().chain(deadline_ms).min();
            // One that waits for a place keeps the run: nobody would wake the saga for it.
            wait = (!is_place).then(|| wait.take().unwrap_or_else(|| Wait::new(self)));
            wait.iter().for_each(|wait: &Wait<'_>| wait.set(at_ms, changes));
            let now_ms = self.inner().clock.now_ms();
            let is_long = at_ms.is_none_or(|at_ms| at_ms.saturating_sub(now_ms) > LONGEST_LIVE_WAIT_MS);
            if is_long && !is_place {
                // Branches that begin together have all asked before the run may end.
                yield_once().await;
                self.suspend()?;
            }
            let time = match at_ms {
                Some(at_ms) => {
                    let wait_ms = at_ms.saturating_sub(now_ms);
                    Either::Left(self.inner().clock.sleep(Duration::from_millis(wait_ms)))
                }
                None => Either::Right(futures::future::pending()),
            };
            // Those that wait for something else need not look at every place that is given back.
            let freed = if is_place { Either::Left(freed) } else { Either::Right(futures::future::pending()) };
            let event = select(changed, freed);
            select(event, std::pin::pin!(time)).await;
        }
    }

    /// Why the saga is to be cancelled, if it is.
    fn cancelled(&self) -> Option<String> {
        let state = self.lease.saga.state();
        if let Some(reason) = &state.cancelled {
            return Some(reason.to_string());
        }
        let passed = state.deadline_ms.is_some_and(|at_ms| self.inner().clock.now_ms() >= at_ms);
        passed.then(|| "the saga's deadline has passed".to_owned())
    }

    /// Ends this run if all that goes on in it are waits; it goes on when the first of them is over.
    fn suspend(&self) -> Result<(), SagaError> {
        self.rehearsed()?;
        let mut state = self.live()?;
        let (wakes_at_ms, unsure) = {
            let run = self.state();
            let has_news = run.waits.values().any(|(_, seen)| *seen != state.changes);
            if has_news || run.asks > run.waits.len() || run.turns.is_handing() || !state.open.is_empty() {
                return Ok(());
            }
            (run.waits.values().filter_map(|(at_ms, _)| *at_ms).min(), !run.unsure.is_empty())
        };
        let saga = &self.lease.saga;
        let entry = Entry::Suspended(Suspended { saga: saga.position, wakes_at_ms });
        self.inner().append_to(saga, &mut state, &entry)?;
        state.lease = None;
        state.changed = None;
        state.idle_runs = 0;
        // What a run before this one may have begun, the next has to know as well.
        state.cut_short = unsure;
        drop(state);
        if let Some(at_ms) = wakes_at_ms {
            self.inner().due.push(at_ms, saga.position);
        }
        Err(SagaError::LeaseLost)
    }

    /// Counts a call of the journal until it is answered.
    pub(super) fn ask(&self) -> Ask<'_> {
        self.state().asks += 1;
        Ask(self)
    }
}

enum Next {
    Recorded(Recording),
    New(EventId),
}

/// A call of the journal.
pub(super) struct Ask<'a>(&'a Run);

impl Drop for Ask<'_> {
    fn drop(&mut self) {
        self.0.state().asks -= 1;
        self.0.changed.notify_waiters();
    }
}

/// A wait of this run, for as long as it is waited.
struct Wait<'a> {
    run: &'a Run,
    id: u64,
}

impl<'a> Wait<'a> {
    fn new(run: &'a Run) -> Self {
        let mut state = run.state();
        let id = state.next_wait;
        state.next_wait += 1;
        drop(state);
        Self { run, id }
    }

    fn set(&self, at_ms: Option<u64>, seen: u32) {
        self.run.state().waits.insert(self.id, (at_ms, seen));
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.run.state().waits.remove(&self.id);
    }
}
