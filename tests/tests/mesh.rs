//! What becomes of calls that fail, in a host that runs: breakers, calls made again, second calls beside slow ones, faults on purpose,
//! and what an operator sees of them and does to them.

use serde_json::{Value, json};
use weft_tests::isolation::assert_problem;
use weft_tests::platform::{Options, Platform};
use weft_tests::repository;
use weft_tests::wait::eventually;

fn start() -> Platform {
    let manifest = repository::root().join("tests/applications/mesh/spin.toml");
    Platform::start_with(&Options { manifest, ..Options::default() })
}

/// What a callee answered to a function.
fn call(platform: &Platform, path: &str, key: &str, what: &str) -> Value {
    platform.post(path, &json!({ "call": { "key": key, "what": what } })).send().expect(200)["answer"].take()
}

fn weft(platform: &Platform, arguments: &[&str]) -> String {
    let (status, stdout, why) = platform.weft(arguments);
    assert!(status.success(), "weft {arguments:?}: {why}");
    stdout
}

fn breaker(platform: &Platform, component: &str) -> Value {
    let list: Value = serde_json::from_str(&weft(platform, &["breakers", "list", "--json"])).expect("JSON");
    let entries = list.as_array().expect("a list");
    entries.iter().find(|entry| entry["component"] == component).expect("the component is called").clone()
}

#[test]
fn a_callee_that_mostly_fails_is_left_alone_and_tried_again() {
    let platform = start();
    for _ in 0..10 {
        let failure = call(&platform, "/once", "k", "trap")["Err"]["Unavailable"].take();
        assert_eq!((&failure["outcome"], &failure["retry_after_ms"]), (&json!("Unknown"), &Value::Null), "{failure}");
    }
    let opened = breaker(&platform, "callee");
    assert_eq!((&opened["opened"], &opened["failures"]), (&json!(1), &json!(10)), "{opened}");
    // While it is open a call is refused at once; after it a call goes through, and two that succeed close it.
    let closed = eventually("the breaker closes", || {
        let answer = call(&platform, "/once", "k", "echo");
        if let Some(refused) = answer.get("Err") {
            assert_eq!(refused["Unavailable"]["outcome"], "NotAttempted", "{refused}");
            assert!(refused["Unavailable"]["retry_after_ms"].as_u64().is_some_and(|ms| ms <= 300), "{refused}");
        }
        let now = breaker(&platform, "callee");
        if now["state"] == "closed" { Ok(now) } else { Err(now) }
    });
    assert_eq!(closed["opened"], 1, "{closed}");
    assert_eq!(call(&platform, "/once", "k", "echo"), json!({ "Ok": "k" }));
    assert!(platform.log().contains("a breaker changed its state"));
}

#[test]
fn a_breaker_is_held_open_and_closed_by_hand() {
    let platform = start();
    weft(&platform, &["breakers", "open", "callee", "--reason", "maintenance"]);
    let refused = call(&platform, "/once", "k", "echo");
    assert_eq!(refused["Err"]["Unavailable"]["outcome"], "NotAttempted", "{refused}");
    assert!(weft(&platform, &["breakers", "list"]).contains("open by hand"));
    weft(&platform, &["breakers", "close", "callee"]);
    for _ in 0..20 {
        call(&platform, "/once", "k", "trap");
    }
    assert_eq!(call(&platform, "/once", "k", "echo"), json!({ "Ok": "k" }), "it is held closed");
    weft(&platform, &["breakers", "reset", "callee"]);
    let reset = breaker(&platform, "callee");
    assert_eq!((&reset["state"], &reset["forced"]), (&json!("closed"), &json!(false)), "{reset}");
    assert!(weft(&platform, &["audit", "--json"]).contains("maintenance"));
    for (component, says) in [("nobody", "there is no component"), ("callee-again", "has no breaker")] {
        let (status, _, why) = platform.weft(&["breakers", "open", component]);
        assert!(!status.success() && why.contains(says), "{why}");
    }
}

#[test]
fn calls_are_made_again_within_their_budget() {
    let platform = start();
    weft(&platform, &["chaos", "add", "--callee", "callee-again", "--percent", "50", "--abort", "unavailable"]);
    let answers: Vec<Value> = (0..60).map(|_| call(&platform, "/again", "k", "echo")).collect();
    let served = answers.iter().filter(|answer| **answer == json!({ "Ok": "k" })).count();
    let stats = breaker(&platform, "callee-again");
    let retries = stats["retries"].as_u64().expect("a number");
    // A fifth of the calls, and the few that are free in each ten seconds; without a budget it would be about as many as calls.
    assert!((3..=30).contains(&retries), "{stats}");
    assert_eq!(stats["calls"], 60, "{stats}");
    assert_eq!(stats["failures"], 60 - served, "{stats}");
    assert_eq!(weft(&platform, &["chaos", "clear"]).trim(), "1 cleared");
    assert_eq!(call(&platform, "/again", "k", "echo"), json!({ "Ok": "k" }));
    // What no second attempt could help is not made again.
    let before = breaker(&platform, "callee-again")["retries"].clone();
    assert!(call(&platform, "/again", "k", "loop").get("Err").is_some());
    assert_eq!(call(&platform, "/again", "no", "refuse"), json!({ "Err": { "Refused": "no" } }));
    assert_eq!(breaker(&platform, "callee-again")["retries"], before);
}

#[test]
fn a_second_call_is_made_beside_a_slow_one() {
    let platform = start();
    // It sleeps until its deadline, both times.
    assert!(call(&platform, "/hedged", "k", "sleep").get("Err").is_some());
    assert_eq!(breaker(&platform, "callee-hedged")["hedges"], 1);
}

#[test]
fn calls_and_requests_fail_on_purpose() {
    let platform = start();
    let add = ["chaos", "add", "--callee", "callee", "--caller", "probe-once", "--delay", "20ms", "--abort"];
    weft(&platform, &[add.as_slice(), &["function-trapped", "--reason", "a drill"]].concat());
    let failure = call(&platform, "/once", "k", "echo")["Err"]["Unavailable"].take();
    assert_eq!(failure["outcome"], "Unknown", "{failure}");
    weft(&platform, &["chaos", "add", "--callee", "hostile", "--abort", "overloaded"]);
    assert_problem(&platform.get("/hostile?do=nothing").send(), 503, "overloaded");
    let list: Value = serde_json::from_str(&weft(&platform, &["chaos", "list", "--json"])).expect("JSON");
    assert_eq!(list.as_array().map(Vec::len), Some(2), "{list}");
    assert_eq!((&list[0]["delay_ms"], &list[0]["declared"]), (&json!(20), &json!(false)), "{list}");
    assert!(weft(&platform, &["audit", "--json"]).contains("a drill"));
    weft(&platform, &["chaos", "clear"]);
    assert_eq!(call(&platform, "/once", "k", "echo"), json!({ "Ok": "k" }));
}

#[test]
fn requests_count_where_the_manifest_says_so() {
    let platform = start();
    for _ in 0..10 {
        assert_problem(&platform.get("/hostile?do=trap").send(), 502, "function-trapped");
    }
    let refused = platform.get("/hostile?do=trap").send();
    assert_problem(&refused, 503, "unavailable");
    assert_eq!(refused.header("retry-after"), Some("600"));
    // Other functions, and the host, are none the worse.
    assert_eq!(platform.get("/readyz").send().status, 200);
    assert_eq!(call(&platform, "/once", "k", "echo"), json!({ "Ok": "k" }));
    weft(&platform, &["breakers", "reset", "hostile"]);
    assert_problem(&platform.get("/hostile?do=trap").send(), 502, "function-trapped");
}

#[test]
fn rules_refuse_what_a_grant_permits() {
    let platform = start();
    let failure = call(&platform, "/denied", "k", "echo")["Err"]["Unavailable"].take();
    assert_eq!(failure["outcome"], "NotAttempted", "{failure}");
    assert_eq!(call(&platform, "/once", "k", "echo"), json!({ "Ok": "k" }));
    let get = json!({ "get": { "url": "http://hello.spin.internal/" } });
    let refused = platform.post("/denied", &get).send().expect(200)["answer"].take();
    assert!(refused["Err"].as_str().is_some_and(|error| error.contains("HttpRequestDenied")), "{refused}");
    assert_eq!(platform.get("/hello").send().status, 200, "rules are for calls between functions");
}
