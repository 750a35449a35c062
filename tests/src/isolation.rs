//! The application of the tests of isolation: functions that misbehave, one that does what a script asks of the host,
//! and what their answers may hold.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::http::Response;
use crate::platform::{Options, Platform};
use crate::repository;

/// The members of a problem that the gateway itself answers with.
const MEMBERS: [&str; 6] = ["detail", "instance", "request_id", "status", "title", "type"];
/// Words that would tell a client how the host works inside.
const INSIDES: [&str; 9] =
    ["wasm", "trap ", "backtrace", "panicked", "unreachable", ".rs", "0x", "guest", "instance of"];

/// Starts the application.
#[must_use]
pub fn start() -> Platform {
    Platform::start_with(&options())
}

/// How it is started.
#[must_use]
pub fn options() -> Options {
    Options { manifest: repository::root().join("tests/applications/isolation/spin.toml"), ..Options::default() }
}

/// The file of a built example, such as `probe` or `spin-app`.
#[must_use]
pub fn component(example: &str) -> PathBuf {
    let file = format!("example_{}.wasm", example.replace('-', "_"));
    repository::root().join("components/target/wasm32-wasip2/release").join(file)
}

/// What the host answered to an action of the script.
///
/// # Panics
/// If the function did not answer.
#[must_use]
pub fn probe(platform: &Platform, action: &Value) -> Value {
    platform.post("/probe", action).send().expect(200)["answer"].take()
}

/// One statement of `weft:sql`.
#[must_use]
pub fn statement(sql: &str, parameters: &Value) -> Value {
    json!({ "sql": sql, "parameters": parameters, "expected_rows": null })
}

/// Checks that the answer is this problem and says nothing of the host's insides.
///
/// # Panics
/// If it is another, or says too much.
pub fn assert_problem(answer: &Response, status: u16, name: &str) {
    let problem = answer.expect(status);
    assert_eq!(problem["type"], format!("urn:weft:problem:{name}"), "{problem}");
    assert_eq!(problem["status"], status);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let mut members: Vec<&String> = problem.as_object().expect("an object").keys().collect();
    members.sort_unstable();
    assert_eq!(members, MEMBERS, "{problem}");
    let said = format!("{} {}", problem["detail"], problem["title"]);
    let told: Vec<&&str> = INSIDES.iter().filter(|word| said.contains(**word)).collect();
    assert!(told.is_empty(), "{said} tells {told:?}");
}

/// The most memory that the host has had at once, in KiB.
///
/// # Panics
/// If it does not run.
#[must_use]
pub fn peak_memory_kib(platform: &Platform) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", platform.pid())).expect("the host runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel counts memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number of KiB")
}
