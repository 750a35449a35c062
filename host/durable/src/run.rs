//! One run of a saga: what it holds while it lives, and its end. What the code is told comes through `turns`; steps are
//! `steps`, timers, signals and children are `waits`, what takes no part in the saga's course is `notes`. What an
//! attempt does, and how long it may take, is the caller's business.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::channel::oneshot;
use tokio::sync::Notify;

use crate::clock::SagaClock;
use crate::engine::{Inner, check_size};
use crate::error::SagaError;
use crate::index::Saga;
use crate::limits::Places;
use crate::log::Appended;
use crate::record::{Ended, Entry};
use crate::recovery::back_off_ms;
use crate::replay::{Attempts, EventId, Replay};
use crate::types::{EventKind, Phase, Status};
use crate::{MAX_NAME_BYTES, MAX_PAYLOAD_BYTES};

mod notes;
mod steps;
mod turns;
mod waits;

#[cfg(test)]
pub(crate) use turns::yield_once;

/// The right to go on with a saga. Dropped before the saga has ended, it leaves the saga to recovery.
#[derive(Debug)]
pub(crate) struct Lease {
    pub inner: Arc<Inner>,
    pub saga: Arc<Saga>,
    pub id: u64,
    /// How many records the saga had when this run began.
    pub records: usize,
    /// Nothing is recorded: it is only tried whether the code fits.
    pub rehearsal: bool,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut state = self.saga.state();
        if state.lease != Some(self.id) {
            return;
        }
        state.lease = None;
        state.changed = None;
        state.open.clear();
        if self.rehearsal {
            return;
        }
        state.cut_short = true;
        if state.is_ended() {
            return;
        }
        state.idle_runs = if state.records.len() > self.records { 0 } else { state.idle_runs + 1 };
        if !state.paused {
            let at_ms = self.inner.clock.now_ms() + back_off_ms(state.idle_runs);
            self.inner.due.push(at_ms, self.saga.position);
        }
    }
}

/// A live run of a saga, from [`crate::Sagas::begin`]. Calls may run at the same time.
#[derive(Debug)]
pub struct Run {
    lease: Lease,
    clock: SagaClock,
    replay: Replay,
    input: Vec<u8>,
    generation: u32,
    changed: Arc<Notify>,
    state: Mutex<RunState>,
}

#[derive(Debug, Default)]
struct RunState {
    occurrences: HashMap<(EventKind, String), u32>,
    /// Steps whose next `enter` is another attempt of the same occurrence.
    again: HashSet<(Phase, String)>,
    attempts: HashMap<EventId, Attempts>,
    /// Those that a run before may have begun, as long as no record says so.
    unsure: HashSet<EventId>,
    timers: HashMap<EventId, u64>,
    failed_undos: Vec<EventId>,
    exposed: HashMap<String, u32>,
    attributes_set: u32,
    /// Places in limits, of the attempts that run.
    places: HashMap<EventId, Places>,
    turns: turns::Turns,
    /// When the waits of this run end, none for those that end otherwise; and what they have seen of what came from
    /// outside.
    waits: BTreeMap<u64, (Option<u64>, u32)>,
    next_wait: u64,
    /// Calls of the journal that have not been answered.
    asks: usize,
}

impl Run {
    pub(crate) fn new(
        lease: Lease,
        clock: SagaClock,
        mut replay: Replay,
        input: Vec<u8>,
        changed: Arc<Notify>,
    ) -> Self {
        clock.advance_to(lease.saga.started_at_ms);
        let hurry = std::mem::take(&mut lease.saga.state().hurry);
        let mut attempts = std::mem::take(&mut replay.attempts);
        if hurry {
            attempts.values_mut().for_each(|attempts| attempts.retry_at_ms = 0);
        }
        let state = RunState {
            attempts,
            timers: std::mem::take(&mut replay.timers),
            failed_undos: std::mem::take(&mut replay.failed_undos),
            turns: turns::Turns::new(replay.len()),
            ..RunState::default()
        };
        let generation = {
            let mut saga = lease.saga.state();
            // A rewind may have taken back that the code was told of a signal.
            for signal in saga.extra.iter_mut().flat_map(|extra| &mut extra.signals) {
                signal.taken = replay.taken.contains(&signal.position);
            }
            saga.generation
        };
        Self { lease, clock, replay, input, generation, changed, state: Mutex::new(state) }
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

    /// The clock that the saga's code sees.
    #[must_use]
    pub fn clock(&self) -> SagaClock {
        self.clock.clone()
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
        self.rehearsed()?;
        let failed_undos: Vec<String> = self.state().failed_undos.iter().map(EventId::describe).collect();
        let status = match (failed_undos.is_empty(), failed) {
            (false, _) => Status::NeedsAttention,
            (true, true) => Status::Compensated,
            (true, false) => Status::Completed,
        };
        let mut reasons = Vec::new();
        if failed && let Some(cancelled) = &self.lease.saga.state().cancelled {
            reasons.push(format!("cancelled: {cancelled}"));
        }
        if !failed_undos.is_empty() {
            reasons.push(format!("the {} did not succeed", failed_undos.join(" and the ")));
        }
        let reason = (!reasons.is_empty()).then(|| reasons.join("; "));
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

    /// Ends a run that only tries whether the code fits: all that is recorded has been handed out.
    fn rehearsed(&self) -> Result<(), SagaError> {
        if self.lease.rehearsal {
            self.verdict(Ok(()));
            return Err(SagaError::LeaseLost);
        }
        Ok(())
    }

    fn verdict(&self, verdict: Result<(), String>) {
        if let Some(rehearsal) = &mut self.lease.saga.state().extra().rehearsal {
            rehearsal.verdict.get_or_insert(verdict);
        }
    }

    fn append(&self, entry: &Entry) -> Result<Appended, SagaError> {
        self.rehearsed()?;
        self.inner().append(&self.lease.saga, Some(self.lease.id), entry)
    }

    async fn append_flushed(&self, entry: &Entry) -> Result<(), SagaError> {
        let appended = self.append(entry)?;
        Ok(self.inner().log.flush(appended.end).await?)
    }

    /// The key of a step: the same in every run, and of every generation another.
    fn step_key(&self, name: &str, occurrence: u32) -> String {
        match self.generation {
            0 => format!("{}/{name}#{occurrence}", self.key()),
            generation => format!("{}~{generation}/{name}#{occurrence}", self.key()),
        }
    }
}

impl RunState {
    fn next_occurrence(&mut self, kind: EventKind, name: &str) -> u32 {
        let count = self.occurrences.entry((kind, name.to_owned())).or_default();
        *count += 1;
        *count
    }
}

fn check_name(name: &str) -> Result<(), SagaError> {
    if name.is_empty() {
        return Err(SagaError::TooLarge("the name of a step, timer or signal has at least one byte".to_owned()));
    }
    check_size("the name of a step, timer or signal", name.len(), MAX_NAME_BYTES)
}

/// Whoever waits for this wakes when it is dropped, or is gone.
type Waker = oneshot::Sender<()>;
