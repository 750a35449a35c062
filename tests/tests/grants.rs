//! What is not granted is refused: at the call where a name decides, at load where an import does.

use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use weft_tests::isolation::{component, probe, start};
use weft_tests::repository;

/// The kind of the error that the host answered with, if it did.
fn refusal(answer: &Value) -> String {
    match &answer["Err"] {
        Value::Object(error) => error.keys().next().cloned().unwrap_or_default(),
        Value::String(error) => error.clone(),
        other => panic!("{answer} is no refusal: {other}"),
    }
}

#[test]
fn sql_stays_in_the_sandbox() {
    let platform = start();
    let outside = platform.data().join("outside.db").display().to_string();
    let cases = [
        (format!("ATTACH DATABASE '{outside}' AS other"), "Denied"),
        (format!("ATTACH '{outside}' AS other; SELECT 1"), "Denied"),
        ("PRAGMA table_list".to_owned(), "Denied"),
        ("SELECT * FROM pragma_table_list".to_owned(), "Denied"),
        ("SELECT * FROM weft_done".to_owned(), "Denied"),
        ("SELECT * FROM \"weft_done\"".to_owned(), "Denied"),
        ("SELECT * FROM sqlite_master".to_owned(), "Denied"),
        ("SELECT * FROM sqlite_schema".to_owned(), "Denied"),
        ("DELETE FROM weft_done".to_owned(), "Denied"),
        (format!("VACUUM INTO '{outside}'"), "Denied"),
        ("BEGIN".to_owned(), "Denied"),
        ("DROP TABLE things".to_owned(), "Denied"),
        ("SELECT load_extension('x')".to_owned(), "Denied"),
        // Another context's tables are in another database: here there is no such table.
        ("SELECT word FROM secrets".to_owned(), "Invalid"),
        ("SELECT word FROM theirs.secrets".to_owned(), "Invalid"),
    ];
    for (sql, kind) in &cases {
        let answer = probe(&platform, &json!({ "query": { "sql": sql, "parameters": [] } }));
        assert_eq!(refusal(&answer), *kind, "{sql}: {answer}");
        assert!(!answer.to_string().contains("of nobody else"), "{sql}: {answer}");
        // And as a writer.
        let statements = [json!({ "sql": sql, "parameters": [], "expected_rows": null })];
        let commit = json!({ "key": "k", "fingerprint": "f", "statements": statements, "events": [] });
        let answer = probe(&platform, &json!({ "commit": commit }));
        assert_eq!(refusal(&answer), *kind, "{sql}: {answer}");
    }
    assert!(!platform.data().join("outside.db").exists());
}

#[test]
fn names_that_are_not_granted_are_denied_at_the_call() {
    let platform = start();
    let event = |topic: &str| json!({ "topic": topic, "type_": "probed", "subject": null, "ordering_key": null, "correlation_id": null, "data": [49] });
    let commit = |topic: &str| json!({ "commit": { "key": topic, "fingerprint": "f", "statements": [], "events": [event(topic)] } });
    let denied = [
        (json!({ "publish": { "topic": "other.made" } }), "Denied"),
        (json!({ "publish": { "topic": "probe.made.twice" } }), "Denied"),
        (commit("other.made"), "Denied"),
        (json!({ "key_value": { "store": "other", "key": "k" } }), "AccessDenied"),
        (json!({ "sqlite": { "database": "other", "sql": "SELECT 1" } }), "AccessDenied"),
        (json!({ "sqlite": { "database": "default", "sql": "ATTACH DATABASE '/tmp/weft-outside.db' AS x" } }), "Io"),
        (json!({ "variable": { "name": "token" } }), "Error::Undefined(\"token\")"),
    ];
    for (action, kind) in denied {
        let answer = probe(&platform, &action);
        assert_eq!(refusal(&answer), kind, "{action}: {answer}");
        assert!(!answer.to_string().contains("granted to nobody"), "{action}: {answer}");
    }
    // What is granted works, so that the above is no accident.
    for action in [
        json!({ "publish": { "topic": "probe.made" } }),
        commit("probe.made"),
        json!({ "key_value": { "store": "default", "key": "k" } }),
        json!({ "sqlite": { "database": "default", "sql": "SELECT 1" } }),
        json!({ "variable": { "name": "greeting" } }),
    ] {
        let answer = probe(&platform, &action);
        assert!(answer.get("Ok").is_some(), "{action}: {answer}");
    }
}

#[test]
fn hosts_that_are_not_granted_are_not_reached() {
    let platform = start();
    let port = platform.url().rsplit(':').next().expect("a port").to_owned();
    let get = |url: String| probe(&platform, &json!({ "get": { "url": url } }));
    for url in [
        // The cloud's metadata, this machine by other names, private networks, and a public host of another name.
        "http://169.254.169.254/latest/meta-data".to_owned(),
        format!("http://localhost:{port}/hello"),
        format!("http://[::1]:{port}/hello"),
        format!("http://[::ffff:127.0.0.1]:{port}/hello"),
        format!("http://127.0.0.2:{port}/hello"),
        format!("http://0.0.0.0:{port}/hello"),
        format!("http://2130706433:{port}/hello"),
        format!("https://127.0.0.1:{port}/hello"),
        "http://10.0.0.1/".to_owned(),
        "http://example.org/".to_owned(),
        "http://example.com.evil.org/".to_owned(),
    ] {
        let answer = get(url.clone());
        assert_eq!(refusal(&answer), "ErrorCode::HttpRequestDenied", "{url}: {answer}");
    }
    assert_eq!(get(format!("http://127.0.0.1:{port}/hello")), json!({ "Ok": 200 }));
}

/// Runs `weft` on a manifest of this text.
fn weft(command: &[&str], manifest: &str) -> (Output, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::create_dir(folder.path().join("ours")).expect("a folder");
    std::fs::write(folder.path().join("spin.toml"), manifest).expect("a manifest is written");
    let output = Command::new(repository::weft())
        .args(command)
        .args(["--manifest", "spin.toml", "--data", "data"])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .output()
        .expect("weft can be started");
    let said = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat();
    (output, said)
}

/// A manifest with the probe and its callee; `grants` are the probe's. The table of the grants opens on line 11.
fn manifest(grants: &str, callee: &str) -> String {
    let (probe, other) = (component("probe"), component("probe-callee"));
    format!(
        "spin_manifest_version = 2\n[application]\nname = \"refused\"\n\
         [application.tool.weft.contexts]\nours = {{ migrations = \"ours\" }}\n\
         [[trigger.http]]\nroute = \"/probe\"\ncomponent = \"probe\"\n\
         [component.probe]\nsource = \"{probe}\"\n[component.probe.tool.weft]\n{grants}\n\
         [component.callee]\nsource = \"{other}\"\n[component.callee.tool.weft]\n{callee}\n",
        probe = probe.display(),
        other = other.display(),
    )
}

const CONTEXT: &str = "context = \"ours\"";
const TOPICS: &str = "topics = [\"probe.*\"]";
const CALLS: &str = "calls = { \"example:probe/behaviour@1.0.0\" = \"callee\" }";

#[test]
fn an_import_that_is_not_granted_is_refused_at_load_with_the_line_to_add() {
    let cases = [
        (
            [TOPICS, CALLS].join("\n"),
            "weft:sql/database@0.1.0",
            "context = \"<context>\"",
            "[component.probe.tool.weft]",
        ),
        (
            [CONTEXT, CALLS].join("\n"),
            "weft:messaging/producer@0.1.0",
            "topics = [\"<topic>\"]",
            "[component.probe.tool.weft]",
        ),
        (
            [CONTEXT, TOPICS].join("\n"),
            "example:probe/behaviour@1.0.0",
            "\"example:probe/behaviour@1.0.0\" = \"callee\"",
            "[component.probe.tool.weft.calls]",
        ),
    ];
    for (grants, import, line, table) in cases {
        for command in [&["check"][..], &["up", "--listen", "127.0.0.1:0"]] {
            let (output, said) = weft(command, &manifest(&grants, ""));
            assert_eq!(output.status.code(), Some(1), "{command:?}: {said}");
            assert!(said.contains("spin.toml:11:"), "{command:?} names file and line: {said}");
            assert!(said.contains(import) && said.contains("not granted"), "{command:?}: {said}");
            assert!(said.contains(line) && said.contains(table), "{command:?} names the line to add: {said}");
        }
    }
    let (output, said) = weft(&["check"], &manifest(&[CONTEXT, TOPICS, CALLS].join("\n"), ""));
    assert!(output.status.success(), "{said}");
}

#[test]
fn a_cycle_of_calls_is_refused() {
    let to_itself = "calls = { \"example:probe/behaviour@1.0.0\" = \"callee\" }";
    for command in [&["check"][..], &["up", "--listen", "127.0.0.1:0"]] {
        let (output, said) = weft(command, &manifest(&[CONTEXT, TOPICS, CALLS].join("\n"), to_itself));
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("spin.toml:18: calls in a circle: callee -> callee"), "{said}");
    }
}

#[test]
fn what_is_no_component_or_does_not_fit_is_refused() {
    let whole = manifest(&[CONTEXT, TOPICS, CALLS].join("\n"), "");
    let not_there = whole.replace("example_probe.wasm", "example_nothing.wasm");
    let routed_to_no_handler = whole.replace("component = \"probe\"", "component = \"callee\"");
    let wrong_provider = whole.replace("= \"callee\" }", "= \"probe\" }");
    let durable = whole.replace(CONTEXT, &format!("{CONTEXT}\ndurable = true"));
    for (manifest, why) in [
        (not_there, "example_nothing.wasm"),
        (routed_to_no_handler, "wasi:http"),
        (wrong_provider, "probe"),
        (durable, "weft:durable/resumable"),
    ] {
        let (output, said) = weft(&["check"], &manifest);
        assert_eq!(output.status.code(), Some(1), "{why}: {said}");
        assert!(said.contains("spin.toml:") && said.contains(why), "{why}: {said}");
    }
}

#[test]
fn policy_on_a_function_that_nobody_exports_is_refused() {
    let with = |policy: &str| weft(&["check"], &manifest(&[CONTEXT, TOPICS, CALLS].join("\n"), policy));
    let fault = "[[application.tool.weft.mesh.faults]]\nabort = \"unavailable\"\nfunction";
    for (policy, why, help) in [
        (
            r#"mesh.rules = [{ action = "deny", functions = ["example:probe/behaviour@1.0.0#akt"] }]"#.to_owned(),
            r#"mesh.rules: component "callee" does not export "example:probe/behaviour@1.0.0#akt""#,
            "example:probe/behaviour@1.0.0#act",
        ),
        (
            r#"mesh.rules = [{ action = "deny", functions = ["example:probe/behavior@1.0.0#*"] }]"#.to_owned(),
            r#"mesh.rules: component "callee" does not export "example:probe/behavior@1.0.0#*""#,
            "example:probe/behaviour@1.0.0",
        ),
        (
            r#"mesh.retry = { idempotent = ["example:probe/behaviour@2.0.0#act"] }"#.to_owned(),
            r#"mesh.retry.idempotent: component "callee" does not export "example:probe/behaviour@2.0.0#act""#,
            "example:probe/behaviour@1.0.0",
        ),
        (
            format!("{fault} = \"example:probe/behaviour@1.0.0#akt\""),
            r#"mesh.faults: no component exports "example:probe/behaviour@1.0.0#akt""#,
            "example:probe/behaviour@1.0.0#act",
        ),
    ] {
        let (output, said) = with(&policy);
        assert_eq!(output.status.code(), Some(1), "{policy}: {said}");
        assert!(said.contains(&format!("spin.toml:18: {why}")), "{policy}: {said}");
        assert!(said.lines().any(|line| line.contains("help: there is") && line.contains(help)), "{policy}: {said}");
    }
    for policy in [
        r#"mesh.rules = [{ action = "deny", functions = ["example:probe/behaviour@1.0.0#*"] }]"#.to_owned(),
        format!("{fault} = \"example:probe/behaviour@1.0.0#act\""),
    ] {
        let (output, said) = with(&policy);
        assert!(output.status.success(), "{policy}: {said}");
    }
}
