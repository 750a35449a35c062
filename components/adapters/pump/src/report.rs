//! What a pump answers.

use serde::Serialize;

/// The most failures that are told one by one.
const TOLD: usize = 20;

/// What was done for a component.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    component: String,
    /// All that was done, of whatever kind.
    done: u64,
    failed: u64,
    pub(crate) started: bool,
    pub(crate) sagas: u64,
    pub(crate) delivered: u64,
    pub(crate) projected: u64,
    /// Something still runs.
    pub(crate) unfinished: bool,
    errors: Vec<String>,
}

impl Report {
    pub(crate) fn new(component: &str) -> Self {
        Self {
            component: component.to_owned(),
            done: 0,
            failed: 0,
            started: false,
            sagas: 0,
            delivered: 0,
            projected: 0,
            unfinished: false,
            errors: Vec::new(),
        }
    }

    /// Counts what was done.
    pub(crate) fn did(&mut self, count: u64) {
        self.done += count;
    }

    /// Notes what did not succeed, also in the log.
    pub(crate) fn failed(&mut self, what: &str, why: &str) {
        eprintln!("{what}: {why}");
        self.failed += 1;
        if self.errors.len() < TOLD {
            self.errors.push(format!("{what}: {why}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_all_counted_and_some_are_told() {
        let mut report = Report::new("c");
        report.did(3);
        (0..30).for_each(|number| report.failed("saga", &number.to_string()));
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!((&json["component"], &json["done"], &json["failed"]), (&"c".into(), &3.into(), &30.into()));
        assert_eq!(json["errors"].as_array().map(Vec::len), Some(TOLD));
        assert_eq!(json["errors"][0], "saga: 0");
    }
}
