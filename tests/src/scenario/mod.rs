//! Scenarios: a folder with `steps.toml` (requests, and by hand what has to come of them) and `expected.json` (the whole
//! answers, made anew by `BLESS=1` and read by a person then). Each runs on a platform of its own.

mod check;
mod golden;
mod steps;
mod variables;

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::http::Response;
use crate::people::{self, Person};
use crate::platform::{Options, Platform};
use crate::repository;
use crate::skip;
use crate::wait::eventually;
use golden::Golden;
use steps::{Scenario, Step};
use variables::Variables;

/// Where the scenarios are.
#[must_use]
pub fn folder() -> PathBuf {
    repository::root().join("tests/scenarios")
}

/// Runs the scenario of that name.
///
/// # Panics
/// If an answer is not what it has to be, with the step's name.
pub fn run(name: &str) {
    let folder = folder().join(name);
    let scenario = Scenario::load(&folder.join("steps.toml"));
    if scenario.needs.iter().any(|component| skip::without(component)) {
        return;
    }
    let mut runner = Runner::start(&folder, &scenario);
    let mut golden = Golden::load(&folder.join("expected.json"));
    for step in &scenario.steps {
        let answer = runner.perform(step);
        if step.golden {
            golden.check(&step.name, &runner.variables, &answer);
        }
    }
    let status = runner.platform.stop();
    assert!(status.success(), "SIGTERM: {status}");
    golden.finish();
}

struct Runner {
    platform: Platform,
    variables: Variables,
}

impl Runner {
    fn start(folder: &Path, scenario: &Scenario) -> Self {
        let own = folder.join("spin.toml");
        let mut options = Options::default();
        if own.exists() {
            options.manifest = own;
        }
        let platform = Platform::start_with(&options);
        let mut variables = Variables::default();
        for (name, role) in &scenario.people {
            let person = people::register(&platform, name, role);
            variables.set_person(name, &person);
        }
        Self { platform, variables }
    }

    /// Sends the step's request until its answer is right, or once, and remembers what it captures.
    fn perform(&mut self, step: &Step) -> Response {
        if step.actor.as_deref() == Some("admin") && !self.variables.knows("admin.token") {
            let admin: Person = people::admin(&self.platform);
            self.variables.set_person("admin", &admin);
        }
        let answer = if step.eventually {
            eventually(&step.name, || {
                let answer = self.send(step);
                check::answer(step, &self.variables, &answer).map(|()| answer)
            })
        } else {
            let answer = self.send(step);
            if let Err(wrong) = check::answer(step, &self.variables, &answer) {
                panic!("step {:?}: {wrong}\n{}", step.name, answer.text());
            }
            answer
        };
        for (name, pointer) in &step.capture {
            let body = answer.json();
            let value = body.pointer(pointer).unwrap_or_else(|| panic!("step {:?}: no {pointer}: {body}", step.name));
            self.variables.set(name, value);
        }
        answer
    }

    fn send(&self, step: &Step) -> Response {
        let fill = |text: &str| self.variables.fill(text).unwrap_or_else(|why| panic!("step {:?}: {why}", step.name));
        let (method, path) = step.request.split_once(' ').expect("a request is a method and a path");
        let mut request = self.platform.request(method, &fill(path));
        if let Some(actor) = &step.actor {
            request = request.token(&fill(&format!("${{{actor}.token}}")));
        }
        if let Some(token) = &step.token {
            let mut token = token.clone();
            token.sub = fill(&token.sub);
            request = request.token(&self.platform.token(&token));
        }
        for (name, value) in &step.headers {
            request = request.header(name, &fill(value));
        }
        request = match (&step.json, &step.body, step.body_bytes) {
            (Some(json), None, None) => request.json(&self.filled(step, json)),
            (None, Some(body), None) => request.header("content-type", "application/json").body(fill(body)),
            (None, None, Some(bytes)) => request.header("content-type", "application/json").body(vec![b' '; bytes]),
            (None, None, None) => request,
            _ => panic!("step {:?}: json, body and body_bytes exclude one another", step.name),
        };
        request.send()
    }

    fn filled(&self, step: &Step, value: &Value) -> Value {
        match value {
            Value::String(text) => {
                let filled = self.variables.fill(text);
                Value::String(filled.unwrap_or_else(|why| panic!("step {:?}: {why}", step.name)))
            }
            Value::Array(items) => items.iter().map(|item| self.filled(step, item)).collect(),
            Value::Object(map) => {
                let filled = map.iter().map(|(key, value)| (key.clone(), self.filled(step, value)));
                Value::Object(filled.collect::<Map<_, _>>())
            }
            other => other.clone(),
        }
    }
}
