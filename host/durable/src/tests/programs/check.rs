//! What a scenario has come to, held against the model.

use weft_core::Clock;

use super::machine::Machine;
use super::model::{Awaited, End, Verdict, judge};
use super::program::{Comes, MAX_ATTEMPTS, Op, Program};
use super::world::{Facts, Ran, SagaFacts, World};
use crate::replay::EventId;
use crate::*;

pub(super) fn check(machine: &Machine, sagas: &Sagas) {
    let facts = machine.world.facts();
    for (key, saga) in &facts.sagas {
        let program = programs(&machine.world, &facts, key);
        Checking { facts: &facts, key, saga, program: &program, sagas }.check();
    }
    assert!(machine.clock.now_ms() >= crate::testing::START_MS);
}

fn programs(world: &World, facts: &Facts, key: &str) -> Program {
    world.scenario.programs[facts.program(key)].clone()
}

struct Checking<'a> {
    facts: &'a Facts,
    key: &'a str,
    saga: &'a SagaFacts,
    program: &'a Program,
    sagas: &'a Sagas,
}

impl Checking<'_> {
    fn check(&self) {
        let view = self.sagas.show(self.key).unwrap();
        let last = self.saga.final_traces.keys().next_back().copied();
        let Some(last) = last else {
            panic!("{} has never come to an end: {:?} {:?}", self.key, view.status, view.error)
        };
        let mut end = None;
        let mut undos_failed = false;
        for generation in 0..=last {
            let trace = &self.saga.final_traces[&generation];
            let verdict = judge(self.program, generation as usize, trace)
                .unwrap_or_else(|error| panic!("{} generation {generation}: {error}\n{trace:#?}", self.key));
            for (id, what, recording) in &verdict.told {
                self.told(generation, id, *what, recording);
            }
            self.effects(generation, &verdict);
            undos_failed =
                verdict.undos.iter().any(|undo| undo.undone.is_some_and(|undone| undone != Outcome::Success));
            let continues = verdict.end == End::Continues && !undos_failed;
            assert!(generation == last || continues, "{}: {:?}", self.key, verdict.end);
            end = Some(verdict.end);
        }
        let failed = match end {
            Some(End::Finishes { failed }) => failed,
            // With a compensation that did not succeed it cannot continue as new.
            Some(End::Continues) if undos_failed => true,
            end => panic!("{} ends as {end:?}", self.key),
        };
        let expected = match (undos_failed, failed) {
            (true, _) => Status::NeedsAttention,
            (false, true) => Status::Compensated,
            (false, false) => Status::Completed,
        };
        assert_eq!(view.status, expected, "{}: {:?}", self.key, view.error);
        let answer = if failed { &b"failed"[..] } else { b"done" };
        assert_eq!(view.result.as_deref(), Some(answer), "{}", self.key);
        assert_eq!(view.generation, last);
        self.signals();
        self.notes(last, failed, &view);
    }

    fn told(&self, generation: u32, id: &EventId, what: Awaited, recording: &Recording) {
        let what_is_told = format!("{} generation {generation} {id:?} {recording:?}", self.key);
        if recording.cancelled {
            let late = self.saga.deadline_ms.is_some_and(|at_ms| recording.at_ms >= at_ms);
            assert!(self.saga.cancel_asked || late, "cancelled by nobody: {what_is_told}");
            assert!(id.kind != EventKind::Undo, "a compensation is cancelled: {what_is_told}");
        }
        let asked = (generation, id.kind, id.name.clone(), id.occurrence);
        let asked_ms = self.saga.asked_ms[&asked];
        match what {
            Awaited::Step(_) | Awaited::ChildBegins | Awaited::Undo(_) => self.step(generation, id, recording),
            Awaited::Timer(_) if recording.cancelled => {}
            Awaited::Timer(ms) => assert!(recording.at_ms >= asked_ms + ms, "too early: {what_is_told}"),
            Awaited::Signal(_) if recording.cancelled => {}
            Awaited::Signal(timeout_ms) => match (recording.outcome, timeout_ms) {
                (Outcome::Success, _) => {}
                (_, Some(timeout_ms)) => {
                    assert!(recording.at_ms >= asked_ms + timeout_ms, "too early: {what_is_told}");
                    let told = self.facts.signals_told(self.key, &id.name);
                    let mut sent = self.facts.sent.iter().filter(|sent| sent.saga == self.key && sent.name == id.name);
                    let missed = sent.find(|sent| {
                        sent.acked_ms.is_some_and(|at_ms| at_ms < recording.at_ms) && !told.contains(&sent.payload)
                    });
                    assert!(missed.is_none(), "{missed:?} was missed: {what_is_told}");
                }
                (_, None) => panic!("nothing can time out: {what_is_told}"),
            },
            Awaited::Child if recording.cancelled => {}
            Awaited::Child => {
                let child = format!("{}/{generation}/{}", self.key, id.name);
                let answer = self.sagas.show(&child).unwrap().result;
                assert_eq!(answer.as_ref(), Some(&recording.payload), "{what_is_told}");
            }
        }
    }

    fn of(&self, generation: u32, id: &EventId) -> Vec<(usize, &Ran)> {
        let all = self.facts.ran.iter().enumerate();
        all.filter(|(_, ran)| ran.saga == self.key && ran.generation == generation && ran.id == *id).collect()
    }

    /// A step is settled as its attempts say.
    fn step(&self, generation: u32, id: &EventId, recording: &Recording) {
        let all = self.of(generation, id);
        let what_is_told = || format!("{} generation {generation} {id:?} {recording:?}: {all:#?}", self.key);
        let serial: Option<usize> = String::from_utf8_lossy(&recording.payload).parse().ok();
        let settling = serial.and_then(|serial| all.iter().find(|(number, _)| *number == serial));
        assert_eq!(settling.is_none(), recording.cancelled, "{}", what_is_told());
        let last = settling.map_or(usize::MAX, |(number, _)| *number);
        let before: Vec<_> = all.iter().filter(|(number, _)| *number < last).collect();
        assert!(settling.is_none() || all.iter().all(|(number, _)| *number <= last), "{}", what_is_told());
        let comes = settling.map(|(_, ran)| ran.comes.unwrap());
        if comes == Some(Comes::Success) {
            assert_eq!(recording.outcome, Outcome::Success, "{}", what_is_told());
            return;
        }
        if let Some((Comes::NotRun { .. } | Comes::Lost { .. }, (_, ran))) = comes.zip(settling) {
            assert_eq!(ran.attempt, MAX_ATTEMPTS, "given up early: {}", what_is_told());
        }
        let is_lost = |ran: &Ran| matches!(ran.comes, Some(Comes::Lost { .. }));
        let is_cut = |ran: &Ran| ran.left != Some(true);
        let must =
            before.iter().any(|(_, ran)| is_cut(ran) || is_lost(ran)) || settling.is_some_and(|(_, ran)| is_lost(ran));
        let legal = match (must, self.saga.cut) {
            (true, _) => &[Outcome::Unknown][..],
            (false, false) => &[Outcome::Error],
            (false, true) => &[Outcome::Error, Outcome::Unknown],
        };
        assert!(legal.contains(&recording.outcome), "expected {legal:?}: {}", what_is_told());
    }

    /// Each key is done or undone, as the code has left it.
    fn effects(&self, generation: u32, verdict: &Verdict) {
        for (key, effect) in &self.facts.effects {
            assert!(!(effect.done && effect.undone), "{key} is done and undone");
        }
        let prefix = if generation == 0 { format!("{}/", self.key) } else { format!("{}~{generation}/", self.key) };
        let of = |name: &str, occurrence: u32| {
            self.facts.effects.get(&format!("{prefix}{name}#{occurrence}")).copied().unwrap_or_default()
        };
        for undo in &verdict.undos {
            let effect = of(&undo.step.name, undo.occurrence);
            let what = format!("{} generation {generation} {}#{}: {undo:?}", self.key, undo.step.name, undo.occurrence);
            match undo.undone {
                Some(Outcome::Success) => assert!(effect.undone, "{what}"),
                Some(_) => {}
                None if undo.settled == Some(Outcome::Success) => assert!(effect.done && !effect.undone, "{what}"),
                None => assert!(!effect.done, "an effect is left behind: {what}"),
            }
        }
        for (id, what, recording) in &verdict.told {
            if let (Awaited::Step(step), Outcome::Success) = (what, recording.outcome)
                && step.undo.is_none()
            {
                assert!(of(&id.name, id.occurrence).done, "{id:?}");
            }
        }
    }

    /// Each signal that was acknowledged is taken once, in order, or is left.
    fn signals(&self) {
        let names: std::collections::BTreeSet<_> =
            self.facts.sent.iter().filter(|sent| sent.saga == self.key).map(|sent| sent.name.clone()).collect();
        for name in names {
            let told = self.facts.signals_told_at_last(self.key, &name);
            let sent: Vec<_> =
                self.facts.sent.iter().filter(|sent| sent.saga == self.key && sent.name == name).collect();
            let mut next = 0;
            for payload in &told {
                let found = sent.iter().skip(next).position(|sent| sent.payload == *payload);
                let Some(found) = found else { panic!("{} {name}: {told:?} of {sent:?}", self.key) };
                let skipped = &sent[next..next + found];
                assert!(
                    skipped.iter().all(|sent| sent.acked_ms.is_none()),
                    "{} {name}: {told:?} of {sent:?}",
                    self.key
                );
                next += found + 1;
            }
        }
    }

    /// What the code has set last is what is shown.
    fn notes(&self, last: u32, failed: bool, view: &SagaView) {
        if failed {
            return;
        }
        let ops = &self.program.generations[last as usize];
        if let Some(Op::Expose(value)) = ops.iter().rev().find(|op| !matches!(op, Op::Step(_) | Op::Sleep { .. })) {
            assert_eq!(self.sagas.query(self.key, "state"), Ok(Some(vec![*value])));
        }
        let last = ops.iter().rev().find(|op| !matches!(op, Op::Step(_) | Op::Sleep { .. } | Op::Expose(_)));
        if let Some(Op::Attribute(value)) = last {
            assert_eq!(view.attributes, [("state".to_owned(), value.to_string())]);
        }
    }
}
