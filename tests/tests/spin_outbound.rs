//! Applications of Spin that talk to Redis, MQTT and PostgreSQL and tell of themselves by `wasi:otel`, and Spin's runtime
//! configuration. The servers are real ones; see `weft_tests::servers`.

use std::path::{Path, PathBuf};

use weft_tests::platform::{Options, Platform};
use weft_tests::wait::eventually;
use weft_tests::{repository, servers};

fn application() -> Options {
    let manifest = repository::root().join("tests/applications/spin-outbound/spin.toml");
    Options { manifest, ..Options::default() }
}

/// What a component says of a server at `address`.
fn tried(platform: &Platform, path: &str, address: &str) -> (u16, String) {
    let answer = platform.request("POST", path).body(address).send();
    (answer.status, answer.text())
}

fn refused(platform: &Platform, path: &str, address: &str, why: &str) {
    let (status, text) = tried(platform, path, address);
    assert_eq!(status, 502, "{text}");
    assert!(text.contains(why), "{path} {address}: {text}");
}

#[test]
fn redis_is_reached_where_it_is_allowed() {
    let Some(redis) = servers::redis() else { return };
    let platform = Platform::start_with(&application().env("SPIN_VARIABLE_REDIS", &redis));
    let expected = "absent true\nsum 42 42\nset 2 1 a\nwrong Err(Error::TypeError)\nexecute PONG back a\ndeleted 2\n";
    assert_eq!(tried(&platform, "/new/redis", &redis), (200, expected.to_owned()));
    let (status, large) = tried(&platform, "/new/redis-large", &redis);
    assert_eq!(status, 200, "{large}");
    assert!(large.contains("the answer has more than 16777216 bytes"), "{large}");
    let (status, old) = tried(&platform, "/old/redis", &redis);
    assert_eq!((status, old.as_str()), (200, "2 [RedisResult::Binary([50])] 1\n"));
    refused(&platform, "/locked/redis", &redis, "InvalidAddress");
    refused(&platform, "/wild/redis", &redis, "no public address");
}

#[test]
fn mqtt_is_reached_where_it_is_allowed() {
    let Some(mqtt) = servers::mqtt() else { return };
    let platform = Platform::start_with(&application().env("SPIN_VARIABLE_MQTT", &mqtt));
    let address = format!("{mqtt}?client_id=example");
    let (status, text) = tried(&platform, "/new/mqtt", &address);
    assert_eq!(status, 200, "{text}");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "published 3");
    assert!(lines[1].contains("topic") && lines[2].contains("at most 1048576"), "{text}");
    assert_eq!(tried(&platform, "/old/mqtt", &address), (200, "published\n".to_owned()));
    refused(&platform, "/locked/mqtt", &address, "allowed_outbound_hosts");
    refused(&platform, "/wild/mqtt", &address, "no public address");
}

#[test]
fn postgres_is_reached_where_it_is_allowed() {
    let Some(postgres) = servers::postgres() else { return };
    let server = postgres.split('/').nth(2).expect("a host");
    let platform = Platform::start_with(&application().env("SPIN_VARIABLE_POSTGRES", &format!("postgres://{server}")));
    let (status, text) = tried(&platform, "/new/postgres", &postgres);
    assert_eq!(status, 200, "{text}");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[..2], ["inserted 1", "id,name,at,price,tags"]);
    assert_eq!(
        lines[2],
        "[[DbValue::Int32(1), DbValue::Str(\"one\"), DbValue::Date((2026, 2, 28)), DbValue::Decimal(\"12.50\"), \
         DbValue::ArrayStr([Some(\"a\"), None])]]"
    );
    assert_eq!(lines[3..], ["ERROR 42P01", "bad parameter"]);
    let rows = (200, "30000 rows, sum 450015000\n".to_owned());
    assert_eq!(tried(&platform, "/new/postgres-rows", &postgres), rows);
    for path in ["/new/postgres-large", "/old/postgres-large"] {
        let (status, large) = tried(&platform, path, &postgres);
        assert!(status == 200 && large.contains("the answer has more than 16777216 bytes"), "{large}");
    }
    let (status, old) = tried(&platform, "/old/postgres", &postgres);
    assert_eq!(status, 200, "{old}");
    assert!(old.contains("Int32(7)") && old.contains("Str(\"seven!\")"), "{old}");
    assert!(old.contains("Unsupported") && old.contains("DbNull") && old.contains("no unsigned numbers"), "{old}");
    let (status, old) = tried(&platform, "/old/postgres3", &postgres);
    assert_eq!(status, 200, "{old}");
    assert!(old.contains("Date((2026, 2, 28))") && old.contains("Time((10, 20, 30, 0))"), "{old}");
    refused(&platform, "/locked/postgres", &postgres, "allowed_outbound_hosts");
    refused(&platform, "/wild/postgres", &postgres, "no public address");
}

#[test]
fn a_dead_server_is_an_error_of_its_interface() {
    let platform = Platform::start_with(&application());
    refused(&platform, "/new/redis", "redis://127.0.0.1:1", "cannot connect to 127.0.0.1");
    refused(&platform, "/new/mqtt", "mqtt://127.0.0.1:1?client_id=a", "ConnectionFailed");
    refused(&platform, "/new/postgres", "postgres://u@127.0.0.1:1/d", "cannot connect to 127.0.0.1");
    refused(&platform, "/new/redis", "what", "InvalidAddress");
    refused(&platform, "/new/mqtt", "mqtts://127.0.0.1:1?client_id=a", "InvalidAddress");
}

#[test]
fn what_a_component_tells_stands_in_the_logs_with_the_trace_of_the_request() {
    let platform = Platform::start_with(&application());
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");
    let answer = platform.get("/otel").header("traceparent", &parent).send();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.text().starts_with(trace) && answer.text().ends_with(" Ok(())\n"), "{}", answer.text());
    let told = || {
        let (status, lines, why) = platform.weft(&["logs", "otel", "--json"]);
        assert!(status.success(), "{why}");
        let lines: Vec<serde_json::Value> =
            lines.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
        if lines.len() == 3 { Ok(lines) } else { Err(lines) }
    };
    let lines = eventually("the three records", told);
    let streams: Vec<_> = lines.iter().map(|line| line["stream"].as_str().unwrap_or_default()).collect();
    assert_eq!(streams, ["log", "span", "metric"]);
    let records: Vec<serde_json::Value> = lines
        .iter()
        .map(|line| {
            assert_eq!(line["trace_id"], trace);
            serde_json::from_str(line["text"].as_str().expect("a text")).expect("a record")
        })
        .collect();
    assert_eq!((&records[0]["body"], &records[0]["severity"]), (&"look here".into(), &"WARN".into()));
    assert_eq!((&records[1]["name"], &records[1]["trace_id"]), (&"work".into(), &trace.into()));
    assert_eq!(records[1]["attributes"]["colour"], "green");
    assert_eq!((&records[2]["name"], &records[2]["value"]), (&"things".into(), &3.into()));
}

/// The notes application with a runtime configuration beside its data.
fn configured(folder: &Path, config: &str) -> Options {
    let file = folder.join("runtime-config.toml");
    std::fs::write(&file, config).expect("the runtime configuration");
    let manifest = repository::root().join("components/examples/spin-app/spin.toml");
    let options = vec!["--runtime-config-file".to_owned(), file.display().to_string()];
    Options { manifest, options, ..Options::default() }
}

#[test]
fn stores_databases_and_variables_are_where_the_runtime_configuration_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = |name: &str| -> PathBuf { folder.path().join(name) };
    let config = format!(
        "[key_value_store.default]\ntype = \"spin\"\npath = \"kept/notes.db\"\n\
         [sqlite_database.default]\ntype = \"spin\"\npath = {:?}\n\
         [[variables_provider]]\ntype = \"static\"\nvalues = {{ greeting = \"Moin\" }}\n",
        files("history.db").display().to_string()
    );
    keeps_notes_elsewhere(&configured(folder.path(), &config));
    assert!(files("kept/notes.db").exists() && files("history.db").exists());
}

#[test]
fn a_key_value_store_may_be_in_redis() {
    let Some(redis) = servers::redis() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let config = format!(
        "[key_value_store.default]\ntype = \"redis\"\nurl = \"{redis}/7\"\n\
         [sqlite_database.default]\ntype = \"spin\"\npath = {:?}\n\
         [[variables_provider]]\ntype = \"env\"\nprefix = \"NOTES\"\n",
        folder.path().join("history.db").display().to_string()
    );
    keeps_notes_elsewhere(&configured(folder.path(), &config).env("NOTES_GREETING", "Moin"));
}

/// What was kept is there for a host with another data directory.
fn keeps_notes_elsewhere(options: &Options) {
    let name = format!("/notes/{}", uuid::Uuid::new_v4());
    let first = Platform::start_with(options);
    assert_eq!(first.request("PUT", &name).body("buy some").send().status, 201);
    drop(first);
    let second = Platform::start_with(options);
    let note = second.get(&name).send();
    assert_eq!((note.status, note.text()), (200, "Moin! buy some (written 1 times)\n".to_owned()));
}

#[test]
fn a_runtime_configuration_that_is_wrong_keeps_the_host_from_starting() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = "[key_value_store.default]\ntype = \"azure_cosmos\"\n";
    let options = configured(folder.path(), config);
    let mut host = Platform::stopped();
    host.run(&options).expect_err("it does not start");
    assert!(host.log().contains("runtime-config.toml:2: `key_value_store.default.type`"), "{}", host.log());
}

#[test]
fn interfaces_that_this_host_does_not_have_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let component = r#"(component
        (import "fermyon:spin/config" (instance (export "get-config" (func))))
        (import "wasi:clocks/timezone@0.2.0-rc-2023-10-18" (instance (export "drop" (func))))
        (import "wasi:http/types@0.2.0-rc-2023-11-10" (instance (export "drop" (func)))))"#;
    std::fs::write(folder.path().join("a.wasm"), wat::parse_str(component).expect("a component")).expect("a file");
    let manifest = folder.path().join("spin.toml");
    let text = "spin_manifest_version = 2\n[application]\nname = \"a\"\n[[trigger.http]]\nroute = \"/\"\n\
                component = \"a\"\n[component.a]\nsource = \"a.wasm\"\n";
    std::fs::write(&manifest, text).expect("a manifest");
    let manifest = manifest.display().to_string();
    let (status, said, _) = Platform::stopped().weft(&["--manifest", &manifest, "check"]);
    assert!(!status.success());
    for (interface, help) in [
        ("fermyon:spin/config", "version 2 or later"),
        ("wasi:clocks/timezone@0.2.0-rc-2023-10-18", "released interface"),
        ("wasi:http/types@0.2.0-rc-2023-11-10", "released interface"),
    ] {
        let line = format!("imports `{interface}`, which this host does not have");
        assert!(said.contains(&line) && said.contains(help), "{interface}: {said}");
    }
}
