//! What is kept in memory of each saga: who it is, where it stands, where its records are, and who runs it or waits for
//! it. Everything else is read from the journal when it is asked for.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::channel::oneshot;

use crate::record::{Entry, Started};
use crate::types::{Phase, Status};

#[derive(Debug)]
pub(crate) struct Saga {
    pub key: Arc<str>,
    pub function: Arc<str>,
    pub component: Arc<str>,
    pub digest: Arc<str>,
    /// Position of its first record; orders sagas by their start.
    pub position: u64,
    pub started_at_ms: u64,
    state: Mutex<SagaState>,
}

#[derive(Debug)]
pub(crate) struct SagaState {
    pub status: Status,
    pub ended_at_ms: Option<u64>,
    /// Positions of the records after the first.
    pub records: Vec<u64>,
    /// The log's position after the last record: what has to be flushed before the next effect.
    pub end: u64,
    /// The live run, if there is one.
    pub lease: Option<u64>,
    /// No run is live because the saga waits for a time.
    pub suspended: bool,
    /// A run ended early, and nothing is recorded since: the steps that run next may have been running then.
    pub cut_short: bool,
    /// How many leases were ever given.
    pub runs: u64,
    /// Runs in a row that ended without a new record.
    pub idle_runs: u32,
    pub last_failure: Option<String>,
    /// Recovery is calling it now.
    pub resuming: bool,
    /// It became due while recovery was calling it.
    pub due_again: bool,
    pub open: Vec<OpenAttempt>,
    pub waiting: Vec<oneshot::Sender<()>>,
}

/// An attempt that runs now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenAttempt {
    pub name: String,
    pub phase: Phase,
    pub occurrence: u32,
    pub attempt: u32,
    pub started_at_ms: u64,
    pub retry: crate::types::RetryPolicy,
}

impl Saga {
    pub(crate) fn state(&self) -> MutexGuard<'_, SagaState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SagaState {
    pub(crate) fn is_ended(&self) -> bool {
        self.status.is_final()
    }

    /// Notes a record of this saga that stands at `position` and ends before `end`.
    pub(crate) fn note(&mut self, position: u64, end: u64, entry: &Entry) {
        self.records.push(position);
        self.end = end;
        self.cut_short = false;
        match entry {
            Entry::Step(step) if step.phase == Phase::Undo => self.status = Status::Compensating,
            Entry::Ended(ended) => {
                self.status = ended.status;
                self.ended_at_ms = Some(ended.at_ms);
                self.open = Vec::new();
                self.records.shrink_to_fit();
            }
            _ => {}
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Index {
    by_key: HashMap<Arc<str>, Arc<Saga>>,
    by_position: BTreeMap<u64, Arc<Saga>>,
    /// Who waits for a saga of a key to begin.
    pub awaited: HashMap<String, Vec<oneshot::Sender<()>>>,
    /// Sagas share these texts.
    texts: HashSet<Arc<str>>,
}

impl Index {
    pub(crate) fn get(&self, key: &str) -> Option<&Arc<Saga>> {
        self.by_key.get(key)
    }

    pub(crate) fn at(&self, position: u64) -> Option<&Arc<Saga>> {
        self.by_position.get(&position)
    }

    /// In the order of their start.
    pub(crate) fn all(&self) -> impl DoubleEndedIterator<Item = &Arc<Saga>> {
        self.by_position.values()
    }

    /// Those that started before `position`, newest first.
    pub(crate) fn before(&self, position: u64) -> impl Iterator<Item = &Arc<Saga>> {
        self.by_position.range(..position).rev().map(|(_, saga)| saga)
    }

    /// Puts in a saga whose first record stands at `position`, and wakes who waited for it.
    pub(crate) fn insert(&mut self, started: &Started, position: u64, end: u64) -> Arc<Saga> {
        let state = SagaState {
            status: Status::Running,
            ended_at_ms: None,
            records: Vec::new(),
            end,
            lease: None,
            suspended: false,
            cut_short: false,
            runs: 0,
            idle_runs: 0,
            last_failure: None,
            resuming: false,
            due_again: false,
            open: Vec::new(),
            waiting: Vec::new(),
        };
        let saga = Arc::new(Saga {
            key: Arc::from(&*started.key),
            function: self.text(&started.function),
            component: self.text(&started.component),
            digest: self.text(&started.digest),
            position,
            started_at_ms: started.at_ms,
            state: Mutex::new(state),
        });
        self.by_key.insert(Arc::clone(&saga.key), Arc::clone(&saga));
        self.by_position.insert(position, Arc::clone(&saga));
        for waiting in self.awaited.remove(&*saga.key).unwrap_or_default() {
            // Who waited may have gone.
            let _ = waiting.send(());
        }
        saga
    }

    pub(crate) fn remove(&mut self, saga: &Saga) {
        self.by_key.remove(&saga.key);
        self.by_position.remove(&saga.position);
    }

    fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return Arc::clone(known);
        }
        let text: Arc<str> = Arc::from(text);
        self.texts.insert(Arc::clone(&text));
        text
    }
}
