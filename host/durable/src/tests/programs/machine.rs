//! A machine that runs a scenario: one thread, turn by turn as a dice says, a clock that moves only when nothing else
//! does, flushes that end when the dice lets them, and crashes.

use std::collections::HashMap;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Context;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::task::{ArcWake, waker_ref};
use weft_core::clock::ManualClock;
use weft_core::disk::SimulatedDisk;
use weft_core::{Clock, Failure, Fault, Reason};

use super::guest::call;
use super::program::{Crash, Dice, Event, ONE_AT_A_TIME, TWO_IN_TEN_SECONDS, signal_names};
use super::world::{Epoch, Sent, World};
use crate::log::LogOptions;
use crate::testing::{DIR, START_MS};
use crate::*;

/// Turns after which a scenario does not end.
const MAX_TURNS: u32 = 100_000;

struct Task {
    future: Pin<Box<dyn Future<Output = ()> + Send>>,
    flag: Arc<Flag>,
}

struct Flag(AtomicBool);

impl ArcWake for Flag {
    fn wake_by_ref(flag: &Arc<Self>) {
        flag.0.store(true, Ordering::SeqCst);
    }
}

pub(super) struct Machine {
    pub world: Arc<World>,
    pub disk: SimulatedDisk,
    pub clock: Arc<ManualClock>,
    dice: Dice,
    tasks: Vec<Option<Task>>,
    turns: u32,
    nudges: u32,
}

/// Why the machine stands still.
#[derive(PartialEq, Eq)]
enum Stands {
    Crashed,
    Finished,
}

pub(super) fn open(disk: &SimulatedDisk, clock: &Arc<ManualClock>) -> (Sagas, Found) {
    let log = LogOptions { segment_bytes: 4 * 1024, ..LogOptions::new("journal") };
    let rate = Rate { count: 2, per_ms: 10_000 };
    let limits = Limits::new(HashMap::from([
        (ONE_AT_A_TIME.to_owned(), Limit { concurrency: Some(1), rate: None }),
        (TWO_IN_TEN_SECONDS.to_owned(), Limit { concurrency: None, rate: Some(rate) }),
    ]));
    let options = SagaOptions { log, limits, ..SagaOptions::default() };
    let clock: Arc<dyn Clock> = Arc::clone(clock) as _;
    Sagas::open(Arc::new(disk.clone()), Path::new(DIR), clock, &options).unwrap()
}

impl Machine {
    pub(super) fn new(world: Arc<World>, seed: u64) -> Self {
        let disk = SimulatedDisk::new();
        let clock = Arc::new(ManualClock::at_ms(START_MS));
        let (dice, tasks) = (Dice::new(seed ^ 0xdead), Vec::new());
        Self { world, disk, clock, dice, tasks, turns: 0, nudges: 0 }
    }

    /// Runs the scenario to its end; answers with the sagas as they are found after a last crash.
    pub(super) fn run(&mut self) -> Sagas {
        let crashes = self.world.scenario.crashes.clone();
        for number in 0.. {
            let crash = crashes.get(number).copied();
            let epoch = self.start(number);
            let stands = self.go(&epoch, crash.map(|(after, ..)| after));
            match crash.filter(|_| stands == Stands::Crashed) {
                Some((_, how, in_flush)) => self.crash(&epoch, how, in_flush),
                None => {
                    self.crash(&epoch, Crash::Lost, false);
                    break;
                }
            }
        }
        open(&self.disk, &self.clock).0
    }

    fn start(&mut self, number: usize) -> Arc<Epoch> {
        let (sagas, found) = open(&self.disk, &self.clock);
        assert_eq!((found.log.quarantined.len(), found.orphans), (0, 0), "nothing flushed is damaged");
        let (world, clock) = (Arc::clone(&self.world), Arc::clone(&self.clock));
        let epoch = Epoch { world, sagas, clock, number, spawned: Mutex::default() };
        let epoch = Arc::new(epoch);
        self.look_around(&epoch);
        epoch.sagas.inner.log.shut_gate(true);
        let resume = Arc::new(Resuming(Arc::downgrade(&epoch)));
        epoch.spawn(epoch.sagas.recover(resume).boxed());
        epoch.spawn(operate(Arc::clone(&epoch)).boxed());
        for root in 0..self.world.scenario.roots {
            let key = format!("k{root}");
            if !self.world.facts().sagas.get(&key).is_some_and(|saga| saga.begun) {
                epoch.spawn(call(Arc::clone(&epoch), key).map(drop).boxed());
            }
        }
        epoch
    }

    /// What has been promised is there, and who sleeps is known.
    fn look_around(&self, epoch: &Epoch) {
        let mut facts = self.world.facts();
        let facts = &mut *facts;
        facts.closing = false;
        facts.sleeping.clear();
        for (key, saga) in &facts.sagas {
            let Some(found) = epoch.sagas.inner.find(key) else { panic!("{key} is lost") };
            let state = found.state();
            assert!(saga.finished.is_none() || state.is_ended(), "the end of {key} is lost");
            assert!(!saga.paused || state.paused || state.is_ended(), "the pause of {key} is lost");
            assert!(
                !saga.cancelled || state.cancelled.is_some() || state.is_ended(),
                "{key} is not cancelled any more"
            );
            if let Some(wakes_at_ms) = state.suspended
                && wakes_at_ms != Some(0)
            {
                let wakes_at_ms = wakes_at_ms.into_iter().chain(state.deadline_ms).min();
                facts.sleeping.insert(key.clone(), wakes_at_ms);
            }
        }
    }

    fn go(&mut self, epoch: &Arc<Epoch>, crash_after: Option<u32>) -> Stands {
        let crash_at = crash_after.map(|after| self.turns + after);
        loop {
            for future in epoch.spawned.lock().unwrap().drain(..) {
                self.tasks.push(Some(Task { future, flag: Arc::new(Flag(AtomicBool::new(true))) }));
            }
            if crash_at.is_some_and(|at| self.turns >= at) {
                return Stands::Crashed;
            }
            self.turns += 1;
            assert!(self.turns < MAX_TURNS, "it does not come to an end");
            let woken = |task: &Option<Task>| task.as_ref().is_some_and(|task| task.flag.0.load(Ordering::SeqCst));
            let woken: Vec<_> = (0..self.tasks.len()).filter(|index| woken(&self.tasks[*index])).collect();
            if woken.is_empty() {
                if self.flush(epoch) || self.pass_time(epoch) || self.nudge(epoch) {
                    continue;
                }
                return Stands::Finished;
            }
            let index = woken[self.dice.below(woken.len())];
            self.poll(index);
            if self.dice.percent(30) {
                self.flush(epoch);
            }
        }
    }

    fn poll(&mut self, index: usize) {
        let Some(task) = &mut self.tasks[index] else { return };
        task.flag.0.store(false, Ordering::SeqCst);
        let flag = Arc::clone(&task.flag);
        if task.future.as_mut().poll(&mut Context::from_waker(&waker_ref(&flag))).is_ready() {
            self.tasks[index] = None;
        }
    }

    /// Lets all flushes that are waited for come to their end; `false` if there are none.
    fn flush(&self, epoch: &Epoch) -> bool {
        let log = &epoch.sagas.inner.log;
        if log.is_idle() {
            return false;
        }
        log.shut_gate(false);
        while !log.is_idle() {
            std::thread::yield_now();
        }
        log.shut_gate(true);
        true
    }

    fn pass_time(&self, epoch: &Epoch) -> bool {
        let Some(by) = self.clock.advance_to_next() else { return false };
        if by > Duration::from_secs(5) {
            self.check_leases(epoch, by);
        }
        true
    }

    /// Who waits for long holds no run.
    fn check_leases(&self, epoch: &Epoch, by: Duration) {
        let facts = self.world.facts();
        let limited = |ran: &super::world::Ran| ran.is_running(epoch) && ran.is_limited();
        if facts.ran.iter().any(limited) {
            return;
        }
        for (key, saga) in &facts.sagas {
            let live = saga.last_run.is_some_and(|number| facts.runs[&number].live);
            let running = facts.ran.iter().any(|ran| ran.saga == *key && ran.is_running(epoch));
            let has_lease = epoch.sagas.inner.find(key).is_some_and(|saga| saga.state().lease.is_some());
            assert!(!has_lease || !live || running, "{key} holds a run for {by:?} and only waits");
        }
    }

    /// Nothing goes on by itself. Answers whether anything is left to do.
    fn nudge(&mut self, epoch: &Arc<Epoch>) -> bool {
        let keys: Vec<_> = self.world.facts().sagas.keys().cloned().collect();
        let status = |key: &String| {
            let saga = epoch.sagas.inner.find(key)?;
            let state = saga.state();
            Some((state.status, state.abandoned))
        };
        let is_stranded =
            |key: &&String| key.contains('/') && matches!(status(key), Some((Status::NeedsAttention, false)));
        let stranded: Vec<_> = keys.iter().filter(is_stranded).cloned().collect();
        if !stranded.is_empty() {
            epoch.spawn(abandon(Arc::clone(epoch), stranded).boxed());
            return true;
        }
        let is_open = |key: &&String| status(key).is_some_and(|(status, _)| !status.is_final());
        let open: Vec<_> = keys.iter().filter(is_open).cloned().collect();
        if open.is_empty() {
            return false;
        }
        self.nudges += 1;
        assert!(self.nudges < 200, "{open:?} do not come to an end");
        for key in &open {
            let paused = epoch.sagas.inner.find(key).is_some_and(|saga| saga.state().paused);
            if !paused {
                self.world.facts().check_wakeups(key);
            }
        }
        epoch.spawn(push_on(Arc::clone(epoch), open).boxed());
        true
    }

    fn crash(&mut self, epoch: &Arc<Epoch>, how: Crash, in_flush: bool) {
        let log = &epoch.sagas.inner.log;
        epoch.tells(|| format!("{how:?}, in a flush: {in_flush}"));
        self.world.facts().closing = true;
        if matches!(how, Crash::Shutdown) {
            log.shut_gate(false);
            epoch.sagas.shutdown().unwrap();
        }
        let hold = in_flush.then(|| self.disk.hold_syncs());
        if let Some(hold) = &hold
            && !log.is_idle()
        {
            log.shut_gate(false);
            while hold.waiting() == 0 && !log.is_idle() {
                std::thread::yield_now();
            }
        }
        match how {
            Crash::Shutdown => {}
            Crash::Lost => self.disk.crash(0),
            Crash::Killed => self.disk.crash(usize::MAX),
            Crash::Torn(bytes) => self.disk.crash(bytes),
            Crash::Scattered(seed) => self.disk.crash_scattered(seed),
        }
        drop(hold);
        let mut facts = self.world.facts();
        facts.sagas.values_mut().filter(|saga| saga.finished.is_none()).for_each(|saga| saga.cut = true);
        drop(facts);
        epoch.spawned.lock().unwrap().clear();
        self.tasks.clear();
        epoch.spawned.lock().unwrap().clear();
        assert_eq!(Arc::strong_count(epoch), 1, "nobody holds what has crashed");
    }
}

/// Calls the code of a saga on a task of its own.
struct Resuming(std::sync::Weak<Epoch>);

impl Resume for Resuming {
    fn resume(&self, component: &str, digest: &str, key: &str) -> BoxFuture<'static, Result<(), Failure>> {
        assert_eq!((component, digest), ("enrolling", "d1"));
        let epoch = self.0.upgrade().unwrap();
        let now_ms = epoch.now_ms();
        if let Some(wakes_at_ms) = epoch.world.facts().sleeping.remove(key) {
            assert!(wakes_at_ms.is_some_and(|at_ms| at_ms <= now_ms), "{key} is woken early");
        }
        let (sender, ended) = futures::channel::oneshot::channel();
        let key = key.to_owned();
        let running = {
            let epoch = Arc::clone(&epoch);
            async move {
                // Recovery may have been dropped.
                let _ = sender.send(call(epoch, key).await);
            }
        };
        epoch.spawn(running.boxed());
        async move {
            match ended.await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(Failure::unknown(Fault::Guest, Reason::Trapped, error.to_string())),
                Err(_) => Err(Failure::unknown(Fault::Guest, Reason::Trapped, "the call was dropped")),
            }
        }
        .boxed()
    }
}

fn by() -> By {
    By { actor: "operator".to_owned(), reason: "wanted".to_owned() }
}

async fn operate(epoch: Arc<Epoch>) {
    let world = Arc::clone(&epoch.world);
    loop {
        let number = world.facts().next_event;
        let Some((after_ms, event, program)) = world.scenario.events.get(number).copied() else { return };
        epoch.clock.sleep(Duration::from_millis(after_ms)).await;
        if let Some(key) = world.key_of(program) {
            happen(&epoch, &key, number, event).await;
        }
        world.facts().next_event += 1;
    }
}

async fn happen(epoch: &Epoch, key: &str, number: usize, event: Event) {
    let world = &epoch.world;
    epoch.tells(|| format!("{event:?} for {key}"));
    if !world.facts().sagas.contains_key(key) {
        return;
    }
    world.facts().sleeping.remove(key);
    match event {
        Event::Signal { name, with_id, twice } => {
            let id = if with_id { format!("id{number}") } else { String::new() };
            signal(epoch, key, &format!("g{name}"), &id, number).await;
            if with_id && twice {
                signal(epoch, key, &format!("g{name}"), &id, number).await;
            }
        }
        Event::Cancel => {
            world.facts().sagas.get_mut(key).unwrap().cancel_asked = true;
            let done = epoch.sagas.cancel(key, &by()).await;
            if done.is_ok() {
                world.facts().sagas.get_mut(key).unwrap().cancelled = true;
            }
        }
        Event::Pause => {
            if epoch.sagas.pause(key, &by()).await.is_ok() {
                world.facts().sagas.get_mut(key).unwrap().paused = true;
            }
        }
        Event::Resume => resume(epoch, key).await,
        Event::Retry => {
            // One that has ended refuses.
            let _ = epoch.sagas.retry(key, None, &by()).await;
        }
        Event::Trap { calls } => world.set_trap(calls),
    }
}

async fn resume(epoch: &Epoch, key: &str) {
    epoch.world.facts().sagas.get_mut(key).unwrap().paused = false;
    // One that has ended refuses.
    let _ = epoch.sagas.resume(key, &by()).await;
}

/// The signal of this number; sent again after a crash if it has an id.
async fn signal(epoch: &Epoch, key: &str, name: &str, id: &str, number: usize) {
    let payload = format!("signal {number}").into_bytes();
    let known = {
        let mut facts = epoch.world.facts();
        let known = facts.sent.iter().position(|sent| sent.payload == payload);
        if known.is_some() && id.is_empty() {
            return;
        }
        known.unwrap_or_else(|| {
            let (saga, name, payload) = (key.to_owned(), name.to_owned(), payload.clone());
            facts.sent.push(Sent { saga, name, payload, acked_ms: None });
            facts.sent.len() - 1
        })
    };
    if epoch.sagas.signal(key, name, id, payload).await.is_ok() {
        epoch.world.facts().sent[known].acked_ms.get_or_insert(epoch.now_ms());
    }
}

async fn abandon(epoch: Arc<Epoch>, keys: Vec<String>) {
    for key in keys {
        epoch.world.facts().sleeping.clear();
        epoch.sagas.resolve(&key, &Resolution::Abandon, &by()).await.unwrap();
    }
}

/// Resumes what is paused, and sends a signal of every name.
async fn push_on(epoch: Arc<Epoch>, keys: Vec<String>) {
    for key in keys {
        epoch.world.facts().sleeping.remove(&key);
        resume(&epoch, &key).await;
        let mut names = Vec::new();
        epoch.world.program(&key).generations.iter().for_each(|ops| signal_names(ops, &mut names));
        names.sort_unstable();
        names.dedup();
        for name in names {
            let number = 1000 + epoch.world.facts().sent.len();
            signal(&epoch, &key, &format!("g{name}"), "", number).await;
        }
    }
}
