//! Any saga, crashed anywhere, ends as one that never crashed, but for what may have been cut short: against a model, on a disk that loses what was not
//! flushed.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use futures::executor::block_on;
use proptest::prelude::*;

use weft_core::disk::{Disk as _, SimulatedDisk};

use crate::testing::*;
use crate::*;

const MAX_ATTEMPTS: usize = 3;

/// A step or its compensation.
type Id = (String, Phase);

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

/// Sees what a run does; stops it after some calls; holds it to what was promised before.
struct Witness<'a> {
    disk: &'a SimulatedDisk,
    calls_left: Cell<u32>,
    /// Settled, and since then an effect was let run or the flush was waited for: must come back.
    promised: RefCell<BTreeMap<Id, Recording>>,
    settled: RefCell<Vec<(Id, Recording)>>,
    /// How often each attempt of each step has run, over all crashes.
    executed: RefCell<BTreeMap<(String, Phase, u32), u32>>,
    /// A run was cut short, and nothing has run since.
    resumed: Cell<bool>,
    /// What ran first after a run was cut short.
    cut: RefCell<BTreeSet<Id>>,
}

impl Witness<'_> {
    fn promise(&self) {
        self.promised.borrow_mut().extend(self.settled.borrow_mut().drain(..));
    }
}

impl Watch for Witness<'_> {
    fn goes_on(&self) -> bool {
        self.calls_left.set(self.calls_left.get().saturating_sub(1));
        self.calls_left.get() > 0
    }

    fn executed(&self, key: &str, phase: Phase, execution: &Execution) {
        let step = execution.key.strip_prefix(key).unwrap().trim_start_matches('/').trim_end_matches("#1").to_owned();
        for name in self.disk.list(Path::new(DIR)).unwrap() {
            assert_eq!(self.disk.unflushed_bytes(&Path::new(DIR).join(name)), 0, "an effect before a flush");
        }
        assert!(!self.promised.borrow().contains_key(&(step.clone(), phase)), "{step} ran after it was settled");
        self.promise();
        if self.resumed.take() {
            self.cut.borrow_mut().insert((step.clone(), phase));
        }
        *self.executed.borrow_mut().entry((step, phase, execution.attempt)).or_default() += 1;
    }

    fn settled(&self, name: &str, phase: Phase, recording: &Recording, replayed: bool) {
        let id = (name.to_owned(), phase);
        match self.promised.borrow().get(&id) {
            Some(promised) => assert_eq!(promised, recording),
            None if replayed => {}
            None => assert!(!self.settled.borrow().iter().any(|(known, _)| *known == id), "{name} settled twice"),
        }
        self.settled.borrow_mut().push((id, recording.clone()));
        if recording.outcome != Outcome::Success {
            self.promise();
        }
    }
}

fn attempt() -> impl Strategy<Value = AttemptResult> {
    prop_oneof![
        4 => Just(success()),
        1 => Just(AttemptResult::Error(b"full".to_vec())),
        2 => any::<bool>().prop_map(failed),
    ]
}

fn attempts() -> impl Strategy<Value = Vec<AttemptResult>> {
    prop::collection::vec(attempt(), 1..4)
}

fn script() -> impl Strategy<Value = Vec<ScriptedStep>> {
    let step = (attempts(), prop::option::of(attempts()));
    prop::collection::vec(step.prop_map(|(attempts, undo)| ScriptedStep { attempts, undo }), 0..7)
}

#[derive(Clone, Debug)]
enum Crash {
    /// The process ends, the machine goes on.
    Process,
    /// Of the unflushed bytes so many were written.
    Torn(usize),
    Scattered(u64),
}

fn crash() -> impl Strategy<Value = (u32, Crash)> {
    let how = prop_oneof![
        Just(Crash::Process),
        (0usize..300).prop_map(Crash::Torn),
        any::<u64>().prop_map(Crash::Scattered),
    ];
    (1u32..25, how)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn crashed_anywhere_a_saga_ends_as_its_model(
        script in script(),
        crashes in prop::collection::vec(crash(), 0..8),
    ) {
        let (disk, clock) = (SimulatedDisk::new(), skipping_clock());
        let witness = Witness {
            disk: &disk,
            calls_left: Cell::default(),
            promised: RefCell::default(),
            settled: RefCell::default(),
            executed: RefCell::default(),
            resumed: Cell::default(),
            cut: RefCell::default(),
        };
        let mut crashes = crashes.into_iter();
        let ran = loop {
            let next = crashes.next();
            witness.calls_left.set(next.as_ref().map_or(u32::MAX, |(calls, _)| *calls));
            witness.settled.borrow_mut().clear();
            let (sagas, _) = open(&disk, clock.clone());
            let ran = block_on(async {
                match sagas.begin(&starter(), "enroll", "k", b"{}").await.unwrap() {
                    Begun::Run(run) => run_script(&run, &script, &witness).await,
                    Begun::Finished(_) => panic!("finished without having answered"),
                    Begun::Busy => panic!("busy with nobody there"),
                }
            });
            if ran.is_none() {
                match next.map(|(_, how)| how) {
                    Some(Crash::Torn(kept)) => disk.crash(kept),
                    Some(Crash::Scattered(seed)) => disk.crash_scattered(seed),
                    Some(Crash::Process) | None => {}
                }
            }
            drop(sagas);
            // A long delay before a retry ended the run.
            clock.advance(Duration::from_secs(20));
            if let Some(ran) = ran {
                break ran;
            }
            witness.resumed.set(true);
        };
        let cut = witness.cut.into_inner();
        let (expected, status) = model(&script, &cut);
        prop_assert_eq!(ran, expected);
        disk.crash(0);
        let (sagas, found) = open(&disk, clock);
        prop_assert_eq!(found.unfinished, 0);
        prop_assert_eq!(sagas.show("k").unwrap().status, status);
        prop_assert_eq!(block_on(sagas.wait("k")), Ok(b"answer".to_vec()));
        let executed = witness.executed.into_inner();
        let twice = executed.iter().filter(|(_, times)| **times > 1);
        prop_assert!(twice.into_iter().all(|((step, phase, _), _)| cut.contains(&(step.clone(), *phase))));
        // Attempts cut short used nothing of the budget.
        let attempts: BTreeSet<_> = executed.keys().map(|(.., attempt)| *attempt).collect();
        prop_assert!(attempts.iter().all(|attempt| *attempt as usize <= MAX_ATTEMPTS));
    }
}
