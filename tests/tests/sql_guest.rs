//! `weft:sql` through a real guest: parameters, types, commits by key, large results.

use serde_json::{Value, json};
use weft_tests::isolation::{probe, start, statement};
use weft_tests::platform::Platform;

fn query(platform: &Platform, sql: &str, parameters: &Value) -> Value {
    probe(platform, &json!({ "query": { "sql": sql, "parameters": parameters } }))
}

fn rows(platform: &Platform, sql: &str, parameters: &Value) -> Value {
    query(platform, sql, parameters)["Ok"]["rows"].take()
}

fn commit(platform: &Platform, key: &str, fingerprint: &str, statements: &[Value]) -> Value {
    let commit = json!({ "key": key, "fingerprint": fingerprint, "statements": statements, "events": [] });
    probe(platform, &json!({ "commit": commit }))
}

#[test]
fn parameters_go_by_their_numbers() {
    let platform = start();
    let two = json!([{ "Int64": 1 }, { "Text": "two" }]);
    let (one, other) = (json!({ "Int64": 1 }), json!({ "Text": "two" }));
    assert_eq!(rows(&platform, "SELECT $2, $1", &two), json!([[other, one]]));
    assert_eq!(rows(&platform, "SELECT $1, $2, $1", &two), json!([[one, other, one]]));
    assert_eq!(rows(&platform, "SELECT $1 WHERE $2 = 'two' AND $1 = 1", &two), json!([[one]]));
    // Text that looks like a parameter is text.
    assert_eq!(rows(&platform, "SELECT '$2', $1", &json!([{ "Int64": 1 }])), json!([[{ "Text": "$2" }, one]]));
    for (sql, parameters) in
        [("SELECT $1", json!([])), ("SELECT $1", two.clone()), ("SELECT $3, $1", two), ("SELECT ?", json!([one]))]
    {
        let answer = query(&platform, sql, &parameters);
        assert!(answer["Err"]["Invalid"].is_string(), "{sql} {parameters}: {answer}");
    }
}

#[test]
fn each_type_comes_back_as_it_went() {
    let platform = start();
    let values = [
        ("flag", json!({ "Boolean": true })),
        ("flag", json!({ "Boolean": false })),
        ("real", json!({ "Float64": -0.1 })),
        ("real", json!({ "Float64": 1.5e300 })),
        // A whole number that is a float stays one.
        ("real", json!({ "Float64": 3.0 })),
        ("label", json!({ "Text": "" })),
        ("label", json!({ "Text": "grüße, '); DROP TABLE things; -- \u{1F600}" })),
        ("label", json!({ "Text": "12" })),
        ("bytes", json!({ "Blob": [] })),
        ("bytes", json!({ "Blob": [0, 255, 39, 10] })),
    ];
    for (number, (column, value)) in values.iter().enumerate() {
        let id = json!({ "Int64": number });
        let insert = statement(&format!("INSERT INTO things (id, {column}) VALUES ($1, $2)"), &json!([id, value]));
        assert!(commit(&platform, &format!("v{number}"), "f", &[insert]).get("Ok").is_some(), "{value}");
        let read = rows(&platform, &format!("SELECT {column}, id FROM things WHERE id = $1"), &json!([id]));
        assert_eq!(read, json!([[value, id]]));
        // As a parameter alone, without a column to say what it is.
        let sent =
            if value.get("Boolean").is_some() { continue } else { rows(&platform, "SELECT $1", &json!([value])) };
        assert_eq!(sent, json!([[value]]));
    }
    for number in [i64::MIN, -1, 0, i64::MAX] {
        let value = json!({ "Int64": number });
        assert_eq!(rows(&platform, "SELECT $1", &json!([value])), json!([[value]]));
    }
    assert_eq!(
        rows(&platform, "SELECT label, $1 FROM things WHERE id = 0", &json!(["Null"])),
        json!([["Null", "Null"]])
    );
    let with_nul = query(&platform, "SELECT $1", &json!([{ "Text": "a\u{0}b" }]));
    assert!(with_nul["Err"]["Invalid"].is_string(), "{with_nul}");
}

#[test]
fn a_key_lands_once() {
    let platform = start();
    let insert = |id: i64| statement("INSERT INTO things (id) VALUES ($1)", &json!([{ "Int64": id }]));
    let first = commit(&platform, "k", "f", &[insert(1)]);
    assert_eq!(first["Ok"]["answer"], json!(b"done"));
    // The record is given back, and the statement, which would now break a constraint, does not run.
    assert_eq!(commit(&platform, "k", "f", &[insert(1)]), first);
    assert_eq!(commit(&platform, "k", "other", &[insert(2)]), json!({ "Err": "KeyReused" }));
    assert_eq!(probe(&platform, &json!({ "recorded": { "key": "k" } })), first);
    assert_eq!(probe(&platform, &json!({ "recorded": { "key": "unknown" } })), json!({ "Ok": null }));

    let delete = statement("DELETE FROM things WHERE id = 1", &json!([]));
    let revoke = json!({ "revoke": { "key": "k", "statements": [delete] } });
    assert_eq!(probe(&platform, &revoke), json!({ "Ok": true }));
    assert_eq!(commit(&platform, "k", "f", &[insert(1)]), json!({ "Err": "Revoked" }));
    assert_eq!(probe(&platform, &json!({ "revoke": { "key": "never", "statements": [] } })), json!({ "Ok": false }));
    assert_eq!(commit(&platform, "never", "f", &[insert(3)]), json!({ "Err": "Revoked" }));
    assert_eq!(rows(&platform, "SELECT COUNT(*) FROM things", &json!([])), json!([[{ "Int64": 0 }]]));
}

#[test]
fn a_statement_that_fails_takes_the_commit_with_it() {
    let platform = start();
    let insert = |id: i64, label: &str| {
        statement("INSERT INTO things (id, label) VALUES ($1, $2)", &json!([{ "Int64": id }, { "Text": label }]))
    };
    assert!(commit(&platform, "a", "f", &[insert(1, "one")]).get("Ok").is_some());
    let twice = commit(&platform, "b", "f", &[insert(2, "two"), insert(3, "one")]);
    let violation = json!({ "kind": "Unique", "subject": "things.label", "statement": 1 });
    assert_eq!(twice, json!({ "Err": { "Constraint": violation } }));
    let mut update = statement("UPDATE things SET real = 1.5 WHERE id > $1", &json!([{ "Int64": 100 }]));
    update["expected_rows"] = json!(1);
    let missed = commit(&platform, "c", "f", &[insert(4, "four"), update]);
    assert_eq!(missed, json!({ "Err": { "UnexpectedRows": { "statement": 1, "expected": 1, "actual": 0 } } }));
    let invalid =
        commit(&platform, "d", "f", &[insert(5, "five"), statement("INSERT INTO nowhere VALUES (1)", &json!([]))]);
    assert!(invalid["Err"]["Invalid"].is_string(), "{invalid}");
    assert_eq!(rows(&platform, "SELECT COUNT(*) FROM things", &json!([])), json!([[{ "Int64": 1 }]]));
    // None of the keys is taken.
    assert!(commit(&platform, "b", "f", &[insert(2, "two")]).get("Ok").is_some());
}

/// The numbers below `$1`, each with a hundred bytes.
const MANY: &str = "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < $1)
     SELECT i, '0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789' AS text FROM n";

#[test]
fn large_results_come_by_a_cursor() {
    const ROWS: i64 = 100_000;
    let platform = start();
    let parameters = json!([{ "Int64": ROWS }]);
    let too_large = query(&platform, MANY, &parameters);
    assert!(too_large["Err"]["TooLarge"].is_string(), "{too_large}");
    let read = |max_rows: i64| {
        probe(&platform, &json!({ "cursor": { "sql": MANY, "parameters": parameters, "max_rows": max_rows } }))
    };
    let all = json!({
        "columns": ["i", "text"], "pages": 100, "rows": ROWS, "largest_page": 1_000,
        "sum": ROWS * (ROWS - 1) / 2, "bytes": ROWS * 100,
    });
    assert_eq!(read(1_000), json!({ "Ok": all }));
    assert_eq!(read(333)["Ok"]["sum"], all["sum"]);
    for out_of_range in [0, 10_001] {
        assert!(read(out_of_range).get("Err").is_some(), "{out_of_range} rows at once");
    }
    let none =
        probe(&platform, &json!({ "cursor": { "sql": "SELECT id FROM things", "parameters": [], "max_rows": 10 } }));
    assert_eq!(none["Ok"]["rows"], 0);
}
