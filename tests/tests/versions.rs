//! Versions of components beside those of the manifest, in a host that runs: asked for by header, on a share of calls, tried by canary,
//! promoted and aborted, and there after a restart.

use serde_json::{Value, json};
use weft_tests::isolation::component;
use weft_tests::platform::{Options, Platform};
use weft_tests::repository;
use weft_tests::wait::eventually;

/// Requests between two looks at a canary.
const ROUND: usize = 60;

fn options() -> Options {
    Options { manifest: repository::root().join("tests/applications/mesh/spin.toml"), ..Options::default() }
}

fn weft(platform: &Platform, arguments: &[&str]) -> String {
    let (status, stdout, why) = platform.weft(arguments);
    assert!(status.success(), "weft {arguments:?}: {why}");
    stdout
}

fn refused(platform: &Platform, arguments: &[&str]) -> String {
    let (status, _, why) = platform.weft(arguments);
    assert!(!status.success(), "weft {arguments:?} was to be refused");
    why
}

fn deploy(platform: &Platform, example: &str, more: &[&str]) {
    let file = component(example);
    weft(platform, &[&["deploy", "hello", file.to_str().expect("a path")], more].concat());
}

/// The versions of `hello`: the manifest's and what is beside it.
fn status(platform: &Platform) -> Vec<Value> {
    let entries = serde_json::from_str(&weft(platform, &["canary", "status", "--json"])).expect("JSON");
    let Value::Array(entries) = entries else { panic!("no list: {entries}") };
    entries
}

fn get(platform: &Platform, times: usize) {
    for _ in 0..times {
        assert_eq!(platform.get("/hello").send().status, 200);
    }
}

/// Percent and calls of each version.
fn shares(platform: &Platform) -> Vec<(Value, Value)> {
    status(platform).iter().map(|entry| (entry["percent"].clone(), entry["calls"].clone())).collect()
}

#[test]
fn a_version_serves_what_asks_for_it_and_its_share_over_restarts() {
    let mut platform = Platform::start_with(&options());
    assert!(status(&platform).is_empty());
    deploy(&platform, "hello-p2", &["--header", "X-Version=v2"]);
    for _ in 0..3 {
        assert_eq!(platform.get("/hello").header("x-version", "v2").send().status, 200);
    }
    get(&platform, 5);
    assert_eq!(shares(&platform), [(json!(100.0), json!(5)), (json!(0.0), json!(3))]);
    assert_eq!(status(&platform)[1]["headers"], json!(["x-version=v2"]));
    weft(&platform, &["canary", "weight", "hello", "100"]);
    get(&platform, 4);
    assert_eq!(shares(&platform), [(json!(0.0), json!(5)), (json!(100.0), json!(7))]);
    platform.kill();
    platform.run(&options()).expect("it starts again");
    get(&platform, 2);
    assert_eq!(shares(&platform), [(json!(0.0), json!(0)), (json!(100.0), json!(2))]);
    weft(&platform, &["canary", "abort", "hello", "--reason", "enough"]);
    assert!(status(&platform).is_empty());
    get(&platform, 1);
    let files = std::fs::read_dir(platform.data().join("versions")).expect("a folder").count();
    assert_eq!(files, 1, "its file is gone, what is said of versions is there");
    assert!(weft(&platform, &["audit", "--json"]).contains("enough"));
}

#[test]
fn a_version_that_does_as_well_is_promoted() {
    let platform = Platform::start_with(&options());
    deploy(&platform, "hello-p2", &[]);
    let start = ["canary", "start", "hello", "--steps", "25,60", "--min-calls", "30", "--step-time", "10ms"];
    weft(&platform, &[start.as_slice(), &["--max-latency", "100000"]].concat());
    assert!(refused(&platform, &start).contains("is running already"));
    let promoted = eventually("the canary is promoted", || {
        get(&platform, ROUND);
        let entries = status(&platform);
        if entries[1]["canary"] == "promoted" { Ok(entries) } else { Err(entries) }
    });
    assert_eq!((&promoted[0]["percent"], &promoted[1]["percent"]), (&json!(0.0), &json!(100.0)));
    let audit = weft(&platform, &["audit", "--json"]);
    assert!(audit.contains("canary promoted") && audit.contains("start canary"), "{audit}");
}

#[test]
fn a_version_that_fails_is_aborted() {
    let platform = Platform::start_with(&options());
    deploy(&platform, "hostile", &[]);
    weft(&platform, &["canary", "start", "hello", "--steps", "50", "--min-calls", "100000"]);
    let aborted = eventually("the canary is aborted", || {
        for _ in 0..ROUND {
            // Nothing to the old version; the new one traps.
            let status = platform.get("/hello?do=trap").send().status;
            assert!([200, 502].contains(&status), "{status}");
        }
        let entries = status(&platform);
        if entries[1]["canary"] == "aborted" { Ok(entries) } else { Err(entries) }
    });
    assert_eq!(aborted[1]["percent"], 0.0, "{aborted:?}");
    assert!(aborted[1]["why"].as_str().is_some_and(|why| why.contains("calls failed")), "{aborted:?}");
    for _ in 0..ROUND {
        assert_eq!(platform.get("/hello?do=trap").send().status, 200);
    }
}

#[test]
fn a_version_is_promoted_at_once_if_it_is_well() {
    let platform = Platform::start_with(&options());
    deploy(&platform, "hostile", &[]);
    let why = refused(&platform, &["canary", "promote", "hello", "--check", "/hello?do=trap"]);
    assert!(why.contains("is not well"), "{why}");
    assert_eq!(status(&platform)[1]["percent"], 0.0);
    deploy(&platform, "hello-p2", &[]);
    assert!(refused(&platform, &["canary", "promote", "hello"]).contains("say which of"));
    let second = status(&platform)[2]["version"].as_str().expect("a name").to_owned();
    weft(&platform, &["canary", "promote", "hello", "--version", &second, "--check", "/hello"]);
    get(&platform, 3);
    let serving: Vec<Value> = status(&platform).into_iter().filter(|entry| entry["percent"] == 100.0).collect();
    assert_eq!((serving.len(), &serving[0]["version"], &serving[0]["calls"]), (1, &json!(second), &json!(3)));
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let platform = Platform::start_with(&options());
    let (callee, own) = (component("probe-callee"), component("hello"));
    let text = platform.data().join("text.wasm");
    std::fs::write(&text, "no component").expect("room");
    for (to, file, says) in [
        ("hello", &callee, "exports no wasi:http handler"),
        ("hello", &own, "the manifest has"),
        ("hello", &text, "is not a valid component"),
        ("nobody", &own, "there is no component"),
        ("callee", &own, "example:probe/behaviour@1.0.0"),
    ] {
        let why = refused(&platform, &["deploy", to, file.to_str().expect("a path")]);
        assert!(why.contains(says), "{why}");
    }
    assert!(refused(&platform, &["canary", "start", "hello"]).contains("no version beside"));
    assert!(status(&platform).is_empty());
    get(&platform, 1);
}

#[test]
fn a_version_is_gone_when_the_manifest_has_another() {
    let mut platform = Platform::start_with(&options());
    deploy(&platform, "hello-p2", &[]);
    weft(&platform, &["canary", "promote", "hello"]);
    platform.stop();
    let manifest = std::fs::read_to_string(options().manifest).expect("the manifest");
    let root = format!("{}/", repository::root().display());
    let manifest = manifest.replace("../../../", &root).replace("example_hello.wasm", "example_hostile.wasm");
    let folder = platform.data().join("changed");
    std::fs::create_dir_all(&folder).expect("room");
    std::fs::write(folder.join("spin.toml"), manifest).expect("room");
    platform.run(&Options { manifest: folder.join("spin.toml"), ..Options::default() }).expect("it starts");
    assert!(status(&platform).is_empty());
    assert_eq!(platform.get("/hello?do=trap").send().status, 502);
}
