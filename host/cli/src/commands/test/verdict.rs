//! What a case came to, and whether that is right: the saga has ended, and the data tells the truth about how.

use super::cases::{Case, Expect};
use super::data::Data;
use super::job::{Ended, Step};
use super::rules::Rules;

/// What was seen of a case.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Of the last host.
    pub ended: Ended,
    /// Where the saga stood before somebody resolved it.
    pub before: Option<String>,
    /// The first host was killed.
    pub killed: bool,
    /// A host did not end and was killed.
    pub hung: bool,
    /// What the databases held in the end.
    pub data: Data,
}

/// What there is to compare with.
pub struct References<'a> {
    /// What is compared.
    pub rules: &'a Rules,
    /// The saga's key.
    pub key: &'a str,
    /// Before the saga.
    pub prepared: &'a Data,
    /// Without a fault.
    pub clean: &'a Seen,
    /// The run in which the compensations were seen.
    pub undone: Option<&'a Seen>,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The step whose doing it is, if that can be told.
    pub step: Option<String>,
    /// In words.
    pub what: String,
}

/// The node; of a record, with what was settled when the process was killed after it.
pub fn node(case: &Case, seen: &Seen) -> String {
    let settled = seen.ended.found.iter().rev().find(|step| step.is_settled());
    match settled.filter(|_| seen.killed) {
        Some(step) if step.undo => format!("{}, after undo {}", case.node, step.label()),
        Some(step) => format!("{}, after {}", case.node, step.label()),
        None => case.node.clone(),
    }
}

/// The outcome in a few words.
pub fn outcome(case: &Case, seen: &Seen) -> String {
    let status = &seen.ended.status;
    let mut outcome = match &seen.before {
        Some(before) => format!("{before}, resolved: {status}"),
        None => status.clone(),
    };
    if !case.trouble.failpoint.is_empty() && !seen.killed {
        outcome.push_str(" (not reached)");
    }
    outcome
}

/// What is wrong with a case, if anything is.
pub fn judge(case: &Case, seen: &Seen, references: &References<'_>) -> Option<Finding> {
    let ended = &seen.ended;
    let finding = |what: String| Some(Finding { step: blamed(case, seen, references.clean), what });
    if seen.hung {
        return finding("a host did not end in time and was killed".to_owned());
    }
    let why = ended.error.as_deref().map(|error| format!(": {error}")).unwrap_or_default();
    if ended.timed_out {
        let open = ended.steps.iter().find(|step| !step.is_settled()).map(Step::label);
        let open =
            open.map_or("it waits for a timer, a signal or a child".to_owned(), |step| format!("at step {step}"));
        return finding(format!("the saga has not ended in time: {}, {open}", ended.status));
    }
    if !matches!(ended.status.as_str(), "completed" | "compensated") {
        return finding(format!("the saga ended as {}{why}", ended.status));
    }
    if ended.unsettled {
        return finding("events that it published, or sagas that it began, have not settled in time".to_owned());
    }
    match case.expect {
        Expect::CleanOrUndone if ended.status == "completed" => without(seen, references).and_then(finding),
        Expect::CleanOrUndone => undone(case, seen, references),
        // A step that may not be tried again ends the saga.
        Expect::Clean if not_tried_again(case, ended) => undone(case, seen, references),
        Expect::Clean => like(case, seen, references.clean, references).and_then(finding),
        Expect::Undone => like(case, seen, references.undone.unwrap_or(references.clean), references).and_then(finding),
    }
}

fn not_tried_again(case: &Case, ended: &Ended) -> bool {
    let step = ended.steps.iter().find(|step| !step.undo && Some(step.label()) == case.step);
    ended.status == "compensated" && case.fault == "repeat" && step.is_some_and(|step| step.attempts < 2)
}

/// How it differs from a run that it has to be like.
fn like(case: &Case, seen: &Seen, wanted: &Seen, references: &References<'_>) -> Option<String> {
    let repeated = if case.fault == "repeat" { "done twice, it is not as if done once: " } else { "" };
    if seen.ended.status != wanted.ended.status {
        let why = seen.ended.error.as_deref().unwrap_or("no reason given");
        return Some(format!("{repeated}the saga is {} instead of {}: {why}", seen.ended.status, wanted.ended.status));
    }
    let different = references.rules.difference(&seen.data, &wanted.data);
    different.map(|different| format!("{repeated}{different}"))
}

/// What a saga that went on without a step has beyond what it should have.
fn without(seen: &Seen, references: &References<'_>) -> Option<String> {
    let clean = &references.clean.data;
    references.rules.surplus(&seen.data, clean).map(|surplus| format!("it went on, and {surplus}"))
}

/// What is left of a saga that has been undone.
fn undone(case: &Case, seen: &Seen, references: &References<'_>) -> Option<Finding> {
    let References { rules, clean, .. } = references;
    if clean.ended.status == seen.ended.status && rules.difference(&seen.data, &clean.data).is_none() {
        return None;
    }
    let different = rules.difference_undone(&seen.data, references.prepared)?;
    let forgotten = forgotten(seen, references.key);
    Some(if forgotten.is_empty() {
        let what = format!("the saga was undone, and the data is not as before it: {different}");
        Finding { step: case.step.clone(), what }
    } else {
        let steps = forgotten.join(", ");
        Finding { what: format!("not compensated: {different}"), step: Some(steps) }
    })
}

/// Steps that did or may have done something and were not taken back: those whose effects stand under their keys, or
/// all if none does.
fn forgotten(seen: &Seen, key: &str) -> Vec<String> {
    let steps = &seen.ended.steps;
    let is_undone = |step: &Step| {
        let same = |undo: &Step| undo.undo && undo.name == step.name && undo.occurrence == step.occurrence;
        steps.iter().any(|undo| same(undo) && undo.status == "compensated")
    };
    let did = |step: &&Step| !step.undo && matches!(step.status.as_str(), "completed" | "unknown");
    let forgotten: Vec<&Step> = steps.iter().filter(did).filter(|step| !is_undone(step)).collect();
    let stands = |step: &&&Step| seen.data.effects.contains(&format!("{key}/{}#{}", step.name, step.occurrence));
    let standing: Vec<String> = forgotten.iter().filter(stands).map(|step| step.label()).collect();
    if standing.is_empty() { forgotten.iter().map(|step| step.label()).collect() } else { standing }
}

/// The step of the case; after a kill, the one that ran then.
fn blamed(case: &Case, seen: &Seen, clean: &Seen) -> Option<String> {
    let settled =
        |step: &Step| seen.ended.found.iter().any(|found| found.label() == step.label() && found.is_settled());
    let ran = || clean.ended.steps.iter().find(|step| !step.undo && !settled(step)).map(Step::label);
    case.step.clone().or_else(|| if seen.killed { ran() } else { None })
}

#[cfg(test)]
mod tests {
    use weft_capability::sqlite_tables::Table;

    use super::super::cases;
    use super::*;

    fn step(name: &str, undo: bool, status: &str) -> Step {
        Step { name: name.to_owned(), occurrence: 1, undo, status: status.to_owned(), attempts: 1 }
    }

    /// A saga whose data is these rows of one table.
    fn seen(status: &str, steps: &[Step], rows: &[&str]) -> Seen {
        let rows = rows.iter().map(|row| vec![(*row).to_owned()]).collect();
        let table = Table { name: "t".to_owned(), columns: vec!["a".to_owned()], rows };
        let data = Data { tables: [("c.t".to_owned(), table)].into(), effects: Vec::new() };
        let ended = Ended { status: status.to_owned(), steps: steps.to_vec(), ..Ended::default() };
        Seen { ended, data, ..Seen::default() }
    }

    fn judged(case: &Case, seen: &Seen) -> Option<Finding> {
        let steps = [step("one", false, "completed"), step("two", false, "completed")];
        let (clean, before) = (self::seen("completed", &steps, &["1", "2"]), self::seen("", &[], &[]).data);
        let rules = Rules::default();
        let references = References { rules: &rules, key: "k", prepared: &before, clean: &clean, undone: None };
        judge(case, seen, &references)
    }

    fn case(fault: &str) -> Case {
        let steps = [step("one", false, "completed"), step("two", false, "completed")];
        cases::of_steps(&steps, 1, false).into_iter().rfind(|case| case.fault == fault).unwrap()
    }

    #[test]
    fn what_is_undone_leaves_nothing() {
        let undone = [step("one", false, "completed"), step("two", false, "unknown"), step("one", true, "compensated")];
        assert_eq!(judged(&case("fail"), &seen("compensated", &undone, &[])), None);
        let left = judged(&case("fail"), &seen("compensated", &undone, &["2"])).unwrap();
        assert_eq!(left, Finding { step: Some("two".into()), what: "not compensated: c.t has (a=2)".into() });
        let mut both = seen("compensated", &undone[..2], &["1"]);
        both.data.effects = vec!["k/one#1".to_owned()];
        assert_eq!(judged(&case("fail"), &both).unwrap().step.as_deref(), Some("one"), "its effect stands");
    }

    #[test]
    fn a_saga_may_go_on_without_a_step_but_not_with_more() {
        assert_eq!(judged(&case("fail"), &seen("completed", &[], &["1"])), None);
        let more = judged(&case("fail"), &seen("completed", &[], &["1", "2", "2"])).unwrap();
        assert_eq!(more.what, "it went on, and c.t has (a=2)");
    }

    #[test]
    fn a_repeated_step_changes_nothing() {
        assert_eq!(judged(&case("repeat"), &seen("completed", &[], &["1", "2"])), None);
        let twice = judged(&case("repeat"), &seen("completed", &[], &["1", "2", "2"])).unwrap();
        assert_eq!((twice.step.as_deref(), twice.what.contains("done twice")), (Some("two"), true));
        // One that may not be tried again ends the saga, and everything is undone.
        let once = [step("two", false, "unknown"), step("two", true, "compensated")];
        assert_eq!(judged(&case("repeat"), &seen("compensated", &once, &[])), None);
        let again = [Step { attempts: 2, ..step("two", false, "failed") }];
        assert!(judged(&case("repeat"), &seen("compensated", &again, &[])).is_some(), "refused when it was repeated");
    }

    #[test]
    fn a_kill_is_blamed_on_the_step_that_ran() {
        let mut killed = seen("completed", &[], &["1", "2", "2"]);
        killed.killed = true;
        killed.ended.found = vec![step("one", false, "completed")];
        assert_eq!(judged(&case("kill"), &killed).unwrap().step.as_deref(), Some("two"));
        assert_eq!(node(&case("kill"), &killed), "record 1 of 1, after one");
        assert_eq!(outcome(&case("kill"), &seen("completed", &[], &[])), "completed (not reached)");
    }

    #[test]
    fn a_saga_has_to_end() {
        for status in ["needs-attention", "not started", "running"] {
            assert!(judged(&case("fail"), &seen(status, &[], &[])).unwrap().what.contains(status), "{status}");
        }
        let mut late = seen("running", &[step("one", false, "running")], &[]);
        late.ended.timed_out = true;
        assert!(judged(&case("kill"), &late).unwrap().what.ends_with("running, at step one"));
        let mut unsettled = seen("completed", &[], &["1", "2"]);
        unsettled.ended.unsettled = true;
        assert!(judged(&case("kill"), &unsettled).is_some());
    }
}
