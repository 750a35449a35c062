//! Any saga whose process ends anywhere, before or after any statement, ends as one that never crashed, but for what may
//! have been cut short: against a model.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use futures::executor::block_on;
use proptest::prelude::*;

use crate::record::{OpenAttempt, decode};
use crate::testing::*;
use crate::*;

const MAX_ATTEMPTS: usize = 3;

/// A step or its compensation.
type Id = (String, Phase);

/// What one step of a scripted saga does: by the number of the attempt; the last entry holds for all after it.
#[derive(Clone, Debug)]
struct ScriptedStep {
    attempts: Vec<AttemptResult>,
    undo: Option<Vec<AttemptResult>>,
}

/// How a scripted saga ended: settled steps in order, and whether it failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Ran {
    settled: Vec<(String, Phase, Outcome)>,
    failed: bool,
}

/// What a saga comes to, worked out without a journal, if those attempts may have been `cut` short.
fn model(script: &[ScriptedStep], cut: &BTreeSet<Id>) -> (Ran, Status) {
    let settles_as = |name: &str, phase, attempts: &[_]| settles_as(attempts, cut.contains(&(name.to_owned(), phase)));
    let mut ran = Ran::default();
    let mut undos = Vec::new();
    for (index, step) in script.iter().enumerate() {
        let name = format!("s{index}");
        let outcome = settles_as(&name, Phase::Do, &step.attempts);
        ran.settled.push((name.clone(), Phase::Do, outcome));
        if outcome != Outcome::Error {
            undos.push((name, step.undo.clone()));
        }
        if outcome != Outcome::Success {
            ran.failed = true;
            break;
        }
    }
    let undos = undos.into_iter().rev().filter_map(|(name, undo)| Some((name, undo?)));
    let undone = |(name, undo): (String, Vec<_>)| {
        let outcome = settles_as(&name, Phase::Undo, &undo);
        (name, Phase::Undo, outcome)
    };
    let undos: Vec<_> = undos.filter(|_| ran.failed).map(undone).collect();
    let all_undone = undos.iter().all(|(.., outcome)| *outcome == Outcome::Success);
    ran.settled.extend(undos);
    let status = match (ran.failed, all_undone) {
        (false, _) => Status::Completed,
        (true, true) => Status::Compensated,
        (true, false) => Status::NeedsAttention,
    };
    (ran, status)
}

fn settles_as(attempts: &[AttemptResult], cut: bool) -> Outcome {
    let mut maybe_ran = cut;
    for number in 0..MAX_ATTEMPTS {
        match attempts.get(number).or(attempts.last()).unwrap() {
            AttemptResult::Success(_) => return Outcome::Success,
            AttemptResult::Error(_) => break,
            AttemptResult::Failed { maybe_ran: ran, .. } => maybe_ran |= ran,
        }
    }
    if maybe_ran { Outcome::Unknown } else { Outcome::Error }
}

/// Sees what runs do, and holds them to what was promised before.
#[derive(Default)]
struct Witness {
    /// What the code was told: it must come back.
    promised: RefCell<BTreeMap<Id, Recording>>,
    /// How often each attempt of each step has run, over all crashes.
    executed: RefCell<BTreeMap<(Id, u32), u32>>,
    /// Attempts that run, or ran when the process ended.
    running: RefCell<BTreeSet<Id>>,
}

impl Witness {
    fn executes(&self, id: &Id, execution: &Execution) {
        assert_eq!(execution.key, format!("k/{}#1", id.0));
        assert!(!self.promised.borrow().contains_key(id), "{id:?} ran after it was settled");
        *self.executed.borrow_mut().entry((id.clone(), execution.attempt)).or_default() += 1;
        self.running.borrow_mut().insert(id.clone());
    }

    fn settled(&self, id: &Id, recording: &Recording) {
        self.running.borrow_mut().remove(id);
        let mut promised = self.promised.borrow_mut();
        assert_eq!(promised.entry(id.clone()).or_insert_with(|| recording.clone()), recording);
    }
}

/// Runs a scripted saga as a guest would: steps in order, compensations in reverse. `None` if it did not come to its end.
async fn run_script(run: &Run, script: &[ScriptedStep], witness: &Witness) -> Option<Ran> {
    let mut ran = Ran::default();
    let mut undos = Vec::new();
    for (index, scripted) in script.iter().enumerate() {
        let name = format!("s{index}");
        undos.push((name.clone(), scripted.undo.clone()));
        let outcome = run_step(run, &name, Phase::Do, &scripted.attempts, witness).await?;
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
            let outcome = run_step(run, &name, Phase::Undo, &attempts, witness).await?;
            ran.settled.push((name, Phase::Undo, outcome));
        }
    }
    run.finish(ran.failed, b"answer").await.ok()?;
    Some(ran)
}

async fn run_step(
    run: &Run,
    name: &str,
    phase: Phase,
    attempts: &[AttemptResult],
    witness: &Witness,
) -> Option<Outcome> {
    let id = (name.to_owned(), phase);
    loop {
        let execution = match run.enter(name, phase, options()).await.ok()? {
            Entered::Recorded(recording) => {
                run.seen(phase.into(), name);
                witness.settled(&id, &recording);
                return Some(recording.outcome);
            }
            Entered::Execute(execution) => execution,
        };
        witness.executes(&id, &execution);
        let result = attempts.get(execution.attempt as usize - 1).or(attempts.last()).unwrap().clone();
        match run.leave(name, phase, result).await.ok()? {
            Left::Settled(recording) => {
                run.seen(phase.into(), name);
                witness.settled(&id, &recording);
                return Some(recording.outcome);
            }
            Left::Again => {
                witness.running.borrow_mut().remove(&id);
            }
        }
    }
}

/// What the database knows to have been running.
fn open_attempts(file: &File) -> Vec<OpenAttempt> {
    let rows = file.connect(None).run("SELECT open FROM weft_sagas", &[]).unwrap_or_default();
    let Some([Value::Text(open)]) = rows.first().map(Vec::as_slice) else { return Vec::new() };
    decode(open).unwrap()
}

fn attempts() -> impl Strategy<Value = Vec<AttemptResult>> {
    let attempt = prop_oneof![
        4 => Just(success()),
        1 => Just(AttemptResult::Error(b"full".to_vec())),
        2 => any::<bool>().prop_map(failed),
    ];
    prop::collection::vec(attempt, 1..4)
}

fn script() -> impl Strategy<Value = Vec<ScriptedStep>> {
    let step = (attempts(), prop::option::of(attempts()));
    prop::collection::vec(step.prop_map(|(attempts, undo)| ScriptedStep { attempts, undo }), 0..6)
}

fn crash() -> impl Strategy<Value = Crash> {
    let crash = |(statements_left, runs_the_last)| Crash { statements_left, runs_the_last };
    (1u32..70, any::<bool>()).prop_map(crash)
}

/// Runs a saga through these crashes until it has ended.
fn ends(script: &[ScriptedStep], crashes: Vec<Crash>) {
    let (file, clock, witness) = (File::new(), Rc::new(SkippingClock::default()), Witness::default());
    let mut crashes = crashes.into_iter();
    let mut cut = BTreeSet::new();
    let ran = loop {
        let database = file.connect(crashes.next());
        let journal = Journal::open(database.clone(), clock.clone());
        let begun = journal.and_then(|journal| journal.begin("enrolling", "enroll", "k", b"{}"));
        let ran = match begun {
            Ok(Begun::Run(run)) => block_on(run_script(&run, script, &witness)),
            Ok(Begun::Finished(answer)) => {
                // Its end was recorded, and nobody was told.
                assert_eq!(answer, b"answer");
                break None;
            }
            Ok(Begun::Busy) => panic!("busy with nobody there"),
            Err(error) => {
                assert!(database.has_crashed(), "{error}");
                None
            }
        };
        if let Some(ran) = ran {
            break Some(ran);
        }
        assert!(database.has_crashed(), "it stopped by itself");
        let open = open_attempts(&file);
        let phase = |open: &OpenAttempt| if open.of.kind == EventKind::Undo { Phase::Undo } else { Phase::Do };
        cut.extend(open.iter().map(|open| (open.of.name.clone(), phase(open))));
        clock.advance(LEASE_MS);
    };
    let (expected, status) = model(script, &cut);
    if let Some(ran) = ran {
        assert_eq!(ran, expected);
    }
    for ((name, phase, outcome), (id, recording)) in expected.settled.iter().map(|settled| {
        let id = (settled.0.clone(), settled.1);
        let recording = witness.promised.borrow().get(&id).cloned();
        (settled, (id, recording))
    }) {
        if let Some(recording) = recording {
            assert_eq!((name, phase, *outcome), (&id.0, &id.1, recording.outcome));
        }
    }
    let journal = file.journal(clock);
    assert_eq!(journal.due_components(), Ok(vec![]));
    assert_eq!(journal.status("k").unwrap().status, status);
    assert_eq!(block_on(journal.wait("k")), Ok(b"answer".to_vec()));
    for ((id, attempt), times) in witness.executed.into_inner() {
        assert!(times == 1 || cut.contains(&id), "{id:?} ran {times} times");
        // Attempts cut short used nothing of the budget.
        assert!(attempt as usize <= MAX_ATTEMPTS);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn crashed_anywhere_a_saga_ends_as_its_model(
        script in script(),
        crashes in prop::collection::vec(crash(), 0..6),
    ) {
        ends(&script, crashes);
    }
}

#[test]
fn crashed_at_each_statement_once_a_saga_is_taken_back() {
    let undo = Some(vec![failed(true), success()]);
    let step = |attempts| ScriptedStep { attempts, undo: undo.clone() };
    let script = [
        step(vec![success()]),
        step(vec![failed(true), success()]),
        step(vec![AttemptResult::Error(b"full".to_vec())]),
    ];
    for statements_left in 1..120 {
        for runs_the_last in [false, true] {
            ends(&script, vec![Crash { statements_left, runs_the_last }]);
        }
    }
}
