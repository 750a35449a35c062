//! Sagas as an operator has them in hand: started, told, asked, stopped, resolved and moved to new code from the command
//! line, followed and drawn, with every action in the audit log.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use weft_tests::platform::{Options, Platform};
use weft_tests::repository;
use weft_tests::wait::eventually;

/// What the compensation of `reserve` comes to when it is to fail.
const UNDO_FAILS: &str = r#"[{"step": "reserve", "occurrence": 1, "phase": "undo", "kind": "fail"}]"#;

fn options() -> Options {
    Options { manifest: repository::root().join("tests/applications/durable/spin.toml"), ..Options::default() }
}

/// Runs a command that has to succeed; what it prints.
fn weft(platform: &Platform, arguments: &[&str]) -> String {
    let (status, stdout, stderr) = platform.weft(arguments);
    assert!(status.success(), "{arguments:?}: {stdout}{stderr}");
    stdout
}

/// Runs a command that has to fail with this code; what it says.
fn refused(platform: &Platform, code: i32, arguments: &[&str]) -> String {
    let (status, stdout, stderr) = platform.weft(arguments);
    assert_eq!(status.code(), Some(code), "{arguments:?}: {stdout}{stderr}");
    stderr
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn show(platform: &Platform, id: &str) -> Value {
    parsed(&weft(platform, &["saga", "show", id, "--json"]))
}

fn wait_for_status(platform: &Platform, id: &str, wanted: &str) -> Value {
    eventually("the saga comes there", || {
        let saga = show(platform, id);
        if saga["status"] == wanted { Ok(saga) } else { Err(saga) }
    })
}

/// Begins a saga that reserves and then waits for a signal.
fn start_approval(platform: &Platform, id: &str) {
    let order = r#"[{"item": "book", "cents": 5}]"#;
    assert_eq!(weft(platform, &["saga", "start", "orders", "orders#approve", order, "--id", id]).trim_end(), id);
    eventually("it waits for its signal", || {
        let (status, stdout, stderr) = platform.weft(&["saga", "query", id, "state"]);
        if status.success() && parsed(&stdout) == "waits for approval" { Ok(()) } else { Err(stderr) }
    });
}

/// The audit log: action, saga, outcome.
fn audit(platform: &Platform) -> Vec<[String; 3]> {
    let entries = weft(platform, &["audit", "--json"]);
    let entries = entries.lines().map(parsed);
    let word = |entry: &Value, name: &str| entry[name].as_str().expect("text").to_owned();
    entries.map(|entry| ["action", "saga", "outcome"].map(|name| word(&entry, name))).collect()
}

#[test]
fn a_saga_is_started_asked_held_and_told() {
    let mut platform = Platform::start_with(&options());
    start_approval(&platform, "a/1");
    // Again is the same saga, also for a host that was killed: the id was answered when it was durable.
    platform.kill();
    platform.run(&options()).expect("the host starts again");
    let again = ["saga", "start", "orders", "orders#approve", "({item: \"book\", cents: 5})", "--id", "a/1", "--json"];
    assert_eq!(parsed(&weft(&platform, &again)), json!({"id": "a/1", "existing": true}));
    let other = refused(&platform, 1, &["saga", "start", "orders", "orders#remind", "[1]", "--id", "a/1"]);
    assert!(other.contains("belongs to another saga"), "{other}");

    weft(&platform, &["saga", "pause", "a/1", "--reason", "lunch"]);
    let found = ["saga", "list", "--status", "paused", "--attribute", "item=book", "--since", "1h", "--json"];
    let found = parsed(&weft(&platform, &found));
    let correlation = found["items"][0]["correlation_id"].as_str().expect("it is found").to_owned();
    for nothing in [&["--attribute", "item=pen"][..], &["--until", "1h"], &["--correlation", "other"]] {
        let list = parsed(&weft(&platform, &[&["saga", "list", "--json"], nothing].concat()));
        assert_eq!(list["items"], json!([]), "{nothing:?}");
    }
    weft(&platform, &["saga", "signal", "a/1", "approval", "true", "--id", "1"]);
    weft(&platform, &["saga", "signal", "a/1", "approval", "false", "--id", "1"]);
    assert_eq!(show(&platform, "a/1")["status"], "paused");
    weft(&platform, &["saga", "resume", "a/1"]);
    let saga = wait_for_status(&platform, "a/1", "completed");
    assert_eq!(parsed(saga["result"].as_str().expect("a result")), json!({"ok": "approved"}));
    assert_eq!((&saga["attributes"], &saga["waits"][0]["name"]), (&json!({"item": "book"}), &json!("approval")));
    let orders: Vec<_> = saga["orders"].as_array().expect("orders").iter().map(|order| &order["order"]).collect();
    assert_eq!(orders, ["pause", "resume"]);
    assert_eq!(saga["orders"][0]["reason"], "lunch");

    let drawn = weft(&platform, &["saga", "timeline", &correlation, "--ascii"]);
    assert!(drawn.contains("reserve") && drawn.contains("signal approval") && drawn.contains('#'), "{drawn}");
    let timeline = parsed(&weft(&platform, &["saga", "timeline", "a/1", "--json"]));
    assert_eq!(timeline["sagas"][0]["steps"][0]["tried"][0]["outcome"], "success");
    refused(&platform, 1, &["saga", "signal", "a/1", "approval"]);

    let audit = audit(&platform);
    let actions: Vec<&str> = audit.iter().map(|[action, ..]| action.as_str()).collect();
    assert_eq!(actions, ["start", "start", "start", "pause", "signal", "signal", "resume", "signal"]);
    let refusals: Vec<usize> = (0..audit.len()).filter(|number| audit[*number][2].starts_with("refused: ")).collect();
    assert_eq!(refusals, [2, 7], "{audit:?}");
}

#[test]
fn a_cancelled_saga_takes_back_what_it_did() {
    let platform = Platform::start_with(&options());
    start_approval(&platform, "c");
    weft(&platform, &["saga", "cancel", "c", "--reason", "ordered twice"]);
    let saga = wait_for_status(&platform, "c", "compensated");
    let compensations: Vec<&Value> =
        saga["steps"].as_array().expect("steps").iter().filter(|step| step["compensation"] == true).collect();
    assert_eq!((compensations.len(), &compensations[0]["name"]), (1, &json!("reserve")));
    let shown = weft(&platform, &["saga", "show", "c"]);
    assert!(shown.contains("COMPENSATION") && shown.contains("ordered twice"), "{shown}");
    let drawn = weft(&platform, &["saga", "timeline", "c", "--ascii"]);
    let undo = drawn.lines().find(|line| line.starts_with("undo reserve")).expect("it is drawn");
    assert!(undo.contains('='), "{drawn}");
    assert!(weft(&platform, &["invoke", "shop", "shop#book"]).contains("ok([])"));
}

#[test]
fn a_compensation_that_fails_waits_for_a_person() {
    let platform = Platform::start_with(&options().env("WEFT_SAGA_FAULTS", UNDO_FAILS));
    for id in ["skip", "leave"] {
        start_approval(&platform, id);
        weft(&platform, &["saga", "cancel", id]);
        wait_for_status(&platform, id, "needs-attention");
    }
    refused(&platform, 2, &["saga", "resolve", "skip", "--skip", "reserve"]);
    let wrong = refused(&platform, 1, &["saga", "resolve", "skip", "--skip", "charge", "--reason", "done"]);
    assert!(wrong.contains("charge#1 has not failed"), "{wrong}");
    weft(&platform, &["saga", "resolve", "skip", "--skip", "reserve", "--reason", "gave it back by hand"]);
    let skipped = wait_for_status(&platform, "skip", "compensated");
    assert!(skipped["orders"].to_string().contains("gave it back by hand"), "{skipped}");
    weft(&platform, &["saga", "resolve", "leave", "--retry"]);
    let again = wait_for_status(&platform, "leave", "needs-attention");
    assert_eq!(again["orders"].as_array().map(Vec::len), Some(2), "{again}");
    weft(&platform, &["saga", "resolve", "leave", "--abandon", "--reason", "too late"]);
    let resolved: Vec<_> = audit(&platform).into_iter().filter(|[action, ..]| action == "resolve").collect();
    let outcomes: Vec<&str> = resolved.iter().map(|[.., outcome]| outcome.as_str()).collect();
    assert!(outcomes[0].starts_with("refused: ") && outcomes[1..] == ["done", "done", "done"], "{resolved:?}");
}

#[test]
fn an_ended_saga_runs_again_from_a_step() {
    let platform = Platform::start_with(&options());
    let order = r#"[{"item": "book", "cents": 5}]"#;
    let answer = weft(&platform, &["saga", "start", "orders", "orders#buy", order, "--id", "b", "--wait"]);
    assert_eq!(parsed(&answer), json!({"ok": "charged 5"}));
    let sold_out = order.replace("book", "sold-out");
    refused(&platform, 1, &["saga", "start", "orders", "orders#buy", &sold_out, "--wait"]);
    refused(&platform, 1, &["saga", "retry", "b", "--from", "pack"]);
    weft(&platform, &["saga", "retry", "b", "--from", "charge", "--reason", "the receipt was lost"]);
    let saga = wait_for_status(&platform, "b", "completed");
    assert_eq!(saga["orders"][0]["about"], "charge#1");
}

/// `weft saga tail`, with what it prints in a file.
struct Tail(Child);

impl Tail {
    fn start(platform: &Platform, arguments: &[&str], out: &Path) -> Self {
        let tail = Command::new(repository::weft())
            .args(["saga", "tail", "--json"])
            .args(arguments)
            .arg("--data")
            .arg(platform.data())
            .stdin(Stdio::null())
            .stdout(File::create(out).expect("a file"))
            .stderr(Stdio::null())
            .spawn();
        Self(tail.expect("weft can be started"))
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn transitions_are_followed_until_the_saga_ends() {
    let platform = Platform::start_with(&options());
    start_approval(&platform, "t");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("out");
    let mut tail = Tail::start(&platform, &["t"], &out);
    let seen = || std::fs::read_to_string(&out).expect("the file is there");
    // Nothing says when it has begun to listen, so something happens until it has heard of it.
    eventually("it listens", || {
        weft(&platform, &["saga", "pause", "t"]);
        weft(&platform, &["saga", "resume", "t"]);
        if seen().contains("saga.resumed") { Ok(()) } else { Err(seen()) }
    });
    start_approval(&platform, "other");
    weft(&platform, &["saga", "signal", "t", "approval", "true"]);
    let status = eventually("it ends with the saga", || tail.0.try_wait().expect("a child").ok_or_else(seen));
    assert!(status.success());
    let transitions: Vec<Value> = seen().lines().map(parsed).collect();
    assert!(transitions.iter().all(|transition| transition["saga"] == "t"), "{transitions:?}");
    let events: Vec<&Value> = transitions.iter().map(|transition| &transition["event"]).collect();
    assert!(events.iter().any(|event| *event == "signal.received"), "{events:?}");
    assert_eq!(events.last().copied(), Some(&json!("saga.completed")));
}

/// The application with other code for its orders, which does the same: a manifest, beside the one that there is.
fn with_new_code(folder: &Path) -> tempfile::NamedTempFile {
    let release = repository::root().join("components/target/wasm32-wasip2/release");
    let mut code = std::fs::read(release.join("example_durable_orders.wasm")).expect("it is built");
    // A custom section of four bytes of name and none of content.
    code.extend(b"\x00\x05\x04test");
    let new = folder.join("orders.wasm");
    std::fs::write(&new, code).expect("it can be written");
    let manifest = options().manifest;
    let text = std::fs::read_to_string(&manifest).expect("the manifest is there");
    let line = "source = \"../../../components/target/wasm32-wasip2/release/example_durable_orders.wasm\"";
    assert!(text.contains(line), "{text}");
    let beside = manifest.parent().expect("it is in a folder");
    let file = tempfile::Builder::new().prefix(".spin-test-").suffix(".toml").tempfile_in(beside);
    let file = file.expect("the repository can be written");
    let text = text.replace(line, &format!("source = {:?}", new.to_string_lossy()));
    std::fs::write(file.path(), text).expect("the manifest can be written");
    file
}

#[test]
fn a_saga_moves_to_new_code_that_fits() {
    let mut platform = Platform::start_with(&options());
    start_approval(&platform, "m");
    let old = show(&platform, "m")["digest"].clone();
    let current = refused(&platform, 1, &["saga", "migrate", "m", "--dry-run"]);
    assert!(current.contains("current code already"), "{current}");
    assert!(platform.stop().success());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let manifest = with_new_code(folder.path());
    let options = Options { manifest: manifest.path().to_owned(), ..Options::default() };
    platform.run(&options).expect("the host starts with the new code");
    assert_eq!(show(&platform, "m")["digest"], old);
    weft(&platform, &["saga", "pause", "m"]);
    eventually("it runs no more, and the code fits", || {
        let (status, _, stderr) = platform.weft(&["saga", "migrate", "m", "--dry-run"]);
        if status.success() { Ok(()) } else { Err(stderr) }
    });
    assert_eq!(show(&platform, "m")["digest"], old);
    weft(&platform, &["saga", "migrate", "m", "--reason", "the new code is better"]);
    assert_ne!(show(&platform, "m")["digest"], old);
    weft(&platform, &["saga", "resume", "m"]);
    weft(&platform, &["saga", "signal", "m", "approval", "true"]);
    wait_for_status(&platform, "m", "completed");
}

#[test]
fn what_is_not_there_is_named() {
    let platform = Platform::start_with(&options());
    for arguments in [
        &["saga", "show", "nobody"][..],
        &["saga", "timeline", "nobody"],
        &["saga", "tail", "nobody"],
        &["saga", "query", "nobody", "state"],
        &["saga", "cancel", "nobody"],
        &["saga", "migrate", "nobody"],
        &["saga", "signal", "nobody", "x"],
    ] {
        let said = refused(&platform, 1, arguments);
        assert!(said.contains("no saga \"nobody\""), "{arguments:?}: {said}");
    }
    let said = refused(&platform, 2, &["saga", "start", "shop", "shop#book"]);
    assert!(said.contains("not durable"), "{said}");
    let said = refused(&platform, 2, &["saga", "start", "orders", "orders#remind", "[\"soon\"]"]);
    assert!(said.contains("after-ms"), "{said}");
    refused(&platform, 2, &["saga", "signal", "nobody", "x", "{"]);
    let said = refused(&platform, 1, &["logs", "nothing"]);
    assert!(said.contains("\"nothing\"") && said.contains("orders"), "{said}");
}

#[test]
fn a_mistyped_data_directory_is_not_made() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("no-such");
    let output = Command::new(repository::weft())
        .args(["invoke", "shop", "shop#book", "--manifest"])
        .arg(options().manifest)
        .arg("--data")
        .arg(&data)
        .output()
        .expect("weft can be started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("no-such"), "{said}");
    assert!(!data.exists());
}
