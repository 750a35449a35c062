//! A real process that aborts after each record of its journal, and around each flush: the next process goes on where
//! it was. The test runs itself as the child; what the steps do is a line in a file.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;

use weft_core::disk::RealDisk;
use weft_core::{Failpoints, SystemClock};
use weft_durable::log::LogOptions;
use weft_durable::{
    AttemptResult, Begun, Entered, Left, Outcome, Phase, RetryPolicy, Run, SagaClock, SagaOptions, Sagas, Starter,
    Status, StepOptions,
};

const DIR: &str = "WEFT_TEST_DIR";
const FAILPOINT: &str = "WEFT_FAILPOINT";
/// A beginning, two steps that succeed, one that does not, two compensations, an end.
const RECORDS: usize = 7;

/// The process that aborts: a run of this very test, told by a variable where its journal is. By itself it does nothing.
#[test]
fn the_child_runs_its_saga() {
    if let Some(dir) = std::env::var_os(DIR) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(child(Path::new(&dir)));
    }
}

#[test]
fn whatever_the_point_of_the_abort_the_next_process_goes_on() {
    let root = tempfile::tempdir().unwrap();
    let counts = root.path().join("counts");
    assert!(run_child(&root.path().join("counted"), &format!("count:{}", counts.display())).success());
    let counts = std::fs::read_to_string(counts).unwrap();
    let mut points = 0;
    for line in counts.lines() {
        let (name, count) = line.split_once(' ').unwrap();
        let count: usize = count.parse().unwrap();
        if name == "journal.record-written" {
            assert_eq!(count, RECORDS, "as many points as records");
        }
        for hit in 1..=count {
            aborted_at(root.path(), &format!("{name}:{hit}"));
            points += 1;
        }
    }
    assert!(points > 2 * RECORDS, "{counts}");
}

fn aborted_at(root: &Path, failpoint: &str) {
    let dir = root.join(failpoint.replace(':', "-"));
    let aborted = run_child(&dir, failpoint);
    assert_eq!(aborted.code(), None, "{failpoint} was not reached");
    assert!(run_child(&dir, "").success(), "{failpoint}");
    let mut effects: Vec<_> = read(&dir.join("effects")).lines().map(str::to_owned).collect();
    effects.sort();
    // A record that was written is never run again, and what follows it was not yet run.
    assert_eq!(effects, ["a Do 1", "a Undo 1", "b Do 1", "b Undo 1", "c Do 1"], "{failpoint}");
    let view = open(&dir, Failpoints::none()).show("k").unwrap();
    assert_eq!(view.status, Status::Compensated, "{failpoint}");
    assert_eq!(view.steps.len(), 5, "{failpoint}");
}

fn run_child(dir: &Path, failpoint: &str) -> ExitStatus {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "the_child_runs_its_saga"]).stdout(Stdio::null());
    child.env(DIR, dir).env(FAILPOINT, failpoint).stderr(std::process::Stdio::null()).status().unwrap()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

fn open(dir: &Path, failpoints: Failpoints) -> Sagas {
    let log = LogOptions { segment_bytes: 64 * 1024, failpoints, ..LogOptions::new("journal") };
    let clock = Arc::new(SystemClock::new(|duration| Box::pin(tokio::time::sleep(duration))));
    let options = SagaOptions { log, ..SagaOptions::default() };
    Sagas::open(Arc::new(RealDisk), &dir.join("journal"), clock, &options).unwrap().0
}

async fn child(dir: &Path) {
    let failpoints = Failpoints::parse(&std::env::var(FAILPOINT).unwrap()).unwrap();
    let sagas = open(dir, failpoints);
    let starter =
        Starter { component: "c".into(), digest: "d".into(), correlation_id: None, clock: SagaClock::default() };
    // What runs first after an abort may have been running then.
    let mut maybe_ran = sagas.show("k").is_ok();
    let run = match sagas.begin(&starter, "f", "k", b"{}").await.unwrap() {
        Begun::Run(run) => run,
        Begun::Finished(_) => return,
        Begun::Busy => panic!("nobody else is there"),
    };
    let effects = dir.join("effects");
    for (name, phase, result) in [
        ("a", Phase::Do, AttemptResult::Success(Vec::new())),
        ("b", Phase::Do, AttemptResult::Success(Vec::new())),
        ("c", Phase::Do, AttemptResult::Error(b"no".to_vec())),
        ("b", Phase::Undo, AttemptResult::Success(Vec::new())),
        ("a", Phase::Undo, AttemptResult::Success(Vec::new())),
    ] {
        let (executed, outcome) = step(&run, name, phase, result, &effects).await;
        match (name, executed) {
            ("c", true) if maybe_ran => assert_eq!(outcome, Outcome::Unknown),
            ("c", true) => assert_eq!(outcome, Outcome::Error),
            ("c", false) => assert_ne!(outcome, Outcome::Success),
            _ => assert_eq!(outcome, Outcome::Success),
        }
        maybe_ran &= !executed;
    }
    run.finish(true, b"no".to_vec()).await.unwrap();
    drop(run);
    sagas.shutdown().unwrap();
}

/// Whether it ran now, and how it settled.
async fn step(run: &Run, name: &str, phase: Phase, result: AttemptResult, effects: &PathBuf) -> (bool, Outcome) {
    let retry = RetryPolicy { max_attempts: 1, base_ms: 0, factor_percent: 100, cap_ms: 0 };
    match run
        .enter(name, phase, StepOptions { timeout_ms: 1000, retry, limits: Vec::new(), occurrence: None })
        .await
        .unwrap()
    {
        Entered::Recorded(recording) => {
            run.seen(phase.into(), name);
            (false, recording.outcome)
        }
        Entered::Execute(execution) => {
            let mut file = std::fs::OpenOptions::new().create(true).append(true).open(effects).unwrap();
            writeln!(file, "{name} {phase:?} {}", execution.attempt).unwrap();
            match run.leave(name, phase, result).await.unwrap() {
                Left::Settled(recording) => {
                    run.seen(phase.into(), name);
                    (true, recording.outcome)
                }
                Left::Again => panic!("{name} is not to be tried again"),
            }
        }
    }
}
