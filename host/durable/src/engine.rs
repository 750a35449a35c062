//! The saga engine as a whole: beginning sagas, their records on the journal, their leases, their ends. What happens
//! inside a run is `run`; bringing sagas back is `recovery`; waiting for them from outside is `waiting`; what is asked of
//! them from outside is `control`; showing them is `view`.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use weft_core::Clock;
use weft_core::disk::Disk;

use crate::clock::SagaClock;
use crate::error::SagaError;
use crate::events::Events;
use crate::faults::Faults;
use crate::index::{Index, Saga, SagaState};
use crate::limits::Limits;
use crate::log::{Appended, Log, LogStats};
use crate::open::{self, Found, OpenError, SagaOptions};
use crate::record::{Ended, Entry, Started, VERSION};
use crate::recovery::Due;
use crate::replay::{History, Replay};
use crate::run::{Lease, Run};
use crate::types::Status;
use crate::{MAX_KEY_BYTES, MAX_PAYLOAD_BYTES, MAX_SAGA_RECORDS};

/// All sagas of a host, on one journal. Clones share it.
#[derive(Clone, Debug)]
pub struct Sagas {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub log: Log,
    pub clock: Arc<dyn Clock>,
    pub due: Due,
    pub closing: AtomicBool,
    pub limits: Limits,
    pub faults: Faults,
    pub events: Events,
    retention_ms: u64,
    sweeps_at_ms: AtomicU64,
    index: Mutex<Index>,
    leases: AtomicU64,
    max_unfinished: usize,
}

/// How often sagas past their retention are forgotten, at most: when another one ends.
const SWEEP_MS: u64 = 60 * 60 * 1000;

/// On whose behalf a saga is begun.
#[derive(Clone, Debug)]
pub struct Starter {
    /// The durable component.
    pub component: Arc<str>,
    /// The digest of its code: the saga ends on the code that it began with.
    pub digest: Arc<str>,
    /// Carried through the whole of one business operation; the saga's key where there is none.
    pub correlation_id: Option<Arc<str>>,
    /// The clock that the code sees; the run moves it on.
    pub clock: SagaClock,
}

/// Answer of [`Sagas::begin`].
#[derive(Debug)]
pub enum Begun {
    /// The saga has answered.
    Finished(Vec<u8>),
    /// Run, or go on. Dropping the run without finishing it leaves the saga to recovery.
    Run(Arc<Run>),
    /// Another run of this saga is live, or it needs the code that it began with: wait for its answer.
    Busy,
}

impl Sagas {
    /// Opens the journal in `dir`, or makes it.
    ///
    /// # Errors
    /// [`OpenError`] if it is in use, damaged beyond skipping, or of a newer version.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        clock: Arc<dyn Clock>,
        options: &SagaOptions,
    ) -> Result<(Self, Found), OpenError> {
        let (log, index, found) = open::open(disk, dir, &*clock, options)?;
        let due = Due::new(found.unfinished);
        for saga in index.all().filter(|saga| !saga.is_choreographed()) {
            if let Some(at_ms) = saga.state().due_at_ms() {
                due.push(at_ms, saga.position);
            }
        }
        let sweeps_at_ms = AtomicU64::new(clock.now_ms() + SWEEP_MS);
        let inner = Inner {
            log,
            clock,
            due,
            closing: AtomicBool::new(false),
            limits: options.limits.clone(),
            faults: options.faults.clone(),
            events: Events::default(),
            retention_ms: options.retention_ms,
            sweeps_at_ms,
            index: Mutex::new(index),
            leases: AtomicU64::new(0),
            max_unfinished: options.max_unfinished,
        };
        Ok((Self { inner: Arc::new(inner) }, found))
    }

    /// Begins the saga `key`, or goes on with it, or answers what it has answered. The beginning is durable when this
    /// answers.
    ///
    /// # Errors
    /// [`SagaError::KeyReused`] for another component, function or input; [`SagaError::TooLarge`];
    /// [`SagaError::Unavailable`] if the saga has ended without an answer or the host takes none.
    pub async fn begin(&self, starter: &Starter, function: &str, key: &str, input: &[u8]) -> Result<Begun, SagaError> {
        check_size("a saga's key", key.len(), MAX_KEY_BYTES)?;
        check_size("a saga's input", input.len(), MAX_PAYLOAD_BYTES)?;
        self.inner.check_open()?;
        if key.is_empty() {
            return Err(SagaError::TooLarge("a saga's key has at least one byte".to_owned()));
        }
        let fresh = self.inner.insert(starter, function, key, input)?;
        let (saga, lease) = match fresh {
            Ok(fresh) => fresh,
            Err(known) => return self.go_on(&known, starter, function, input).await,
        };
        let end = saga.state().end;
        self.inner.log.flush(end).await?;
        Ok(run(lease, starter, Vec::new(), input.to_vec()))
    }

    async fn go_on(
        &self,
        saga: &Arc<Saga>,
        starter: &Starter,
        function: &str,
        input: &[u8],
    ) -> Result<Begun, SagaError> {
        let same_function = *saga.function == *function && saga.component == starter.component;
        if !same_function {
            return Err(SagaError::KeyReused);
        }
        if self.inner.started(saga)?.input != input {
            return Err(SagaError::KeyReused);
        }
        if saga.state().is_ended() {
            return self.inner.durable_answer(saga).await.map(Begun::Finished);
        }
        let rehearsal = saga.state().rehearses(&starter.digest);
        if saga.state().digest != starter.digest && !rehearsal {
            self.inner.due.push(self.inner.clock.now_ms(), saga.position);
            return Ok(Begun::Busy);
        }
        let Some(lease) = self.inner.lease(saga, rehearsal) else { return Ok(Begun::Busy) };
        // Under the lease, since the run before may have added records until then.
        let history = self.inner.history(saga)?;
        let input = history.input().to_vec();
        Ok(run(lease, starter, history.entries, input))
    }

    /// Function and input of a saga of `component`; the input that it was begun with.
    ///
    /// # Errors
    /// [`SagaError::NotFound`]; [`SagaError::Unavailable`] if its record cannot be read.
    pub fn load(&self, component: &str, key: &str) -> Result<(String, Vec<u8>), SagaError> {
        let saga = self.inner.find(key).filter(|saga| *saga.component == *component).ok_or(SagaError::NotFound)?;
        let started = self.inner.started(&saga)?;
        Ok((started.function, started.input))
    }

    /// The component that a saga belongs to.
    #[must_use]
    pub fn component_of(&self, key: &str) -> Option<Arc<str>> {
        self.inner.find(key).map(|saga| Arc::clone(&saga.component))
    }

    /// The limits that steps may name.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// What correlates a saga with the rest of its business operation.
    #[must_use]
    pub fn correlation_of(&self, key: &str) -> Option<Arc<str>> {
        self.inner.find(key).map(|saga| Arc::clone(&saga.correlation_id))
    }

    /// The clock of the engine.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    /// What the journal's log has done since it was opened.
    #[must_use]
    pub fn log_stats(&self) -> LogStats {
        self.inner.log.stats()
    }

    /// Why the journal takes no more records, if it has stopped.
    #[must_use]
    pub fn stopped(&self) -> Option<SagaError> {
        self.inner.log.stopped().map(SagaError::from)
    }

    /// Takes no more sagas, ends recovery, and flushes. Runs that are live can record nothing more; their sagas go on
    /// at the next start.
    ///
    /// # Errors
    /// [`SagaError::Unavailable`] if the last records may not be on disk.
    pub fn shutdown(&self) -> Result<(), SagaError> {
        self.inner.closing.store(true, Ordering::Relaxed);
        self.inner.due.wake();
        Ok(self.inner.log.close()?)
    }
}

pub(crate) fn check_size(what: &str, bytes: usize, limit: usize) -> Result<(), SagaError> {
    if bytes > limit {
        return Err(SagaError::TooLarge(format!("{what} has at most {limit} bytes, this one has {bytes}")));
    }
    Ok(())
}

fn run(lease: Lease, starter: &Starter, recorded: Vec<(u64, Entry)>, input: Vec<u8>) -> Begun {
    let changed = Arc::new(Notify::new());
    lease.saga.state().changed = Some(Arc::clone(&changed));
    Begun::Run(Arc::new(Run::new(lease, starter.clock.clone(), Replay::new(recorded), input, changed)))
}

/// What an ended saga answers.
fn answer(history: &History) -> Result<Vec<u8>, SagaError> {
    let Some(ended) = history.ended() else { return Err(SagaError::NotFound) };
    ended.answer.clone().ok_or_else(|| {
        let reason = ended.reason.as_deref().unwrap_or("it has no answer");
        SagaError::Unavailable(format!("saga {} needs attention: {reason}", history.started.key))
    })
}

impl Inner {
    pub(crate) fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn find(&self, key: &str) -> Option<Arc<Saga>> {
        self.index().get(key).cloned()
    }

    pub(crate) fn check_open(&self) -> Result<(), SagaError> {
        if self.closing.load(Ordering::Relaxed) {
            return Err(SagaError::Unavailable("the host is shutting down".to_owned()));
        }
        Ok(())
    }

    /// Records the beginning of a saga whose key is new, with its first lease; or answers the saga that has the key.
    #[expect(clippy::type_complexity, reason = "either a fresh saga with its lease, or the one that is there")]
    fn insert(
        self: &Arc<Self>,
        starter: &Starter,
        function: &str,
        key: &str,
        input: &[u8],
    ) -> Result<Result<(Arc<Saga>, Lease), Arc<Saga>>, SagaError> {
        let mut index = self.index();
        if let Some(known) = index.get(key) {
            return Ok(Err(Arc::clone(known)));
        }
        if self.due.unfinished() >= self.max_unfinished {
            let text = format!("{} sagas are unfinished: try again later", self.max_unfinished);
            return Err(SagaError::Unavailable(text));
        }
        let started = Started {
            key: key.to_owned(),
            function: function.to_owned(),
            component: starter.component.to_string(),
            digest: starter.digest.to_string(),
            correlation_id: starter.correlation_id.as_deref().unwrap_or(key).to_owned(),
            at_ms: self.clock.now_ms(),
            input: input.to_vec(),
        };
        let entry = Entry::Started(started.clone());
        let appended = self.log.append(entry.kind(), VERSION, &entry.encode())?;
        let saga = index.insert(&started, appended.position, appended.end);
        self.due.begun();
        self.events.recorded(&saga, &entry);
        let lease = self.lease(&saga, false).ok_or(SagaError::LeaseLost)?;
        Ok(Ok((saga, lease)))
    }

    /// A lease, unless another run has it or the saga has ended.
    fn lease(self: &Arc<Self>, saga: &Arc<Saga>, rehearsal: bool) -> Option<Lease> {
        let mut state = saga.state();
        if state.lease.is_some() || state.is_ended() || (state.paused && !rehearsal) || saga.is_choreographed() {
            return None;
        }
        let id = self.leases.fetch_add(1, Ordering::Relaxed) + 1;
        state.lease = Some(id);
        state.runs += 1;
        state.refused = 0;
        if !rehearsal {
            state.suspended = None;
        }
        let records = state.records.len();
        Some(Lease { inner: Arc::clone(self), saga: Arc::clone(saga), id, records, rehearsal })
    }

    /// The answer of a saga that has ended.
    pub(crate) async fn durable_answer(&self, saga: &Saga) -> Result<Vec<u8>, SagaError> {
        let end = saga.state().end;
        self.log.flush(end).await?;
        answer(&self.history(saga)?)
    }

    /// Appends a record of a saga, buffered. Nothing is appended to a saga that has ended, nor by a run that has lost
    /// its lease; `None` is for the engine itself.
    pub(crate) fn append(&self, saga: &Saga, lease: Option<u64>, entry: &Entry) -> Result<Appended, SagaError> {
        let mut state = saga.state();
        if state.is_ended() || (lease.is_some() && lease != state.lease) {
            return Err(SagaError::LeaseLost);
        }
        self.append_to(saga, &mut state, entry)
    }

    /// Appends a record of a saga whose state is held, buffered.
    pub(crate) fn append_to(&self, saga: &Saga, state: &mut SagaState, entry: &Entry) -> Result<Appended, SagaError> {
        let is_bound = matches!(entry, Entry::Ended(_) | Entry::Ordered(_) | Entry::Suspended(_) | Entry::Continued(_));
        if state.records.len() >= MAX_SAGA_RECORDS && !is_bound {
            let text = format!("a saga has at most {MAX_SAGA_RECORDS} records: continue as new, or split the work");
            return Err(SagaError::TooLarge(text));
        }
        let appended = self.log.append(entry.kind(), VERSION, &entry.encode())?;
        state.note(appended.position, appended.end, entry);
        self.events.recorded(saga, entry);
        Ok(appended)
    }

    /// Ends a saga: durable when it answers, and then everyone who waits is told.
    pub(crate) async fn end(&self, saga: &Saga, lease: Option<u64>, ended: Ended) -> Result<(), SagaError> {
        let appended = self.append(saga, lease, &Entry::Ended(ended))?;
        self.due.ended();
        // Dropping the senders wakes who waits; each asks for the flush again.
        let waiting = std::mem::take(&mut saga.state().waiting);
        drop(waiting);
        self.tell_parents(saga);
        let flushed = self.log.flush(appended.end).await;
        self.sweep();
        Ok(flushed?)
    }

    /// Wakes the sagas that wait for this one, if it has come to its end.
    pub(crate) fn tell_parents(&self, saga: &Saga) {
        if !saga.state().has_answered() {
            return;
        }
        let mut index = self.index();
        for position in index.take_parents(&saga.key) {
            if let Some(parent) = index.at(position) {
                self.wake(parent);
            }
        }
    }

    /// Forgets sagas past their retention, and removes the files that held only such; once an hour at most.
    pub(crate) fn sweep(&self) {
        if self.clock.now_ms() < self.sweeps_at_ms.load(Ordering::Relaxed) {
            return;
        }
        self.sweeps_at_ms.store(self.clock.now_ms() + SWEEP_MS, Ordering::Relaxed);
        let oldest = {
            let mut index = self.index();
            let ended_before_ms = self.clock.now_ms().saturating_sub(self.retention_ms);
            open::forget(&mut index, ended_before_ms);
            index.oldest_position(ended_before_ms, self.log.end())
        };
        if let Err(error) = self.log.remove_before(oldest) {
            tracing::warn!(%error, "old parts of the saga journal cannot be removed");
        }
    }

    /// The durable answer of a saga that has ended.
    pub(crate) async fn answer_of(&self, key: &str) -> Result<Vec<u8>, SagaError> {
        let saga = self.find(key).ok_or(SagaError::NotFound)?;
        self.durable_answer(&saga).await
    }

    /// What a signal carries.
    pub(crate) fn signal_payload(&self, position: u64) -> Result<Vec<u8>, SagaError> {
        match self.entry(position)? {
            Entry::Signalled(signalled) => Ok(signalled.payload),
            _ => Err(SagaError::Unavailable(format!("the signal at position {position} of the journal is damaged"))),
        }
    }

    /// Ends a saga that cannot go on by itself.
    pub(crate) async fn park(&self, saga: &Saga, lease: Option<u64>, reason: String) -> Result<(), SagaError> {
        tracing::error!(saga = %saga.key, function = %saga.function, %reason, "a saga needs attention");
        let (status, at_ms) = (Status::NeedsAttention, self.clock.now_ms());
        let (saga_position, reason) = (saga.position, Some(reason));
        let ended = Ended { saga: saga_position, status, failed: true, at_ms, answer: None, reason };
        self.end(saga, lease, ended).await
    }

    pub(crate) fn started(&self, saga: &Saga) -> Result<Started, SagaError> {
        match self.entry(saga.position)? {
            Entry::Started(started) => Ok(started),
            _ => Err(SagaError::Unavailable(format!("the journal of saga {} is damaged", saga.key))),
        }
    }

    pub(crate) fn history(&self, saga: &Saga) -> Result<History, SagaError> {
        let started = self.started(saga)?;
        let positions = saga.state().records.clone();
        let read = |position| Ok::<_, SagaError>((position, self.entry(position)?));
        let entries = positions.into_iter().map(read).collect::<Result<_, _>>()?;
        Ok(History { started, entries })
    }

    fn entry(&self, position: u64) -> Result<Entry, SagaError> {
        let record = self.log.read(position)?;
        Entry::decode(record.kind, record.version, &record.payload)
            .map_err(|error| SagaError::Unavailable(error.to_string()))
    }
}
