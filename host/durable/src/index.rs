//! What is kept in memory of each saga: who it is, where it stands, where its records are, and who runs it or waits for
//! it. Everything else is read from the journal when it is asked for.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::channel::oneshot;
use tokio::sync::Notify;

use crate::record::{Entry, Note, Order, Started, Tidings};
use crate::types::{EventKind, Phase, Status};

#[derive(Debug)]
pub(crate) struct Saga {
    pub key: Arc<str>,
    pub function: Arc<str>,
    /// Empty for a choreographed saga.
    pub component: Arc<str>,
    pub correlation_id: Arc<str>,
    /// Position of its first record; orders sagas by their start.
    pub position: u64,
    pub started_at_ms: u64,
    state: Mutex<SagaState>,
}

#[derive(Debug)]
pub(crate) struct SagaState {
    /// Without regard to `paused`.
    pub status: Status,
    pub paused: bool,
    /// Its code: what it began with, or was migrated to.
    pub digest: Arc<str>,
    pub ended_at_ms: Option<u64>,
    /// Positions of the records after the first; of the current generation.
    pub records: Vec<u64>,
    /// The log's position after the last record: what has to be flushed before the next effect.
    pub end: u64,
    pub generation: u32,
    /// The live run, if there is one.
    pub lease: Option<u64>,
    /// No run is live because the saga waits: until this time, or else for a signal, a child or an order.
    pub suspended: Option<Option<u64>>,
    /// A run ended early, and nothing is recorded since: the steps that run next may have been running then.
    pub cut_short: bool,
    /// How many leases were ever given.
    pub runs: u64,
    /// Runs in a row that ended without a new record.
    pub idle_runs: u32,
    /// Runs in a row that the host could not begin.
    pub refused: u32,
    pub last_failure: Option<Box<str>>,
    /// Recovery is calling it now.
    pub resuming: bool,
    /// It became due while recovery was calling it.
    pub due_again: bool,
    /// The next retry waits no longer.
    pub hurry: bool,
    /// A person has decided to leave it as it is.
    pub abandoned: bool,
    /// Why it is to be cancelled.
    pub cancelled: Option<Arc<str>>,
    pub deadline_ms: Option<u64>,
    /// A compensation has begun.
    pub undone: bool,
    pub open: Vec<OpenAttempt>,
    pub waiting: Vec<oneshot::Sender<()>>,
    /// Tells the live run that something has changed.
    pub changed: Option<Arc<Notify>>,
    /// How often something came from outside. A run that has not looked since does not end to wait.
    pub changes: u32,
    /// What most sagas do not have.
    pub extra: Option<Box<Extra>>,
}

/// What a saga has only if it uses it.
#[derive(Debug, Default)]
pub(crate) struct Extra {
    pub attributes: BTreeMap<Arc<str>, Arc<str>>,
    /// In the order of their arrival.
    pub signals: Vec<Arrived>,
    /// Names and ids of the signals, those without an id left out.
    pub signal_ids: HashSet<(String, String)>,
    /// A run that only tries whether other code fits.
    pub rehearsal: Option<Rehearsal>,
}

/// A signal that has arrived.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    pub name: Box<str>,
    pub position: u64,
    /// The code has been told of it.
    pub taken: bool,
}

/// Whether the journal fits other code.
#[derive(Clone, Debug)]
pub(crate) struct Rehearsal {
    pub digest: Arc<str>,
    pub verdict: Option<Result<(), String>>,
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

    /// Whether it is a view of functions that react to each other's events: nobody resumes it.
    pub(crate) fn is_choreographed(&self) -> bool {
        self.component.is_empty()
    }
}

impl SagaState {
    fn new(digest: Arc<str>, end: u64) -> Self {
        Self {
            status: Status::Running,
            paused: false,
            digest,
            ended_at_ms: None,
            records: Vec::new(),
            end,
            generation: 0,
            lease: None,
            suspended: None,
            cut_short: false,
            runs: 0,
            idle_runs: 0,
            refused: 0,
            last_failure: None,
            resuming: false,
            due_again: false,
            hurry: false,
            abandoned: false,
            cancelled: None,
            deadline_ms: None,
            undone: false,
            open: Vec::new(),
            waiting: Vec::new(),
            changed: None,
            changes: 0,
            extra: None,
        }
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.status.is_final()
    }

    /// Whether a parent waits no longer: a saga that needs attention may still be brought to an end.
    pub(crate) fn has_answered(&self) -> bool {
        self.is_ended() && (self.status != Status::NeedsAttention || self.abandoned)
    }

    /// What is shown: a pause stands before what is paused.
    pub(crate) fn shown_status(&self) -> Status {
        if self.paused && !self.is_ended() { Status::Paused } else { self.status }
    }

    /// Whether it is being tried whether code of this digest fits.
    pub(crate) fn rehearses(&self, digest: &str) -> bool {
        let rehearsal = self.extra.as_ref().and_then(|extra| extra.rehearsal.as_ref());
        rehearsal.is_some_and(|rehearsal| *rehearsal.digest == *digest && rehearsal.verdict.is_none())
    }

    pub(crate) fn extra(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    /// When recovery has to go on with it; none if it waits for something else than a time.
    pub(crate) fn due_at_ms(&self) -> Option<u64> {
        if self.is_ended() || self.paused {
            return None;
        }
        match self.suspended {
            Some(wakes_at_ms) => wakes_at_ms.into_iter().chain(self.deadline_ms).min(),
            None => Some(0),
        }
    }

    /// Tells the live run, if there is one, to look again.
    pub(crate) fn notify(&mut self) -> bool {
        // Also where a run lives: one that only tries other code does not take note.
        self.wake();
        if let (Some(_), Some(changed)) = (self.lease, &self.changed) {
            changed.notify_waiters();
            return true;
        }
        false
    }

    /// Notes a record of this saga that stands at `position` and ends before `end`.
    pub(crate) fn note(&mut self, position: u64, end: u64, entry: &Entry) {
        self.end = end;
        match entry {
            Entry::Started(_) | Entry::Ticked(_) => return,
            Entry::Suspended(suspended) => {
                self.cut_short = false;
                self.suspended = Some(suspended.wakes_at_ms);
                return;
            }
            Entry::Signalled(signalled) => {
                self.wake();
                let arrived = Arrived { name: signalled.name.as_str().into(), position, taken: false };
                let extra = self.extra();
                extra.signals.push(arrived);
                if !signalled.id.is_empty() {
                    extra.signal_ids.insert((signalled.name.clone(), signalled.id.clone()));
                }
            }
            Entry::Noted(_, note) => self.note_own(note),
            Entry::Ordered(ordered) => self.note_order(&ordered.order, &ordered.reason),
            Entry::Continued(_) => self.note_continued(),
            Entry::Told(told) => {
                self.note_progress();
                if let Tidings::Signal(taken) = told.what {
                    self.extra().take(taken);
                }
            }
            Entry::Step(step) => {
                self.note_progress();
                self.undone |= step.phase == Phase::Undo;
                // A function may react to an event of a choreography that has ended.
                if !self.is_ended() {
                    self.status = if step.phase == Phase::Undo { Status::Compensating } else { Status::Running };
                }
            }
            Entry::TimerSet(_) | Entry::TimerFired(_) | Entry::Awaited(_) => self.note_progress(),
            Entry::Ended(ended) => {
                self.note_progress();
                self.status = ended.status;
                self.ended_at_ms = Some(ended.at_ms);
                self.open = Vec::new();
                self.paused = false;
            }
        }
        self.records.push(position);
        if self.is_ended() {
            self.records.shrink_to_fit();
        }
    }

    /// A run has come further.
    fn note_progress(&mut self) {
        self.cut_short = false;
        self.suspended = None;
    }

    fn note_own(&mut self, note: &Note) {
        match note {
            Note::Exposed { .. } => {}
            Note::Attributes(pairs) => {
                let attributes = &mut self.extra().attributes;
                attributes.extend(pairs.iter().map(|(name, value)| (Arc::from(&**name), Arc::from(&**value))));
            }
            Note::Deadline { at_ms } => self.deadline_ms = Some(*at_ms),
        }
    }

    /// What came from outside ends a wait.
    pub(crate) fn wake(&mut self) {
        self.changes = self.changes.wrapping_add(1);
        if self.suspended.is_some() {
            self.suspended = Some(Some(0));
        }
    }

    fn note_order(&mut self, order: &Order, reason: &str) {
        self.wake();
        match order {
            Order::Pause => self.paused = true,
            Order::Resume => self.paused = false,
            Order::Cancel => self.cancelled = Some(reason.into()),
            Order::Rewind { .. } => {
                // Whoever wants it to go on wants it to go on past what ended it.
                (self.cancelled, self.deadline_ms) = (None, None);
                self.reopen(Status::Running);
            }
            Order::Retry if self.undone => self.reopen(Status::Compensating),
            Order::Retry => self.reopen(Status::Running),
            Order::Skip { .. } => {}
            Order::Abandon => self.abandoned = true,
            Order::Migrate { digest } => self.digest = Arc::from(&**digest),
        }
    }

    fn note_continued(&mut self) {
        self.note_progress();
        self.generation += 1;
        self.undone = false;
        self.status = Status::Running;
        let kept = self.extra.iter_mut().flat_map(|extra| {
            extra.signals.retain(|signal| !signal.taken);
            extra.signals.iter().map(|signal| signal.position)
        });
        self.records = kept.collect();
        self.open.clear();
    }

    /// It goes on after its end.
    fn reopen(&mut self, status: Status) {
        self.status = status;
        self.ended_at_ms = None;
        self.abandoned = false;
        (self.idle_runs, self.refused) = (0, 0);
        self.suspended = None;
    }
}

impl Extra {
    fn take(&mut self, position: u64) {
        if let Some(arrived) = self.signals.iter_mut().find(|arrived| arrived.position == position) {
            arrived.taken = true;
        }
    }
}

/// Where a schedule stands, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ticks {
    pub decided_ms: u64,
    pub begun_ms: Option<u64>,
    /// Of its last record.
    pub position: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Index {
    by_key: HashMap<Arc<str>, Arc<Saga>>,
    by_position: BTreeMap<u64, Arc<Saga>>,
    /// Who waits for a saga of a key to begin.
    pub awaited: HashMap<String, Vec<oneshot::Sender<()>>>,
    /// Positions of the sagas that wait for the end of a saga of a key.
    parents: HashMap<Arc<str>, Vec<u64>>,
    /// The last time that each schedule was due, and the last one at which a saga began.
    pub ticks: HashMap<String, Ticks>,
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
        let key: Arc<str> = Arc::from(&*started.key);
        let state = SagaState::new(self.text(&started.digest), end);
        let correlation_id =
            if *started.correlation_id == *key { Arc::clone(&key) } else { Arc::from(&*started.correlation_id) };
        let saga = Arc::new(Saga {
            key,
            function: self.text(&started.function),
            component: self.text(&started.component),
            correlation_id,
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

    /// The first position that is needed; `end` if none is. Schedules that were not due since `ended_before_ms` are
    /// gone.
    pub(crate) fn oldest_position(&self, ended_before_ms: u64, end: u64) -> u64 {
        let sagas = self.by_position.keys().next().copied();
        let ticks = self.ticks.values().filter(|ticks| ticks.decided_ms >= ended_before_ms);
        ticks.map(|ticks| ticks.position).chain(sagas).min().unwrap_or(end)
    }

    /// Notes that the saga at `parent` waits for the end of the saga `child`.
    pub(crate) fn await_child(&mut self, child: &str, parent: u64) {
        let parents = self.parents.entry(child.into()).or_default();
        if !parents.contains(&parent) {
            parents.push(parent);
        }
    }

    /// Notes that the saga at `parent` waits no longer.
    pub(crate) fn forget_parent(&mut self, child: &str, parent: u64) {
        if let Some(parents) = self.parents.get_mut(child) {
            parents.retain(|position| *position != parent);
            if parents.is_empty() {
                self.parents.remove(child);
            }
        }
    }

    /// Who waits for the end of this saga; they are told once.
    pub(crate) fn take_parents(&mut self, child: &str) -> Vec<u64> {
        self.parents.remove(child).unwrap_or_default()
    }

    /// Wakes who waits for a child that has ended.
    pub(crate) fn wake_parents(&mut self) {
        let answered = |child: &str| self.by_key.get(child).is_none_or(|child| child.state().has_answered());
        let told = |(child, parents): (&Arc<str>, &mut Vec<u64>)| answered(child).then(|| std::mem::take(parents));
        let told: Vec<u64> = self.parents.iter_mut().filter_map(told).flatten().collect();
        self.parents.retain(|_, parents| !parents.is_empty());
        for parent in told.into_iter().filter_map(|parent| self.at(parent)) {
            parent.state().wake();
        }
    }

    /// Puts a record into the state of its saga and into what is known across sagas. Answers the position of its saga's
    /// first record if that is not there.
    pub(crate) fn place(&mut self, position: u64, entry: &Entry) -> Option<u64> {
        match entry {
            Entry::Started(started) => {
                self.insert(started, position, position);
                return None;
            }
            Entry::Ticked(ticked) => {
                let last = self.ticks.entry(ticked.schedule.clone()).or_default();
                last.decided_ms = ticked.at_ms.max(last.decided_ms);
                last.position = position.max(last.position);
                if ticked.begun {
                    last.begun_ms = Some(ticked.at_ms);
                }
                return None;
            }
            Entry::Awaited(awaited) if awaited.kind == EventKind::Child => {
                self.await_child(awaited.child.as_deref().unwrap_or_default(), awaited.saga);
            }
            _ => {}
        }
        let of = entry.saga()?;
        match self.at(of) {
            Some(saga) => {
                saga.state().note(position, position, entry);
                None
            }
            None => Some(of),
        }
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
