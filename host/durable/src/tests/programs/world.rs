//! What can be seen of sagas from outside: effects, attempts, signals, orders, what runs were told. It outlasts crashes,
//! and holds the engine to what it has promised as soon as that can be seen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use futures::future::BoxFuture;
use weft_core::Clock;
use weft_core::clock::ManualClock;

use super::program::{Comes, ONE_AT_A_TIME, Program, Scenario, TWO_IN_TEN_SECONDS};
use crate::replay::EventId;
use crate::*;

/// From one start of the host to its end.
pub(super) struct Epoch {
    pub world: Arc<World>,
    pub sagas: Sagas,
    pub clock: Arc<ManualClock>,
    pub number: usize,
    pub spawned: Mutex<Vec<BoxFuture<'static, ()>>>,
}

impl Epoch {
    pub(super) fn spawn(&self, future: BoxFuture<'static, ()>) {
        self.spawned.lock().unwrap().push(future);
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    pub(super) fn tells(&self, line: impl FnOnce() -> String) {
        let at_ms = self.now_ms() - crate::testing::START_MS;
        self.world.tells(|| format!("{at_ms} {}", line()));
    }
}

pub(super) type Trace = Vec<(EventId, Recording)>;

/// One attempt that was run.
#[derive(Debug)]
pub(super) struct Ran {
    pub saga: String,
    pub generation: u32,
    pub id: EventId,
    pub attempt: u32,
    pub comes: Option<Comes>,
    /// Its result was taken; `true`: and it is to be tried again.
    pub left: Option<bool>,
    started_ms: u64,
    epoch: usize,
    limit: Option<&'static str>,
    running: bool,
}

#[derive(Debug, Default)]
pub(super) struct RunFacts {
    pub generation: u32,
    pub trace: Trace,
    pub pending: BTreeSet<(EventKind, String, u32)>,
    pub live: bool,
}

#[derive(Debug, Default)]
pub(super) struct SagaFacts {
    pub begun: bool,
    /// A run of it was cut short.
    pub cut: bool,
    pub cancel_asked: bool,
    pub cancelled: bool,
    pub paused: bool,
    pub deadline_ms: Option<u64>,
    /// By generation: what was durable.
    promised: BTreeMap<u32, Trace>,
    /// By generation: what the run was told that came to its end.
    pub final_traces: BTreeMap<u32, Trace>,
    pub last_run: Option<u64>,
    pub finished: Option<Vec<u8>>,
    /// When something was first asked for, by generation.
    pub asked_ms: BTreeMap<(u32, EventKind, String, u32), u64>,
}

#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub saga: String,
    pub name: String,
    pub payload: Vec<u8>,
    pub acked_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Effect {
    pub done: bool,
    pub undone: bool,
}

#[derive(Debug, Default)]
pub(super) struct Facts {
    programs: BTreeMap<String, usize>,
    pub sagas: BTreeMap<String, SagaFacts>,
    pub runs: BTreeMap<u64, RunFacts>,
    pub ran: Vec<Ran>,
    pub sent: Vec<Sent>,
    pub effects: BTreeMap<String, Effect>,
    pub next_event: usize,
    trap: Option<u32>,
    /// Until when a saga sleeps, as its journal says; no longer in here once something has happened to it.
    pub sleeping: BTreeMap<String, Option<u64>>,
    /// The machine has crashed or shuts down: calls are refused.
    pub closing: bool,
}

pub(super) struct World {
    pub scenario: Scenario,
    programs: Vec<Arc<Program>>,
    facts: Mutex<Facts>,
    /// What has happened, if one wants to know.
    pub story: Option<Mutex<Vec<String>>>,
}

/// An attempt that runs.
pub(super) struct Began {
    world: Arc<World>,
    pub serial: usize,
    pub is_again: bool,
}

impl Drop for Began {
    fn drop(&mut self) {
        if let Some(ran) = self.world.facts().ran.get_mut(self.serial) {
            ran.running = false;
        }
    }
}

fn pending_of(id: &EventId) -> (EventKind, String, u32) {
    (id.kind, id.name.clone(), id.occurrence)
}

impl World {
    pub(super) fn new(scenario: Scenario, with_story: bool) -> Self {
        let programs = scenario.programs.iter().cloned().map(Arc::new).collect();
        let mut facts = Facts::default();
        for root in 0..scenario.roots {
            facts.programs.insert(format!("k{root}"), root);
        }
        let story = with_story.then(Mutex::default);
        Self { scenario, programs, facts: Mutex::new(facts), story }
    }

    pub(super) fn tells(&self, line: impl FnOnce() -> String) {
        if let Some(story) = &self.story {
            story.lock().unwrap().push(line());
        }
    }

    pub(super) fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(super) fn program(&self, key: &str) -> Arc<Program> {
        Arc::clone(&self.programs[self.facts().programs[key]])
    }

    /// The saga of a program, if it is known by now.
    pub(super) fn key_of(&self, program: usize) -> Option<String> {
        self.facts().programs.iter().find(|(_, known)| **known == program).map(|(key, _)| key.clone())
    }

    pub(super) fn child_key(&self, parent: &str, generation: u32, name: &str, program: usize) -> String {
        let key = format!("{parent}/{generation}/{name}");
        self.facts().programs.insert(key.clone(), program);
        key
    }

    pub(super) fn run_began(&self, epoch: &Epoch, key: &str, run: &Run) -> u64 {
        let mut facts = self.facts();
        let number = (epoch.number as u64) << 32 | run.lease();
        epoch.tells(|| format!("{key} run {number:x} of generation {} begins", run.generation()));
        let run = RunFacts { generation: run.generation(), live: true, ..RunFacts::default() };
        facts.runs.insert(number, run);
        facts.sleeping.remove(key);
        // A run that began it may have been cut short before it was seen.
        let unseen = || SagaFacts { cut: epoch.number > 0, ..SagaFacts::default() };
        let saga = facts.sagas.entry(key.to_owned()).or_insert_with(unseen);
        assert!(!saga.paused, "{key} runs though it is paused");
        assert!(saga.finished.is_none(), "{key} runs though it has ended");
        saga.begun = true;
        saga.last_run = Some(number);
        number
    }

    pub(super) fn run_ended(&self, key: &str, number: u64) {
        self.tells(|| format!("{key} run {number:x} ends"));
        self.facts().runs.get_mut(&number).unwrap().live = false;
    }

    pub(super) fn traps(&self) -> bool {
        let mut facts = self.facts();
        match facts.trap {
            Some(0) => {
                facts.trap = None;
                true
            }
            Some(calls) => {
                facts.trap = Some(calls - 1);
                false
            }
            None => false,
        }
    }

    pub(super) fn set_trap(&self, calls: u32) {
        self.facts().trap = Some(calls);
    }

    pub(super) fn was_trapped(&self, key: &str) {
        self.facts().sagas.get_mut(key).unwrap().cut = true;
    }

    pub(super) fn refused(&self, key: &str, error: &SagaError) {
        self.tells(|| format!("{key} is refused: {error}"));
        let facts = self.facts();
        match error {
            SagaError::LeaseLost => {}
            SagaError::Unavailable(_) | SagaError::NotFound if facts.closing => {}
            error => panic!("{key}: {error}"),
        }
    }

    pub(super) fn asks(&self, epoch: &Epoch, key: &str, number: u64, id: &EventId) {
        epoch.tells(|| format!("{key} asks for {}", id.describe()));
        let mut facts = self.facts();
        let run = facts.runs.get_mut(&number).unwrap();
        run.pending.insert(pending_of(id));
        let generation = run.generation;
        let saga = facts.sagas.get_mut(key).unwrap();
        let asked = (generation, id.kind, id.name.clone(), id.occurrence);
        saga.asked_ms.entry(asked).or_insert(epoch.now_ms());
    }

    /// A run that has ended still says what it waited for.
    pub(super) fn asks_no_more(&self, number: u64, id: &EventId, ended: bool) {
        self.tells(|| format!("{number:x} asks no more for {}", id.describe()));
        if !ended {
            self.facts().runs.get_mut(&number).unwrap().pending.remove(&pending_of(id));
        }
    }

    pub(super) fn asks_deadline(&self, epoch: &Epoch, key: &str, after_ms: u64) {
        let mut facts = self.facts();
        let saga = facts.sagas.get_mut(key).unwrap();
        saga.deadline_ms.get_or_insert(epoch.now_ms() + after_ms);
    }

    pub(super) fn told(&self, epoch: &Epoch, key: &str, number: u64, id: &EventId, recording: &Recording) {
        epoch.tells(|| format!("{key} is told {} {recording:?}", id.describe()));
        let mut facts = self.facts();
        let facts = &mut *facts;
        let run = facts.runs.get_mut(&number).unwrap();
        let saga = facts.sagas.get_mut(key).unwrap();
        let promised = saga.promised.get(&run.generation).and_then(|promised| promised.get(run.trace.len()));
        let told = (id.clone(), recording.clone());
        if let Some(promised) = promised {
            assert_eq!(*promised, told, "{key} is told something else than before");
        }
        assert!(recording.at_ms <= epoch.now_ms(), "{key}: {told:?} is of the future");
        run.trace.push(told);
    }

    /// An attempt begins: everything that the code was told before is durable.
    pub(super) fn executes(
        self: &Arc<Self>,
        epoch: &Epoch,
        (key, number): (&str, u64),
        id: &EventId,
        execution: &Execution,
        limit: Option<&'static str>,
    ) -> Began {
        epoch.tells(|| format!("{key} runs {} {execution:?}", id.describe()));
        let mut facts = self.facts();
        let facts = &mut *facts;
        let run = &facts.runs[&number];
        let saga = facts.sagas.get_mut(key).unwrap();
        assert!(run.live && saga.last_run == Some(number), "{key}: {id:?} runs in a run that is over");
        assert!(!saga.paused, "{key}: {id:?} runs though the saga is paused");
        assert!(!saga.cancelled || id.kind == EventKind::Undo, "{key}: {id:?} runs though the saga is cancelled");
        let generation = run.generation;
        let promised = saga.promised.entry(generation).or_default();
        assert!(promised.len() <= run.trace.len(), "{key}: {id:?} runs before {:?} is told", promised[run.trace.len()]);
        *promised = run.trace.clone();
        assert!(!promised.iter().any(|(told, _)| told == id), "{key}: {id:?} runs after it was settled");
        let mine = |ran: &&mut Ran| ran.saga == key && ran.generation == generation && ran.id == *id;
        let mut before: Vec<_> = facts.ran.iter_mut().filter(mine).collect();
        // Its record may be durable though nobody was told.
        let last = before.iter_mut().rev().find(|ran| ran.attempt + 1 == execution.attempt && ran.comes.is_some());
        if let Some(last) = last {
            last.left = Some(true);
        }
        let again = before.iter().filter(|ran| ran.left == Some(true)).map(|ran| ran.attempt).max().unwrap_or_default();
        assert_eq!(execution.attempt, again + 1, "{key}: {id:?}: the budget of attempts: {before:?}");
        let is_again = before.iter().any(|ran| ran.attempt == execution.attempt);
        let started_ms = epoch.now_ms();
        let (saga, id, attempt) = (key.to_owned(), id.clone(), execution.attempt);
        let (comes, left, epoch) = (None, None, epoch.number);
        facts.ran.push(Ran { saga, generation, id, attempt, comes, left, started_ms, epoch, limit, running: true });
        facts.check_limits(epoch, limit);
        Began { world: Arc::clone(self), serial: facts.ran.len() - 1, is_again }
    }

    pub(super) fn ran(&self, serial: usize, comes: Comes) {
        let mut facts = self.facts();
        facts.ran[serial].comes = Some(comes);
        facts.ran[serial].running = false;
    }

    pub(super) fn left(&self, serial: usize, again: bool) {
        self.facts().ran[serial].left = Some(again);
    }

    /// A keyed commit: done once, undone for good.
    pub(super) fn effect(&self, key: &str, phase: Phase) {
        let mut facts = self.facts();
        let effect = facts.effects.entry(key.to_owned()).or_default();
        match phase {
            Phase::Do => effect.done |= !effect.undone,
            Phase::Undo => *effect = Effect { done: false, undone: true },
        }
    }

    pub(super) fn ends(&self, key: &str, number: u64) {
        self.tells(|| format!("{key} comes to its end"));
        let mut facts = self.facts();
        let run = &facts.runs[&number];
        let (generation, trace) = (run.generation, run.trace.clone());
        facts.sagas.get_mut(key).unwrap().final_traces.insert(generation, trace);
        // Who waits for a child may go on.
        facts.sleeping.clear();
    }

    pub(super) fn finished(&self, key: &str, answer: &[u8]) {
        let mut facts = self.facts();
        facts.sagas.get_mut(key).unwrap().finished = Some(answer.to_vec());
    }

    pub(super) fn answered(&self, key: &str, answer: &[u8]) {
        let facts = self.facts();
        let saga = &facts.sagas[key];
        assert!(!saga.final_traces.is_empty(), "{key} has answered without having come to its end");
        assert!(saga.finished.as_ref().is_none_or(|finished| finished == answer), "{key} answers otherwise");
    }
}

impl Ran {
    pub(super) fn is_running(&self, epoch: &Epoch) -> bool {
        self.running && self.epoch == epoch.number
    }

    pub(super) fn is_limited(&self) -> bool {
        self.limit == Some(ONE_AT_A_TIME)
    }
}

impl Facts {
    pub(super) fn program(&self, key: &str) -> usize {
        self.programs[key]
    }

    fn check_limits(&self, epoch: usize, limit: Option<&'static str>) {
        let same = |ran: &&Ran| ran.epoch == epoch && ran.limit == limit;
        match limit {
            Some(ONE_AT_A_TIME) => {
                let running = self.ran.iter().filter(same).filter(|ran| ran.running).count();
                assert_eq!(running, 1, "attempts at a time");
            }
            Some(TWO_IN_TEN_SECONDS) => {
                let starts: Vec<_> = self.ran.iter().filter(same).map(|ran| ran.started_ms).collect();
                if let [.., first, _, last] = starts[..] {
                    assert!(last >= first + 10_000, "more than two in ten seconds: {starts:?}");
                }
            }
            _ => {}
        }
    }

    /// The payloads of all signals of this name that the saga's code was told of, in order.
    pub(super) fn signals_told(&self, key: &str, name: &str) -> Vec<Vec<u8>> {
        let Some(saga) = self.sagas.get(key) else { return Vec::new() };
        let last = saga.last_run.and_then(|number| self.runs.get(&number));
        let generation = last.map_or(0, |run| run.generation);
        let before = saga.final_traces.range(..generation).map(|(_, trace)| trace);
        let all = before.chain(last.map(|run| &run.trace)).flatten();
        let told = all.filter(|(id, recording)| {
            id.kind == EventKind::Signal && id.name == name && recording.outcome == Outcome::Success
        });
        told.map(|(_, recording)| recording.payload.clone()).collect()
    }

    /// As [`Facts::signals_told`], of a saga that has ended.
    pub(super) fn signals_told_at_last(&self, key: &str, name: &str) -> Vec<Vec<u8>> {
        let all = self.sagas[key].final_traces.values().flatten();
        let told = all.filter(|(id, recording)| {
            id.kind == EventKind::Signal && id.name == name && recording.outcome == Outcome::Success
        });
        told.map(|(_, recording)| recording.payload.clone()).collect()
    }

    /// A saga that does not go on by itself waits for something that has not happened.
    pub(super) fn check_wakeups(&self, key: &str) {
        let Some(saga) = self.sagas.get(key) else { return };
        let Some(run) = saga.last_run.and_then(|number| self.runs.get(&number)) else { return };
        for (kind, name, _) in &run.pending {
            match kind {
                EventKind::Signal => {
                    let told = self.signals_told(key, name);
                    let sent = self.sent.iter().filter(|sent| sent.saga == key && sent.name == *name);
                    let mut untold = sent.filter(|sent| sent.acked_ms.is_some() && !told.contains(&sent.payload));
                    assert!(untold.next().is_none(), "{key} sleeps though signal {name} has come");
                }
                EventKind::Child => {
                    let child = self.sagas.get(&format!("{key}/{}/{name}", run.generation));
                    let ended = child.is_some_and(|child| child.finished.is_some());
                    assert!(!ended, "{key} sleeps though child {name} has ended");
                }
                kind => panic!("{key} sleeps for ever for {kind:?} {name}"),
            }
        }
    }
}
