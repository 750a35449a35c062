//! The code of a saga as the guest library runs it: each branch a future, losers dropped, compensations last in first
//! out, and the journal told what the code has gone on from.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::{BoxFuture, Either, FutureExt, join_all, select, select_all, try_join_all};

use super::program::{Attempt, Comes, ONE_AT_A_TIME, Op, Program, Step, TWO_IN_TEN_SECONDS};
use super::world::{Began, Epoch};
use crate::replay::EventId;
use crate::*;

type Path = Vec<(u32, usize)>;

/// Why the code of a saga goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// An error that is compensated.
    Failed,
    /// This run has ended.
    Gone,
}

/// One run.
struct Guest {
    epoch: Arc<Epoch>,
    key: String,
    run: Arc<Run>,
    program: Arc<Program>,
    local: Mutex<Local>,
    number: u64,
}

#[derive(Default)]
struct Local {
    stopped: bool,
    undos: Vec<Arc<Undo>>,
    occurrences: HashMap<(EventKind, String), u32>,
    trap: Option<oneshot::Sender<()>>,
}

struct Undo {
    step: Step,
    occurrence: u32,
    settled: Mutex<Option<Outcome>>,
    path: Path,
}

/// Runs the saga `key`, or goes on with it, as a call of its function does.
pub(super) async fn call(epoch: Arc<Epoch>, key: String) -> Result<(), SagaError> {
    let program = epoch.world.program(&key);
    let starter = crate::testing::starter();
    let run = match epoch.sagas.begin(&starter, "enroll", &key, b"first").await? {
        Begun::Finished(answer) => {
            epoch.world.answered(&key, &answer);
            return Ok(());
        }
        Begun::Busy => return Ok(()),
        Begun::Run(run) => run,
    };
    let number = epoch.world.run_began(&epoch, &key, &run);
    let (trap, trapped) = oneshot::channel();
    let local = Mutex::new(Local { trap: Some(trap), ..Local::default() });
    let guest = Guest { epoch, key, run, program, local, number };
    let gone = match select(guest.body().boxed(), trapped).await {
        Either::Left((ended, _)) => ended.is_err(),
        Either::Right(_) => true,
    };
    guest.epoch.world.run_ended(&guest.key, guest.number);
    if gone { Err(SagaError::LeaseLost) } else { Ok(()) }
}

/// The code hears no more of what it has asked for.
struct Hearing<'a> {
    guest: &'a Guest,
    id: EventId,
}

impl Drop for Hearing<'_> {
    fn drop(&mut self) {
        self.guest.epoch.world.asks_no_more(self.guest.number, &self.id, self.guest.local().stopped);
        self.guest.run.seen(self.id.kind, &self.id.name);
    }
}

impl Guest {
    fn local(&self) -> MutexGuard<'_, Local> {
        self.local.lock().unwrap()
    }

    /// Before each call of the journal.
    fn go_on(&self) -> Result<(), Stop> {
        if self.epoch.world.traps() {
            self.epoch.world.was_trapped(&self.key);
            let mut local = self.local();
            local.stopped = true;
            let _ = local.trap.take().map(|trap| trap.send(()));
        }
        if self.local().stopped { Err(Stop::Gone) } else { Ok(()) }
    }

    fn check<T>(&self, answer: Result<T, SagaError>) -> Result<T, Stop> {
        answer.map_err(|error| {
            self.epoch.world.refused(&self.key, &error);
            self.local().stopped = true;
            Stop::Gone
        })
    }

    fn id(&self, kind: EventKind, name: &str) -> EventId {
        let mut local = self.local();
        let count = local.occurrences.entry((kind, name.to_owned())).or_default();
        *count += 1;
        EventId::new(kind, name, *count)
    }

    fn asks(&self, id: &EventId) -> Hearing<'_> {
        self.epoch.world.asks(&self.epoch, &self.key, self.number, id);
        Hearing { guest: self, id: id.clone() }
    }

    fn told(&self, id: &EventId, recording: &Recording) {
        self.epoch.world.told(&self.epoch, &self.key, self.number, id, recording);
    }

    async fn body(&self) -> Result<(), Stop> {
        if let Some(deadline_ms) = self.program.deadline_ms {
            self.epoch.world.asks_deadline(&self.epoch, &self.key, deadline_ms);
            self.check(self.run.set_deadline(deadline_ms))?;
        }
        let generation = self.run.generation() as usize;
        let is_last = generation + 1 == self.program.generations.len();
        let ended = self.ops(&self.program.generations[generation], Vec::new()).await;
        self.go_on()?;
        if ended.is_ok() && !is_last {
            self.epoch.world.ends(&self.key, self.number);
            match self.run.continue_as_new(format!("{}", generation + 1).into_bytes()).await {
                // A compensation did not succeed.
                Err(SagaError::Conflict(_)) => return self.check(self.run.finish(true, b"failed".to_vec()).await),
                continued => return self.check(continued),
            }
        }
        let failed = ended.is_err() || self.program.fails;
        if failed {
            self.compensate(|_| true).await?;
        }
        self.go_on()?;
        self.epoch.world.ends(&self.key, self.number);
        let answer = if failed { b"failed".to_vec() } else { b"done".to_vec() };
        self.check(self.run.finish(failed, answer.clone()).await)?;
        self.epoch.world.finished(&self.key, &answer);
        Ok(())
    }

    fn ops<'a>(&'a self, ops: &'a [Op], path: Path) -> BoxFuture<'a, Result<(), Stop>> {
        async move {
            for op in ops {
                self.op(op, &path).await?;
            }
            Ok(())
        }
        .boxed()
    }

    async fn op(&self, op: &Op, path: &Path) -> Result<(), Stop> {
        match op {
            Op::Step(step) => self.step(step, path).await,
            Op::Sleep { name, ms } => self.sleep(name, *ms).await,
            Op::Signal { name, timeout_ms } => self.signal(name, *timeout_ms).await,
            Op::Child { name, program } => self.child(name, *program).await,
            Op::Join(all) => {
                let all: Vec<_> = all.iter().map(|ops| self.ops(ops, path.clone())).collect();
                join_all(all).await.into_iter().collect()
            }
            Op::TryJoin(all) => {
                let all: Vec<_> = all.iter().map(|ops| self.ops(ops, path.clone())).collect();
                try_join_all(all).await.map(drop)
            }
            Op::Race { number, branches } => self.race(*number, branches, path).await,
            Op::Fan { steps, width } => {
                let all: Vec<_> = steps.iter().map(|step| self.step(step, path).boxed()).collect();
                at_most(*width, all).await.into_iter().collect()
            }
            Op::Expose(value) => self.check(self.run.expose("state", vec![*value])),
            Op::Attribute(value) => self.check(self.run.set_attributes(vec![("state".to_owned(), value.to_string())])),
        }
    }

    async fn race<'a>(&'a self, number: u32, branches: &'a [Vec<Op>], path: &Path) -> Result<(), Stop> {
        let at = path.len();
        let branch = |(index, ops): (usize, &'a Vec<Op>)| self.ops(ops, [&path[..], &[(number, index)]].concat());
        let all: Vec<_> = branches.iter().enumerate().map(branch).collect();
        let (ended, winner, losers) = select_all(all).await;
        drop(losers);
        if ended == Err(Stop::Gone) {
            return ended;
        }
        let lost = |undo: &Undo| undo.path.get(at).is_some_and(|(of, index)| *of == number && *index != winner);
        self.compensate(lost).await?;
        ended
    }

    async fn compensate(&self, wanted: impl Fn(&Undo) -> bool) -> Result<(), Stop> {
        loop {
            self.go_on()?;
            let is_wanted = |undo: &&Arc<Undo>| *undo.settled.lock().unwrap() != Some(Outcome::Error) && wanted(undo);
            let Some(undo) = self.local().undos.iter().rev().find(is_wanted).cloned() else { return Ok(()) };
            let id = self.id(EventKind::Undo, &undo.step.name);
            let attempts = undo.step.undo.as_deref().unwrap();
            let key = self.step_key(&undo.step.name, undo.occurrence);
            let options = Step { limit: None, ..undo.step.clone() }.options();
            self.settle(&id, &key, options, (attempts, attempts)).await?;
            self.local().undos.retain(|other| !Arc::ptr_eq(other, &undo));
        }
    }

    fn step_key(&self, name: &str, occurrence: u32) -> String {
        match self.run.generation() {
            0 => format!("{}/{name}#{occurrence}", self.key),
            generation => format!("{}~{generation}/{name}#{occurrence}", self.key),
        }
    }

    async fn step(&self, step: &Step, path: &Path) -> Result<(), Stop> {
        self.go_on()?;
        let id = self.id(EventKind::Do, &step.name);
        let (occurrence, path) = (id.occurrence, path.clone());
        let undo = step.undo.is_some().then(|| {
            let undo = Arc::new(Undo { step: step.clone(), occurrence, settled: Mutex::default(), path });
            self.local().undos.push(Arc::clone(&undo));
            undo
        });
        let key = self.step_key(&step.name, id.occurrence);
        let recording = self.settle(&id, &key, step.options(), (&step.attempts, &step.again)).await?;
        if let Some(undo) = undo {
            *undo.settled.lock().unwrap() = Some(recording.outcome);
        }
        if recording.outcome == Outcome::Success { Ok(()) } else { Err(Stop::Failed) }
    }

    async fn settle(
        &self,
        id: &EventId,
        key: &str,
        options: StepOptions,
        attempts: (&[Attempt], &[Attempt]),
    ) -> Result<Recording, Stop> {
        let phase = if id.kind == EventKind::Undo { Phase::Undo } else { Phase::Do };
        loop {
            self.go_on()?;
            let _hearing = self.asks(id);
            let entered = self.run.enter(&id.name, phase, options.clone()).await;
            let execution = match self.check(entered)? {
                Entered::Recorded(recording) => {
                    self.told(id, &recording);
                    return Ok(recording);
                }
                Entered::Execute(execution) => execution,
            };
            if phase == Phase::Do {
                assert_eq!(execution.key, key);
            }
            let limits = limit_of(&options);
            let began = self.epoch.world.executes(&self.epoch, (&self.key, self.number), id, &execution, limits);
            let result = self.attempt(key, phase, &execution, &began, attempts).await;
            self.go_on()?;
            let left = self.run.leave(&id.name, phase, result).await;
            match self.check(left)? {
                Left::Settled(recording) => {
                    self.epoch.world.left(began.serial, false);
                    self.told(id, &recording);
                    return Ok(recording);
                }
                Left::Again => self.epoch.world.left(began.serial, true),
            }
        }
    }

    async fn attempt(
        &self,
        key: &str,
        phase: Phase,
        execution: &Execution,
        began: &Began,
        (first, again): (&[Attempt], &[Attempt]),
    ) -> AttemptResult {
        let attempts = if began.is_again { again } else { first };
        let attempt = attempts.get(execution.attempt as usize - 1).or(attempts.last()).unwrap();
        let wait = |ms: u64| self.epoch.sagas.clock().sleep(Duration::from_millis(ms));
        wait(attempt.takes_ms / 2).await;
        if matches!(attempt.comes, Comes::Success | Comes::Lost { ran: true }) {
            self.epoch.world.effect(key, phase);
        }
        wait(attempt.takes_ms - attempt.takes_ms / 2).await;
        self.epoch.world.ran(began.serial, attempt.comes);
        let payload = began.serial.to_string().into_bytes();
        match attempt.comes {
            Comes::Success => AttemptResult::Success(payload),
            Comes::Error => AttemptResult::Error(payload),
            Comes::NotRun { retry_after_ms } => AttemptResult::Failed { maybe_ran: false, retry_after_ms, payload },
            Comes::Lost { .. } => AttemptResult::Failed { maybe_ran: true, retry_after_ms: None, payload },
        }
    }

    async fn sleep(&self, name: &str, ms: u64) -> Result<(), Stop> {
        self.go_on()?;
        let id = self.id(EventKind::Timer, name);
        let _hearing = self.asks(&id);
        self.event(&id, self.run.sleep(name, ms)).await.map(drop)
    }

    async fn signal(&self, name: &str, timeout_ms: Option<u64>) -> Result<(), Stop> {
        self.go_on()?;
        let id = self.id(EventKind::Signal, name);
        let _hearing = self.asks(&id);
        self.event(&id, self.run.signal(name, timeout_ms)).await.map(drop)
    }

    async fn event(
        &self,
        id: &EventId,
        event: impl Future<Output = Result<Recording, SagaError>>,
    ) -> Result<Recording, Stop> {
        let recording = event.await;
        let recording = self.check(recording)?;
        self.told(id, &recording);
        if recording.cancelled { Err(Stop::Failed) } else { Ok(recording) }
    }

    async fn child(&self, name: &str, program: usize) -> Result<(), Stop> {
        let child = self.epoch.world.child_key(&self.key, self.run.generation(), name, program);
        self.begin_child(name, &child).await?;
        self.go_on()?;
        let id = self.id(EventKind::Child, name);
        let _hearing = self.asks(&id);
        let recording = self.event(&id, self.run.child(name, &child)).await?;
        let ok = recording.outcome == Outcome::Success && recording.payload != b"failed";
        if ok { Ok(()) } else { Err(Stop::Failed) }
    }

    async fn begin_child(&self, name: &str, child: &str) -> Result<(), Stop> {
        let id = self.id(EventKind::Do, name);
        loop {
            self.go_on()?;
            let _hearing = self.asks(&id);
            let entered = self.run.enter(name, Phase::Do, crate::testing::options()).await;
            let recording = match self.check(entered)? {
                Entered::Recorded(recording) => recording,
                Entered::Execute(execution) => {
                    let saga = (&*self.key, self.number);
                    let began = self.epoch.world.executes(&self.epoch, saga, &id, &execution, None);
                    self.epoch.spawn(call(Arc::clone(&self.epoch), child.to_owned()).map(drop).boxed());
                    let started = self.epoch.sagas.started(child).await;
                    self.check(started)?;
                    self.go_on()?;
                    let payload = began.serial.to_string().into_bytes();
                    self.epoch.world.ran(began.serial, Comes::Success);
                    let left = self.run.leave(name, Phase::Do, AttemptResult::Success(payload)).await;
                    match self.check(left)? {
                        Left::Settled(recording) => {
                            self.epoch.world.left(began.serial, false);
                            recording
                        }
                        Left::Again => continue,
                    }
                }
            };
            self.told(&id, &recording);
            return if recording.outcome == Outcome::Success { Ok(()) } else { Err(Stop::Failed) };
        }
    }
}

fn limit_of(options: &StepOptions) -> Option<&'static str> {
    let name = &options.limits.first()?.name;
    [ONE_AT_A_TIME, TWO_IN_TEN_SECONDS].into_iter().find(|known| known == name)
}

/// Runs so many at a time; the next begins in the turn in which one ends. All that run are asked in each turn and in
/// their order, or what a branch has asked for would be left to chance.
pub(in crate::tests) async fn at_most<T>(width: usize, futures: Vec<BoxFuture<'_, T>>) -> Vec<T> {
    let mut waiting = futures.into_iter();
    let mut running: Vec<_> = waiting.by_ref().take(width).collect();
    let mut ended = Vec::new();
    std::future::poll_fn(move |context| {
        let mut index = 0;
        while let Some(future) = running.get_mut(index) {
            let Poll::Ready(value) = future.as_mut().poll(context) else {
                index += 1;
                continue;
            };
            ended.push(value);
            match waiting.next() {
                Some(next) => running[index] = next,
                None => drop(running.remove(index)),
            }
        }
        if running.is_empty() { Poll::Ready(std::mem::take(&mut ended)) } else { Poll::Pending }
    })
    .await
}
