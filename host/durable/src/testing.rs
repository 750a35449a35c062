//! What tests of the engine share: a clock whose waits are over at once, a machine that crashes, and a small guest.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use weft_core::Clock;
use weft_core::disk::SimulatedDisk;

use crate::log::LogOptions;
use crate::*;

pub(crate) const START_MS: u64 = 1_790_000_000_000;
pub(crate) const DIR: &str = "/journal";

/// A wait moves this clock on and is over.
#[derive(Debug)]
pub(crate) struct SkippingClock(AtomicU64);

impl Clock for SkippingClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.now_ms())
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.advance(duration);
        Box::pin(async {})
    }
}

impl SkippingClock {
    pub(crate) fn advance(&self, duration: Duration) {
        self.0.fetch_add(u64::try_from(duration.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

pub(crate) fn skipping_clock() -> Arc<SkippingClock> {
    Arc::new(SkippingClock(AtomicU64::new(START_MS)))
}

pub(crate) fn open(disk: &SimulatedDisk, clock: Arc<dyn Clock>) -> (Sagas, Found) {
    let log = LogOptions { segment_bytes: 16 * 1024, ..LogOptions::new("journal") };
    let options = SagaOptions { log, ..SagaOptions::default() };
    Sagas::open(Arc::new(disk.clone()), Path::new(DIR), clock, &options).unwrap()
}

pub(crate) fn fresh() -> (Sagas, SimulatedDisk, Arc<SkippingClock>) {
    let (disk, clock) = (SimulatedDisk::new(), skipping_clock());
    (open(&disk, clock.clone()).0, disk, clock)
}

pub(crate) fn starter() -> Starter {
    Starter { component: "enrolling".into(), digest: "d1".into(), correlation_id: None, clock: SagaClock::default() }
}

pub(crate) fn options() -> StepOptions {
    retrying(3)
}

pub(crate) fn retrying(max_attempts: u32) -> StepOptions {
    let retry = RetryPolicy { max_attempts, base_ms: 2000, factor_percent: 200, cap_ms: 20_000 };
    StepOptions { timeout_ms: 30_000, retry, limits: Vec::new(), occurrence: None }
}

pub(crate) async fn begin(sagas: &Sagas, key: &str) -> Arc<Run> {
    match sagas.begin(&starter(), "enroll", key, b"{}").await.unwrap() {
        Begun::Run(run) => run,
        other => panic!("{other:?}"),
    }
}

/// Enters a step that is expected to run. Answers the number of the attempt.
pub(crate) async fn execute(run: &Run, name: &str, phase: Phase) -> u32 {
    match run.enter(name, phase, options()).await.unwrap() {
        Entered::Execute(execution) => execution.attempt,
        Entered::Recorded(recording) => panic!("{name} is recorded: {recording:?}"),
    }
}

pub(crate) async fn recorded(run: &Run, name: &str, phase: Phase) -> Recording {
    match run.enter(name, phase, options()).await.unwrap() {
        Entered::Recorded(recording) => {
            run.seen(phase.into(), name);
            recording
        }
        Entered::Execute(execution) => panic!("{name} is not recorded: {execution:?}"),
    }
}

pub(crate) async fn settle(run: &Run, name: &str, phase: Phase, result: AttemptResult) -> Recording {
    match run.leave(name, phase, result).await.unwrap() {
        Left::Settled(recording) => {
            run.seen(phase.into(), name);
            recording
        }
        Left::Again => panic!("{name} is to be tried again"),
    }
}

pub(crate) fn success() -> AttemptResult {
    AttemptResult::Success(b"1".to_vec())
}

pub(crate) fn failed(maybe_ran: bool) -> AttemptResult {
    AttemptResult::Failed { maybe_ran, retry_after_ms: None, payload: b"down".to_vec() }
}

/// A timer that has fired.
pub(crate) async fn slept(run: &Run, name: &str, duration_ms: u64) -> Recording {
    let recording = run.sleep(name, duration_ms).await.unwrap();
    run.seen(EventKind::Timer, name);
    recording
}

/// A step that runs once and succeeds.
pub(crate) async fn step(run: &Run, name: &str) {
    execute(run, name, Phase::Do).await;
    settle(run, name, Phase::Do, success()).await;
}

/// What one step of a scripted saga does: by the number of the attempt; the last entry holds for all after it.
#[derive(Clone, Debug)]
pub(crate) struct ScriptedStep {
    pub attempts: Vec<AttemptResult>,
    pub undo: Option<Vec<AttemptResult>>,
}

/// How a scripted saga ended, as the guest sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ran {
    /// Settled steps in order: name, phase, outcome.
    pub settled: Vec<(String, Phase, Outcome)>,
    pub failed: bool,
}

/// Called before each call of the journal, and after each attempt that ran.
pub(crate) trait Watch {
    /// The machine may fail here: `false` stops the guest.
    fn goes_on(&self) -> bool;
    fn executed(&self, key: &str, phase: Phase, execution: &Execution);
    fn settled(&self, name: &str, phase: Phase, recording: &Recording, replayed: bool);
}

/// Runs a scripted saga as a guest would: steps in order, compensations in reverse. `None` if it did not come to its end.
pub(crate) async fn run_script(run: &Run, script: &[ScriptedStep], watch: &dyn Watch) -> Option<Ran> {
    let mut ran = Ran::default();
    let mut undos = Vec::new();
    for (index, scripted) in script.iter().enumerate() {
        let name = format!("s{index}");
        undos.push((name.clone(), scripted.undo.clone()));
        let outcome = run_step(run, &name, Phase::Do, &scripted.attempts, watch).await?;
        ran.settled.push((name, Phase::Do, outcome));
        if outcome != Outcome::Success {
            ran.failed = true;
            if outcome == Outcome::Error {
                undos.pop();
            }
            break;
        }
    }
    if ran.failed {
        for (name, undo) in undos.into_iter().rev() {
            let Some(attempts) = undo else { continue };
            let outcome = run_step(run, &name, Phase::Undo, &attempts, watch).await?;
            ran.settled.push((name, Phase::Undo, outcome));
        }
    }
    if !watch.goes_on() {
        return None;
    }
    run.finish(ran.failed, b"answer".to_vec()).await.ok()?;
    Some(ran)
}

async fn run_step(
    run: &Run,
    name: &str,
    phase: Phase,
    attempts: &[AttemptResult],
    watch: &dyn Watch,
) -> Option<Outcome> {
    loop {
        if !watch.goes_on() {
            return None;
        }
        let execution = match run.enter(name, phase, options()).await.ok()? {
            Entered::Recorded(recording) => {
                run.seen(phase.into(), name);
                watch.settled(name, phase, &recording, true);
                return Some(recording.outcome);
            }
            Entered::Execute(execution) => execution,
        };
        watch.executed(run.key(), phase, &execution);
        if !watch.goes_on() {
            return None;
        }
        let result = attempts.get(execution.attempt as usize - 1).or(attempts.last()).unwrap().clone();
        if let Left::Settled(recording) = run.leave(name, phase, result).await.ok()? {
            run.seen(phase.into(), name);
            watch.settled(name, phase, &recording, false);
            return Some(recording.outcome);
        }
    }
}

/// Resumes by a closure, and counts.
pub(crate) struct Resuming<F>(pub F, pub Arc<Mutex<Vec<String>>>);

impl<F> Resume for Resuming<F>
where
    F: Fn(String) -> BoxFuture<'static, Result<(), weft_core::Failure>> + Send + Sync + 'static,
{
    fn resume(&self, _: &str, _: &str, key: &str) -> BoxFuture<'static, Result<(), weft_core::Failure>> {
        self.1.lock().unwrap().push(key.to_owned());
        (self.0)(key.to_owned())
    }
}
