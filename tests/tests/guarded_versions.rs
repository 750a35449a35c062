//! Versions of a component with middleware in front of some of its routes, in a host that runs: whatever version serves, the same stands
//! before it, and what is done to the component is done on all its ways.

use weft_tests::isolation::component;
use weft_tests::platform::{Options, Platform};
use weft_tests::repository;

/// Behind the guard by a rule of the gateway, and by a trigger.
const GUARDED: [&str; 2] = ["/ruled", "/triggered"];

fn start() -> Platform {
    let manifest = repository::root().join("tests/applications/guarded/spin.toml");
    Platform::start_with(&Options { manifest, ..Options::default() })
}

fn weft(platform: &Platform, arguments: &[&str]) -> String {
    let (status, stdout, why) = platform.weft(arguments);
    assert!(status.success(), "weft {arguments:?}: {why}");
    stdout
}

/// The manifest's code answers 200, the versions answer 204.
fn status(platform: &Platform, path: &str, version: &str, word: &str) -> u16 {
    let request = platform.get(&format!("{path}?do=nothing")).header("x-version", version);
    request.header("x-word", word).send().status
}

fn assert_guarded(platform: &Platform, version: &str, serves: u16) {
    for path in GUARDED {
        assert_eq!(status(platform, path, version, "please"), 403, "{path} of {version:?}");
        assert_eq!(status(platform, path, version, "sesame"), serves, "{path} of {version:?}");
    }
    assert_eq!(status(platform, "/open", version, "please"), serves, "{version:?}");
}

#[test]
fn every_version_stands_behind_the_middleware() {
    let mut platform = start();
    assert_guarded(&platform, "v1", 200);
    assert_guarded(&platform, "v2", 204);
    let file = component("hostile");
    let file = file.to_str().expect("a path");
    weft(&platform, &["deploy", "hello", file, "--header", "x-version=hand"]);
    assert_guarded(&platform, "hand", 204);
    let (refused, _, why) = platform.weft(&["deploy", "hello-behind-1", file]);
    assert!(!refused.success() && why.contains("serves the versions that hello has"), "{why}");
    let (refused, _, why) = platform.weft(&["deploy", "guard", file]);
    assert!(!refused.success() && why.contains("guard is only composed into others"), "{why}");
    platform.kill();
    let manifest = repository::root().join("tests/applications/guarded/spin.toml");
    platform.run(&Options { manifest, ..Options::default() }).expect("it starts again");
    assert_guarded(&platform, "hand", 204);
}

#[test]
fn a_share_is_a_share_of_what_comes_through_the_middleware_too() {
    let platform = start();
    let file = component("hostile");
    weft(&platform, &["deploy", "hello", file.to_str().expect("a path")]);
    let of_hello = || -> Vec<serde_json::Value> {
        serde_json::from_str(&weft(&platform, &["canary", "status", "--json"])).expect("JSON")
    };
    let by_hand = |entry: &&serde_json::Value| entry["declared"] == false && entry["version"] != "manifest";
    let name = of_hello().iter().find(by_hand).expect("it is deployed")["version"].as_str().expect("a name").to_owned();
    weft(&platform, &["canary", "weight", "hello", "100", "--version", &name]);
    assert_guarded(&platform, "v1", 204);
    let entries = of_hello();
    let deployed = entries.iter().find(by_hand).expect("it is deployed");
    assert_eq!(deployed["calls"], 5, "what the guard refuses is a call too: {entries:?}");
}

#[test]
fn what_is_done_to_a_component_is_done_behind_its_middleware() {
    let platform = start();
    let everywhere = |expected: u16| {
        for path in GUARDED.into_iter().chain(["/open"]) {
            assert_eq!(status(&platform, path, "v1", "sesame"), expected, "{path}");
        }
    };
    everywhere(200);
    weft(&platform, &["breakers", "open", "hello"]);
    everywhere(503);
    weft(&platform, &["breakers", "reset", "hello"]);
    everywhere(200);
    weft(&platform, &["chaos", "add", "--callee", "hello", "--abort", "unavailable"]);
    everywhere(503);
    weft(&platform, &["chaos", "clear"]);
    everywhere(200);
}

#[test]
fn an_operator_sees_what_holds_for_a_component_and_what_stands_before_its_routes() {
    let platform = start();
    assert_eq!(status(&platform, "/ruled", "v1", "sesame"), 200);
    let mesh: serde_json::Value = serde_json::from_str(&weft(&platform, &["mesh", "--json"])).expect("JSON");
    let names: Vec<_> = mesh.as_array().expect("a list").iter().map(|entry| entry["name"].clone()).collect();
    assert_eq!(names, ["hello"], "{mesh}");
    let hello = &mesh[0];
    assert_eq!(hello["halves"].as_array().map(Vec::len), Some(2), "{hello}");
    assert_eq!((&hello["max_concurrent"], &hello["now"]["calls"]), (&100.into(), &1.into()));
    assert_eq!((&hello["breaker"]["http"], &hello["now"]["state"]), (&true.into(), &"closed".into()));
    assert_eq!((&hello["retry"]["max_retries"], &hello["retry"]["budget_left"]), (&3.into(), &3.into()));
    assert_eq!(hello["versions"][1]["version"], "v2");
    let told = weft(&platform, &["mesh", "hello-behind-1"]);
    for says in ["hello (function)", "0 of 100", "hello-behind-1, behind middleware", "closed", "v2, 0 %"] {
        assert!(told.contains(says), "{says}: {told}");
    }
    let (refused, _, why) = platform.weft(&["mesh", "nobody"]);
    assert!(!refused.success() && why.contains("no component or service"), "{why}");
    let routes = weft(&platform, &["routes", "--wide"]);
    for route in routes.lines().filter(|line| line.starts_with("GET")) {
        assert_eq!(route.contains("guard"), !route.contains("/open"), "{routes}");
        assert!(route.contains("normal") && route.contains("ms"), "{routes}");
    }
    assert_eq!(routes.lines().filter(|line| line.starts_with("GET")).count(), 3, "{routes}");
}
