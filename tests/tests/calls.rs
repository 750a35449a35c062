//! Typed calls: a callee that fails is an error value of its caller, and calls that are started together run together.

use serde_json::{Value, json};
use weft_tests::isolation::{probe, start, statement};

fn call(key: &str, what: &str) -> Value {
    json!({ "call": { "key": key, "what": what } })
}

#[test]
fn a_callee_that_fails_is_a_value_in_its_caller() {
    let platform = start();
    for (what, message) in [
        ("trap", "function callee stopped without an answer"),
        ("loop", "function callee used up its processor time"),
        ("grow", "function callee passed its memory limit"),
        ("sleep", "function callee did not answer in time"),
    ] {
        let failure = json!({ "outcome": "Unknown", "retry_after_ms": null, "message": message });
        assert_eq!(probe(&platform, &call("k", what)), json!({ "Err": { "Unavailable": failure } }), "{what}");
    }
    // A definite error is another matter, and an answer as well.
    assert_eq!(probe(&platform, &call("no", "refuse")), json!({ "Err": { "Refused": "no" } }));
    assert_eq!(probe(&platform, &call("yes", "echo")), json!({ "Ok": "yes" }));
}

#[test]
fn calls_started_together_run_together() {
    let platform = start();
    // Each waits until the other is there: one after the other, neither of the first kind would ever answer.
    let both = json!({ "together": [call("m", "meet a b"), call("m", "meet b a")] });
    assert_eq!(probe(&platform, &both), json!([{ "Ok": "a met b" }, { "Ok": "b met a" }]));
    // One that fails takes nothing from the one beside it.
    let mixed = json!({ "together": [call("k", "trap"), call("k", "echo"), call("k", "loop")] });
    let answer = probe(&platform, &mixed);
    assert_eq!(answer[1], json!({ "Ok": "k" }));
    assert!(answer[0]["Err"]["Unavailable"].is_object() && answer[2]["Err"]["Unavailable"].is_object(), "{answer}");
}

#[test]
fn a_deadline_of_a_callee_ends_its_call_alone() {
    let platform = start();
    // Both wait for the whole of the callee's own deadline, at the same time, and within that of the caller.
    let both = json!({ "together": [call("p", "sleep"), call("q", "sleep")] });
    let answer = probe(&platform, &both);
    for one in answer.as_array().expect("two answers") {
        assert_eq!(one["Err"]["Unavailable"]["outcome"], "Unknown", "{answer}");
    }
}

#[test]
fn while_a_transaction_is_open_other_effects_fail() {
    let platform = start();
    let insert = statement("INSERT INTO things (id) VALUES ($1)", &json!([{ "Int64": 7 }]));
    let port = platform.url().rsplit(':').next().expect("a port");
    let meanwhile = json!([
        call("k", "echo"),
        { "get": { "url": format!("http://127.0.0.1:{port}/hello") } },
        { "publish": { "topic": "probe.made" } },
        { "key_value": { "store": "default", "key": "k" } },
        { "sqlite": { "database": "default", "sql": "SELECT 1" } },
        { "query": { "sql": "SELECT 1", "parameters": [] } },
        { "commit": { "key": "k", "fingerprint": "f", "statements": [], "events": [] } },
    ]);
    let answer =
        probe(&platform, &json!({ "transaction": { "execute": [insert], "meanwhile": meanwhile, "end": "commit" } }));
    assert_eq!(answer["executed"], json!([{ "Ok": 1 }]));
    for (action, refused) in
        meanwhile.as_array().expect("actions").iter().zip(answer["meanwhile"].as_array().expect("answers"))
    {
        let said = refused["Err"].to_string();
        assert!(said.contains("transaction-open") || said.contains("TransactionOpen"), "{action}: {refused}");
    }
    assert_eq!(answer["meanwhile"][0]["Err"]["Unavailable"]["outcome"], "NotAttempted");
    // The transaction itself is none the worse, and after it all is open again.
    assert_eq!(answer["end"], json!({ "Ok": null }));
    let count = json!({ "query": { "sql": "SELECT COUNT(*) AS n FROM things WHERE id = 7", "parameters": [] } });
    let after = probe(&platform, &json!({ "in_turn": [count, call("k", "echo")] }));
    assert_eq!(after, json!([{ "Ok": { "columns": ["n"], "rows": [[{ "Int64": 1 }]] } }, { "Ok": "k" }]));
}

#[test]
fn after_each_end_of_a_transaction_calls_go_on() {
    let platform = start();
    for (end, rows) in [("commit", 1), ("rollback", 0), ("drop", 0)] {
        let insert = statement("INSERT INTO things (id) VALUES ($1)", &json!([{ "Int64": 1 }]));
        let transaction = json!({ "transaction": { "execute": [insert], "meanwhile": [], "end": end } });
        let count = json!({ "query": { "sql": "SELECT COUNT(*) AS n FROM things", "parameters": [] } });
        let script = json!({ "in_turn": [transaction, call("k", "echo"), count] });
        let answer = probe(&platform, &script);
        assert_eq!(answer[1], json!({ "Ok": "k" }), "{end}: {answer}");
        assert_eq!(answer[2]["Ok"]["rows"], json!([[{ "Int64": rows }]]), "{end}: {answer}");
        let clear = statement("DELETE FROM things", &json!([]));
        let commit = json!({ "commit": { "key": end, "fingerprint": "f", "statements": [clear], "events": [] } });
        assert!(probe(&platform, &commit).get("Ok").is_some());
    }
}
