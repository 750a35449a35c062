//! Sagas seen step by step: which of a kind there are, what their steps came to, a function called by hand as a step that
//! arrives late would, and a manifest that lets a step fail.

use serde_json::Value;

use crate::invariants;
use crate::platform::Platform;
use crate::repository;

/// The course-enrollment saga.
pub const ENROLL: &str = "education:enrollment/enrolling@1.0.0#enroll";
/// The user-registration saga.
pub const REGISTER: &str = "education:identity/registration@1.0.0#register";
/// The course-creation saga.
pub const CREATE_COURSE: &str = "education:courses/creation@1.0.0#create";
/// The content-processing saga, orchestrated.
pub const PROCESS_CONTENT: &str = "education:content/processing@1.0.0#process";

/// The one saga of that name that `token` may see, once all have ended: as `GET /api/sagas/:id` shows it.
///
/// # Panics
/// If there is none or another.
#[must_use]
pub fn only(platform: &Platform, name: &str, token: &str) -> Value {
    let all = invariants::settled(platform).into_keys();
    let shown = all.map(|id| platform.get(&format!("/api/sagas/{id}")).token(token).send());
    let mut named = shown.filter(|answer| answer.status == 200).map(|answer| answer.json());
    let mut named = named.by_ref().filter(|saga| saga["name"] == name);
    let (only, another) = (named.next(), named.next());
    assert!(another.is_none(), "another {name}: {another:?}");
    only.unwrap_or_else(|| panic!("no {name}"))
}

/// Steps with their phases, as the saga shows them.
///
/// # Panics
/// If it shows none.
#[must_use]
pub fn steps(saga: &Value) -> Vec<String> {
    let steps = saga["steps"].as_array().expect("steps").iter();
    let word = |step: &Value, key: &str| step[key].as_str().unwrap_or_default().to_owned();
    steps.map(|step| format!("{} {}", word(step, "phase"), word(step, "name"))).collect()
}

/// Calls a function by hand: what it answers, or why it does not.
///
/// # Errors
/// What `weft invoke` says.
pub fn invoke(platform: &Platform, component: &str, function: &str, arguments: &Value) -> Result<String, String> {
    let (status, stdout, stderr) = platform.weft(&["invoke", component, function, &arguments.to_string()]);
    if status.success() { Ok(stdout) } else { Err(format!("{stdout}{stderr}")) }
}

/// The repository's manifest with one line changed, in a file of its own beside it: its paths are relative.
///
/// # Panics
/// If the manifest does not have the line.
#[must_use]
pub fn manifest_with(line: &str, instead: &str) -> tempfile::NamedTempFile {
    let text = std::fs::read_to_string(repository::root().join("spin.toml")).expect("the manifest is there");
    assert!(text.contains(line), "the manifest no longer has {line:?}");
    let file = tempfile::Builder::new().prefix(".spin-test-").suffix(".toml").tempfile_in(repository::root());
    let file = file.expect("the repository can be written");
    std::fs::write(file.path(), text.replacen(line, instead, 1)).expect("the manifest can be written");
    file
}
