//! `weft test saga` for tests in Rust: runs a saga under every fault, and answers what came of each.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::platform::{ADMIN_EMAIL, ADMIN_PASSWORD, Platform};
use crate::repository;

/// A saga and what it needs to run.
#[derive(Clone, Debug)]
pub struct SagaTest {
    manifest: PathBuf,
    saga: String,
    input: Value,
    setup: Vec<Value>,
    signals: Vec<Value>,
    options: Vec<String>,
}

/// What came of the cases.
#[derive(Clone, Debug)]
pub struct Report {
    /// In order; the first is the saga without a fault.
    pub cases: Vec<Case>,
    /// 0 if all is well, 1 if there are findings.
    pub exit_code: i32,
}

/// One case.
#[derive(Clone, Debug, Deserialize)]
pub struct Case {
    /// The step, `undo` and the step, the record, or `signals`.
    pub node: String,
    /// Such as `fail after`, `repeat` or `kill`.
    pub fault: String,
    /// Such as `completed`.
    pub outcome: String,
    /// `ok` or `finding`.
    pub verdict: String,
    /// The step whose doing a finding is, if that can be told.
    pub step: Option<String>,
    /// The finding in words.
    pub what: Option<String>,
}

impl SagaTest {
    /// The saga of a component (or `interface#function`) of the repository's manifest. The first of `input`, a list, is
    /// the saga's key.
    #[must_use]
    pub fn new(saga: &str, input: Value) -> Self {
        let manifest = repository::root().join("spin.toml");
        Self { manifest, saga: saga.to_owned(), input, setup: Vec::new(), signals: Vec::new(), options: Vec::new() }
    }

    /// Another manifest, relative to the repository's top.
    #[must_use]
    pub fn manifest(mut self, path: &str) -> Self {
        self.manifest = repository::root().join(path);
        self
    }

    /// A call that makes data which the saga needs.
    #[must_use]
    pub fn setup(mut self, component: &str, function: &str, args: &Value) -> Self {
        self.setup.push(json!({ "component": component, "function": function, "args": args }));
        self
    }

    /// Begins with the data of a host that was stopped.
    #[must_use]
    pub fn from(self, platform: &Platform) -> Self {
        self.option("--from", &platform.data().display().to_string())
    }

    /// A signal that the saga is sent.
    #[must_use]
    pub fn signal(mut self, name: &str, payload: &Value) -> Self {
        self.signals.push(json!({ "name": name, "payload": payload }));
        self
    }

    /// Rows that the saga may leave when it is undone, as `context.table` or `context.table:column=value`.
    #[must_use]
    pub fn may_leave(self, rows: &str) -> Self {
        self.option("--may-leave", rows)
    }

    /// A table or a column that is not compared.
    #[must_use]
    pub fn ignore(self, name: &str) -> Self {
        self.option("--ignore", name)
    }

    fn option(mut self, name: &str, value: &str) -> Self {
        self.options.extend([name.to_owned(), value.to_owned()]);
        self
    }

    /// Runs all cases.
    ///
    /// # Panics
    /// If the harness refuses what it is given or says something else than cases.
    #[must_use]
    pub fn run(&self) -> Report {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (setup, signals) = (lines(&self.setup), lines(&self.signals));
        let input = lines(std::slice::from_ref(&self.input));
        let mut command = Command::new(repository::weft());
        command.args(["test", "saga", &self.saga, "--json", "--input"]).arg(input.path());
        command.arg("--manifest").arg(&self.manifest).arg("--data").arg(folder.path().join("data"));
        let mut file = |name: &str, values: &[Value], file: &Path| {
            if !values.is_empty() {
                command.arg(name).arg(file);
            }
        };
        file("--setup", &self.setup, setup.path());
        file("--signals", &self.signals, signals.path());
        command.args(&self.options).current_dir(folder.path()).stdin(Stdio::null());
        command.env("SPIN_VARIABLE_ADMIN_EMAIL", ADMIN_EMAIL).env("SPIN_VARIABLE_ADMIN_PASSWORD", ADMIN_PASSWORD);
        let output = command.output().expect("weft can be started");
        let said = String::from_utf8_lossy(&output.stderr);
        let exit_code = output.status.code().unwrap_or(-1);
        assert!(matches!(exit_code, 0 | 1), "{}: {said}", output.status);
        let text = String::from_utf8_lossy(&output.stdout);
        let case = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let cases: Vec<Case> = text.lines().map(case).collect();
        assert!(!cases.is_empty(), "no case was run: {said}");
        Report { cases, exit_code }
    }
}

impl Report {
    /// Cases with a wrong outcome.
    #[must_use]
    pub fn findings(&self) -> Vec<&Case> {
        self.cases.iter().filter(|case| case.verdict != "ok").collect()
    }

    /// The case of a node and a fault.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn case(&self, node: &str, fault: &str) -> &Case {
        let found = self.cases.iter().find(|case| case.node == node && case.fault == fault);
        found.unwrap_or_else(|| panic!("{node} was not tried with {fault}: {:#?}", self.cases))
    }

    /// How many cases have this fault.
    #[must_use]
    pub fn count(&self, fault: &str) -> usize {
        self.cases.iter().filter(|case| case.fault == fault).count()
    }

    /// All is well.
    ///
    /// # Panics
    /// With the findings, if there are any.
    pub fn assert_clean(&self) {
        let findings = self.findings();
        assert!(findings.is_empty(), "{findings:#?}");
        assert_eq!(self.exit_code, 0);
    }
}

/// A file with one value a line.
fn lines(values: &[Value]) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a temporary file");
    for value in values {
        writeln!(file, "{value}").expect("a temporary file can be written");
    }
    file
}
