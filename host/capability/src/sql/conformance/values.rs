//! Each type goes in and comes back as it was, at its extremes too.

use super::{Backend, Value, commit, one, query, statement, text};
use crate::sql::{SqlError, limits};

const COLUMNS: [&str; 5] = ["flag", "whole", "fraction", "words", "bytes"];

pub(super) async fn run(backend: &dyn Backend) {
    every_value_comes_back(backend).await;
    what_engines_disagree_about_is_refused(backend).await;
}

fn samples() -> Vec<(&'static str, Value)> {
    let whole = [i64::MIN, -1, 0, 1, i64::MAX].map(|value| ("whole", Value::Int64(value)));
    let fraction = [f64::MIN, -1.5, 0.0, 1.0, 1e-300, f64::MIN_POSITIVE, f64::MAX, f64::INFINITY, f64::NEG_INFINITY]
        .map(|value| ("fraction", Value::Float64(value)));
    let words = ["", "0", " 1 ", "it's \"q\" $1 ? :: ; --", "Grüße 🧵 \u{10ffff} e\u{301}", "TRUE", "\r\n\t"]
        .map(|value| ("words", text(value)));
    let bytes = [vec![], vec![0], (0..=255).collect(), vec![0xff; 100_000]].map(|value| ("bytes", Value::Blob(value)));
    let flags = [true, false].map(|value| ("flag", Value::Boolean(value)));
    let nulls = COLUMNS.map(|column| (column, Value::Null));
    let long = [("words", text(&"ä".repeat(500_000)))];
    flags.into_iter().chain(whole).chain(fraction).chain(words).chain(bytes).chain(nulls).chain(long).collect()
}

async fn every_value_comes_back(backend: &dyn Backend) {
    let database = backend.database();
    for (id, (column, value)) in (1_i64..).zip(samples()) {
        let insert = format!("INSERT INTO kinds (id, {column}) VALUES ($1, $2)");
        let parameters = [Value::Int64(id), value.clone()];
        database.commit(commit(&format!("value-{id}"), [statement(&insert, parameters)])).await.unwrap();
        let select = format!("SELECT {column} FROM kinds WHERE id = $1");
        assert_eq!(one(&*database, &select, [Value::Int64(id)]).await, value, "{column}");
        let mut cursor = database.open(select, vec![Value::Int64(id)]).await.unwrap();
        assert_eq!(cursor.next(10).await.unwrap(), [[value]], "{column} by cursor");
        assert!(cursor.next(10).await.unwrap().is_empty());
    }
    let boolean = query(&*database, "SELECT id FROM kinds WHERE flag = $1", [Value::Boolean(false)]).await.unwrap();
    assert_eq!(boolean.rows.len(), 1, "a boolean is comparable");
}

async fn what_engines_disagree_about_is_refused(backend: &dyn Backend) {
    let database = backend.database();
    for value in [Value::Float64(f64::NAN), text("a\0b")] {
        let refused = query(&*database, "SELECT id FROM kinds WHERE words = $1", [value]).await;
        assert!(matches!(refused, Err(SqlError::Invalid(_))), "{refused:?}");
    }
    let large = Value::Blob(vec![0; limits::VALUE_BYTES + 1]);
    let refused = query(&*database, "SELECT id FROM kinds WHERE bytes = $1", [large]).await;
    assert!(matches!(refused, Err(SqlError::TooLarge(_))), "{refused:?}");
}
