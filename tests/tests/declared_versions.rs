//! Versions that the manifest puts beside its components, in a host that runs: shares and headers of theirs, copies of requests and of typed
//! calls, which have no effects, and what an operator sees of them.

use serde_json::{Value, json};
use weft_tests::isolation::{component, statement};
use weft_tests::platform::{Options, Platform};
use weft_tests::repository;
use weft_tests::wait::eventually;

fn start() -> Platform {
    let manifest = repository::root().join("tests/applications/versions/spin.toml");
    Platform::start_with(&Options { manifest, ..Options::default() })
}

fn weft(platform: &Platform, arguments: &[&str]) -> String {
    let (status, stdout, why) = platform.weft(arguments);
    assert!(status.success(), "weft {arguments:?}: {why}");
    stdout
}

/// What the host says of one version.
fn version(platform: &Platform, component: &str, version: &str) -> Value {
    let entries: Value = serde_json::from_str(&weft(platform, &["canary", "status", "--json"])).expect("JSON");
    let entries = entries.as_array().expect("a list");
    let found = entries.iter().find(|entry| entry["component"] == component && entry["version"] == version);
    found.unwrap_or_else(|| panic!("{component} {version} in {entries:?}")).clone()
}

/// The copies that a version got, once there were so many.
fn copies(platform: &Platform, component: &str, calls: u64) -> Value {
    eventually("the copies end", || {
        let mirrored = version(platform, component, "shadow")["mirrored"].take();
        if mirrored["calls"] == calls { Ok(mirrored) } else { Err(mirrored) }
    })
}

fn probe(platform: &Platform, path: &str, script: &Value) -> Value {
    platform.post(path, script).send().expect(200)["answer"].take()
}

#[test]
fn a_version_of_the_manifest_has_its_share_and_its_header() {
    let platform = start();
    for _ in 0..5 {
        assert_eq!(platform.get("/hello").header("x-version", "v2").send().status, 200);
    }
    let v2 = version(&platform, "hello", "v2");
    assert_eq!((&v2["calls"], &v2["percent"], &v2["declared"]), (&json!(5), &json!(20.0), &json!(true)), "{v2}");
    for _ in 0..200 {
        assert_eq!(platform.get("/hello").send().status, 200);
    }
    let (own, v2) = (version(&platform, "hello", "manifest"), version(&platform, "hello", "v2"));
    assert_eq!(own["calls"].as_u64().zip(v2["calls"].as_u64()).map(|(one, other)| one + other), Some(205));
    // A fifth of 200: fewer than 10 or more than 80 come once in ten million runs.
    assert!(v2["calls"].as_u64().is_some_and(|calls| (15..=85).contains(&calls)), "{v2}");
    let (status, _, why) = platform.weft(&["canary", "abort", "hello", "--version", "v2"]);
    assert!(!status.success() && why.contains("stands in the manifest"), "{why}");
    // What is done by hand comes first.
    let file = component("hello-p2");
    weft(&platform, &["deploy", "hello", file.to_str().expect("a path"), "--header", "x-version=hand"]);
    let name = v2["digest"].as_str().and_then(|digest| digest.get(..12)).expect("a digest");
    weft(&platform, &["canary", "weight", "hello", "90", "--version", name]);
    let shares = ["manifest", name, "v2"].map(|one| version(&platform, "hello", one)["percent"].take());
    assert_eq!(shares, [json!(0.0), json!(90.0), json!(10.0)]);
}

#[test]
fn a_copy_of_a_request_reads_and_has_no_effects() {
    let platform = start();
    let next = "INSERT INTO things (id) SELECT coalesce(max(id), 0) + 1 FROM things";
    let transaction = json!({ "execute": [statement(next, &json!([]))], "meanwhile": [], "end": "commit" });
    let script = json!({ "in_turn": [
        { "transaction": transaction },
        { "publish": { "topic": "probe.a" } },
        { "key_value": { "store": "default", "key": "k" } },
        { "call": { "key": "place", "what": "meet a a" } },
        { "get": { "url": "http://hello.spin.internal/" } },
    ] });
    for number in 1..=5 {
        let answers = probe(&platform, "/write", &script);
        let answers: Vec<bool> =
            answers.as_array().expect("a list").iter().map(|answer| answer.get("Err").is_none()).collect();
        assert_eq!(answers, [true; 5], "request {number}");
        assert_eq!(copies(&platform, "writer", number)["failures"], 0);
    }
    let count = json!({ "query": { "sql": "SELECT count(*) FROM things", "parameters": [] } });
    assert_eq!(
        probe(&platform, "/write", &count)["Ok"]["rows"],
        json!([[{ "Int64": 5 }]]),
        "each request had its effect once"
    );
    let mirrored = copies(&platform, "writer", 6);
    assert_eq!((&mirrored["differ"], &mirrored["skipped"]), (&json!(0), &json!(0)), "{mirrored}");
    // One more that is larger than what is kept of a request is not copied.
    let large = json!({ "call": { "key": "x".repeat(100_000), "what": "echo" } });
    assert!(probe(&platform, "/write", &large).get("Ok").is_some());
    assert_eq!(version(&platform, "writer", "shadow")["mirrored"]["skipped"], 1);
    let status = weft(&platform, &["canary", "status"]);
    assert!(status.contains("100 %: 6, 0 failed, 0 differ, 1 skipped"), "{status}");
    assert_eq!(version(&platform, "writer", "shadow")["calls"], 0, "it serves nobody");
}

#[test]
fn a_copy_of_a_typed_call_shows_what_it_would_answer() {
    let platform = start();
    let call = |what: &str| probe(&platform, "/read", &json!({ "call": { "key": "k", "what": what } }));
    assert_eq!(call("echo"), json!({ "Ok": "k" }));
    assert_eq!(copies(&platform, "shadowed", 1), json!({ "calls": 1, "failures": 0, "differ": 0, "skipped": 0 }));
    // It may not write that it is there.
    assert_eq!(call("meet a a"), json!({ "Ok": "a met a" }));
    assert_eq!(copies(&platform, "shadowed", 2)["differ"], 1);
    // The call is made again, the copy is not.
    assert!(call("trap").get("Err").is_some());
    assert_eq!(copies(&platform, "shadowed", 3)["failures"], 1);
}
