//! Values, parameters, and results of all sizes.

use adapter_store::bindings::weft::sql::types::{Error, Value};

use crate::harness::*;

#[test]
fn every_value_comes_back() {
    let (mut store, _) = store();
    let whole = [i64::MIN, -1, 0, 1, i64::MAX].map(|value| ("whole", Value::Int64(value)));
    let fraction = [f64::MIN, -1.5, 0.0, 1.0, 1e-300, f64::MIN_POSITIVE, f64::MAX, f64::INFINITY]
        .map(|value| ("fraction", Value::Float64(value)));
    let words = ["", "0", " 1 ", "it's \"q\" $1 ? :: ; --", "Grüße 🧵 \u{10ffff} e\u{301}", "TRUE", "\r\n\t"]
        .map(|value| ("words", text(value)));
    let bytes = [vec![], vec![0], (0..=255).collect(), vec![0xff; 100_000]].map(|value| ("bytes", Value::Blob(value)));
    let nulls = ["flag", "whole", "fraction", "words", "bytes"].map(|column| (column, Value::Null));
    let samples = whole.into_iter().chain(fraction).chain(words).chain(bytes).chain(nulls);
    for (at, (column, value)) in samples.enumerate() {
        let id = Value::Int64(i64::try_from(at).unwrap());
        let insert = format!("INSERT INTO kinds (id, {column}) VALUES ($1, $2)");
        commit(&mut store, &format!("value-{at}"), vec![statement(&insert, [id.clone(), value.clone()])]).unwrap();
        let select = format!("SELECT {column} FROM kinds WHERE id = $1");
        assert_eq!(one(&mut store, &select, &[id]), value, "{column}");
    }
}

#[test]
fn booleans_come_back_as_numbers() {
    let (mut store, _) = store();
    for (id, flag) in [(1, true), (2, false)] {
        let insert = "INSERT INTO kinds (id, flag) VALUES ($1, $2)";
        let insert = statement(insert, [Value::Int64(id), Value::Boolean(flag)]);
        commit(&mut store, &format!("flag-{id}"), vec![insert]).unwrap();
        // Spin tells no types of columns, so that there is nothing to tell them from numbers by.
        let select = "SELECT flag FROM kinds WHERE id = $1 AND flag = $2";
        let found = one(&mut store, select, &[Value::Int64(id), Value::Boolean(flag)]);
        assert_eq!(found, Value::Int64(i64::from(flag)));
    }
}

#[test]
fn what_engines_disagree_about_is_refused() {
    let (mut store, _) = store();
    for value in [Value::Float64(f64::NAN), text("a\0b")] {
        let refused = store.query("SELECT CAST($1 AS TEXT)", &[value]);
        assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
    }
    let large = store.query("SELECT LENGTH($1)", &[Value::Blob(vec![0; 8 * 1024 * 1024 + 1])]);
    assert!(matches!(large, Err(Error::TooLarge(_))));
}

#[test]
fn parameters_are_bound_by_number() {
    let (mut store, _) = store();
    let (a, b) = (text("a"), text("b"));
    let insert = statement("INSERT INTO items (amount, id) VALUES ($2, $1)", [text("bound"), Value::Int64(7)]);
    commit(&mut store, "bound", vec![insert]).unwrap();
    let found = one(&mut store, "SELECT amount FROM items WHERE id = $1", &[text("bound")]);
    assert_eq!(found, Value::Int64(7), "$2 is the second wherever it stands");
    let rows = store.query("SELECT CAST($2 AS TEXT), CAST($1 AS TEXT)", &[a.clone(), b.clone()]).unwrap();
    assert_eq!(rows.rows, [[b.clone(), a.clone()]]);
    let twice = "SELECT COUNT(*) FROM items WHERE id = $1 OR id = $1 OR id = $2";
    assert_eq!(one(&mut store, twice, &[text("bound"), b.clone()]), Value::Int64(1));
    let many: Vec<_> = (1..=999).map(Value::Int64).collect();
    let places: Vec<_> = (1..=many.len()).rev().map(|number| format!("${number}")).collect();
    let select = format!("SELECT COUNT(*) FROM items WHERE amount IN ({})", places.join(", "));
    assert_eq!(one(&mut store, &select, &many), Value::Int64(1));
    for parameters in [vec![], vec![a.clone()], vec![a.clone(), b.clone(), a]] {
        let refused = store.query("SELECT CAST($1 AS TEXT), CAST($2 AS TEXT)", &parameters);
        assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
    }
    let rows = store.query("SELECT id AS name, amount FROM items WHERE id = $1", &[b]).unwrap();
    assert_eq!((rows.columns, rows.rows), (vec!["name".to_owned(), "amount".to_owned()], vec![]));
}

#[test]
fn like_minds_case() {
    let (mut store, _) = store();
    let insert = statement("INSERT INTO items (id) VALUES ($1)", [text("Like-Me")]);
    commit(&mut store, "like", vec![insert]).unwrap();
    let count = "SELECT COUNT(*) FROM items WHERE id LIKE $1";
    assert_eq!(one(&mut store, count, &[text("Like-%")]), Value::Int64(1));
    assert_eq!(one(&mut store, count, &[text("like-%")]), Value::Int64(0));
}

#[test]
fn large_results_need_a_cursor() {
    let (mut store, _) = store();
    let fill = "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < $1) \
                INSERT INTO numbers (n) SELECT n FROM c";
    let fill = expecting(statement(fill, [Value::Int64(20_000)]), 20_000);
    commit(&mut store, "numbers", vec![fill]).unwrap();
    let select = "SELECT n FROM numbers ORDER BY n";
    assert_eq!(store.query(&format!("{select} LIMIT 10000"), &[]).unwrap().rows.len(), 10_000);
    assert!(matches!(store.query(select, &[]), Err(Error::TooLarge(_))));
    // Few rows, but many bytes.
    let bytes = "SELECT CAST($1 AS TEXT) FROM numbers LIMIT 20";
    assert!(matches!(store.query(bytes, &[text(&"ä".repeat(500_000))]), Err(Error::TooLarge(_))));
    let whole = store.read_whole(select, &[]).unwrap();
    assert_eq!((whole.columns, whole.rows.len()), (vec!["n".to_owned()], 20_000));
    assert!(matches!(
        store.read_whole(&bytes.replace("20", "70"), &[text(&"ä".repeat(500_000))]),
        Err(Error::TooLarge(_))
    ));
}
