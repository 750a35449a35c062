//! Finds cycles among the calls between components: a function that waits for itself never answers.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Manifest;
use super::problems::Problems;

/// Reports each cycle once, with the lines of its calls.
pub(super) fn report(manifest: &Manifest, problems: &Problems) {
    let mut done = BTreeSet::new();
    for start in manifest.components.keys() {
        if done.contains(start) {
            continue;
        }
        // Iterative, since a manifest may chain more components than the stack has room for.
        let mut path: Vec<Step<'_>> = vec![Step::into(manifest, start)];
        while let Some(step) = path.last_mut() {
            let Some(callee) = step.callees.pop() else {
                done.insert(step.component);
                path.pop();
                continue;
            };
            if let Some(from) = path.iter().position(|step| step.component == callee) {
                if let Some(cycle) = path.get(from..) {
                    report_one(manifest, cycle, problems);
                }
            } else if !done.contains(callee) {
                path.push(Step::into(manifest, callee));
            }
        }
    }
}

struct Step<'m> {
    component: &'m Arc<str>,
    /// Not yet looked at, the last one first.
    callees: Vec<&'m Arc<str>>,
}

impl<'m> Step<'m> {
    fn into(manifest: &'m Manifest, component: &'m Arc<str>) -> Self {
        let calls = manifest.components.get(component).map(|component| &component.grants.calls);
        let mut callees: Vec<_> = calls.into_iter().flatten().map(|(_, callee)| &callee.value).collect();
        callees.sort_unstable_by(|a, b| b.cmp(a));
        callees.dedup();
        Self { component, callees }
    }
}

fn report_one(manifest: &Manifest, cycle: &[Step<'_>], problems: &Problems) {
    let Some(first) = cycle.first() else { return };
    let names: Vec<&str> = cycle.iter().chain([first]).map(|step| &**step.component).collect();
    let next = cycle.iter().skip(1).chain([first]);
    let line_of = |(from, to): (&Step<'_>, &Step<'_>)| {
        let calls = &manifest.components.get(from.component)?.grants.calls;
        calls.values().find(|callee| callee.value == *to.component).map(|callee| callee.line)
    };
    let lines: Vec<usize> = cycle.iter().zip(next).filter_map(line_of).collect();
    let shown: Vec<String> = lines.iter().map(ToString::to_string).collect();
    problems.report_with_help(
        lines.first().copied().unwrap_or_default(),
        format!("calls in a circle: {}", names.join(" -> ")),
        format!("remove one of the calls on line {}; an event or a saga breaks a circle", shown.join(", ")),
    );
}
