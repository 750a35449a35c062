//! Which cases there are: every node of the saga, as a clean run has shown them, under every fault that fits it.

use super::job::{Step, Telling};
use super::lab::Trouble;
use crate::faults::{Written, WrittenKind, WrittenPhase};

/// A record of the journal is written.
const RECORD: &str = "journal.record-written";

/// One run of the saga with a fault in it.
#[derive(Clone, Debug)]
pub struct Case {
    /// The step, the compensation, the record or the signals that it is about.
    pub node: String,
    /// What goes wrong there.
    pub fault: &'static str,
    /// The same for the host.
    pub trouble: Trouble,
    /// When signals are sent.
    pub telling: Telling,
    /// A person tries again what failed, once the saga needs attention.
    pub resolve: bool,
    /// What is to come of it.
    pub expect: Expect,
    /// The step that is at fault if it does not.
    pub step: Option<String>,
}

/// What is to come of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// The same as without the fault.
    Clean,
    /// The same as without the fault, or everything is undone.
    CleanOrUndone,
    /// The same as of the run in which the compensations were seen.
    Undone,
}

impl Case {
    /// The saga as it is.
    pub fn clean() -> Self {
        Self {
            node: "saga".to_owned(),
            fault: "none",
            trouble: Trouble::default(),
            telling: Telling::InTime,
            resolve: false,
            expect: Expect::Clean,
            step: None,
        }
    }

    fn of_step(step: &Step, kind: WrittenKind, before: &[Written]) -> Self {
        let phase = if step.undo { WrittenPhase::Undo } else { WrittenPhase::Do };
        let fault = Written { step: step.name.clone(), occurrence: step.occurrence, phase, kind };
        let faults = before.iter().cloned().chain([fault]).collect();
        let (node, expect) = match (step.undo, kind) {
            (true, _) => (format!("undo {}", step.label()), Expect::Undone),
            (false, WrittenKind::Repeat) => (step.label(), Expect::Clean),
            (false, _) => (step.label(), Expect::CleanOrUndone),
        };
        let fault = match kind {
            WrittenKind::Fail if step.undo => "fail, then resolve",
            WrittenKind::Fail => "fail",
            WrittenKind::FailAfter => "fail after",
            WrittenKind::Repeat => "repeat",
        };
        let trouble = Trouble { faults, failpoint: String::new() };
        let resolve = step.undo && kind == WrittenKind::Fail;
        Self { node, fault, trouble, resolve, expect, step: Some(step.label()), ..Self::clean() }
    }
}

/// Each step fails and is repeated, the process is killed after each record, and signals come late and twice.
pub fn of_steps(steps: &[Step], records: u64, has_signals: bool) -> Vec<Case> {
    let kinds = [WrittenKind::Fail, WrittenKind::FailAfter, WrittenKind::Repeat];
    let steps = steps.iter().filter(|step| !step.undo);
    let faults = steps.flat_map(|step| kinds.map(|kind| Case::of_step(step, kind, &[])));
    let kills = (1..=records).map(|record| Case {
        node: format!("record {record} of {records}"),
        fault: "kill",
        trouble: Trouble { faults: Vec::new(), failpoint: format!("{RECORD}:{record}") },
        ..Case::clean()
    });
    let tellings = [("late", Telling::Late), ("twice", Telling::Twice)];
    let told = tellings.into_iter().filter(|_| has_signals).map(|(fault, telling)| Case {
        node: "signals".to_owned(),
        fault,
        telling,
        ..Case::clean()
    });
    faults.chain(kills).chain(told).collect()
}

/// Each compensation of a run with the faults `before` is repeated, and fails until somebody resolves it.
pub fn of_compensations(steps: &[Step], before: &[Written]) -> Vec<Case> {
    let undone = steps.iter().filter(|step| step.undo);
    undone
        .flat_map(|step| [WrittenKind::Repeat, WrittenKind::Fail].map(|kind| Case::of_step(step, kind, before)))
        .collect()
}

/// How many records the counts of a host's failpoints tell of.
pub fn records(counts: &str) -> u64 {
    let count = counts.lines().filter_map(|line| line.split_once(' ')).find(|(name, _)| *name == RECORD);
    count.and_then(|(_, count)| count.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(name: &str, occurrence: u32, undo: bool) -> Step {
        Step { name: name.to_owned(), occurrence, undo, status: "completed".to_owned(), attempts: 1 }
    }

    fn told(cases: &[Case]) -> Vec<String> {
        cases.iter().map(|case| format!("{}: {}", case.node, case.fault)).collect()
    }

    #[test]
    fn every_node_has_its_faults() {
        let steps = [step("a", 1, false), step("a", 2, false), step("a", 1, true)];
        let expected = ["a: fail", "a: fail after", "a: repeat", "a#2: fail", "a#2: fail after", "a#2: repeat"];
        assert_eq!(told(&of_steps(&steps, 0, false)), expected);
        let rest = ["record 1 of 2: kill", "record 2 of 2: kill", "signals: late", "signals: twice"];
        assert_eq!(told(&of_steps(&[], 2, true)), rest);
        let undone = of_compensations(&steps, &of_steps(&steps, 0, false)[4].trouble.faults);
        assert_eq!(told(&undone), ["undo a: repeat", "undo a: fail, then resolve"]);
        assert!(undone.iter().all(|case| case.trouble.faults.len() == 2) && undone[1].resolve);
    }

    #[test]
    fn records_are_counted() {
        assert_eq!(records("journal.after-flush 3\njournal.record-written 7\n"), 7);
        assert_eq!(records(""), 0);
    }
}
