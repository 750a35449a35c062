//! Parameters, results of all sizes, cursors, and reading what was acknowledged.

use std::time::Duration;

use super::{Backend, Value, commit, one, query, statement, text};
use crate::sql::{SqlError, limits};

const MANY: i64 = 100_000;

pub(super) async fn run(backend: &dyn Backend) {
    parameters_are_bound_by_number(backend).await;
    acknowledged_commits_are_read(backend).await;
    like_minds_case(backend).await;
    large_results_need_a_cursor(backend).await;
    a_cursor_reads_one_snapshot(backend).await;
    a_cursor_ends_with_its_time(backend).await;
}

async fn parameters_are_bound_by_number(backend: &dyn Backend) {
    let database = backend.database();
    let (a, b) = (text("a"), text("b"));
    let insert = statement("INSERT INTO items (amount, id) VALUES ($2, $1)", [text("bound"), Value::Int64(7)]);
    database.commit(commit("bound", [insert])).await.unwrap();
    let found = one(&*database, "SELECT amount FROM items WHERE id = $1", [text("bound")]).await;
    assert_eq!(found, Value::Int64(7), "$2 is the second wherever it stands");
    let rows = query(&*database, "SELECT CAST($2 AS TEXT), CAST($1 AS TEXT)", [a.clone(), b.clone()]).await.unwrap();
    assert_eq!(rows.rows, [[b.clone(), a.clone()]]);
    let twice = "SELECT COUNT(*) FROM items WHERE id = $1 OR id = $1 OR id = $2";
    assert_eq!(one(&*database, twice, [text("bound"), b.clone()]).await, Value::Int64(1));
    let many: Vec<_> = (1..=i64::try_from(limits::PARAMETERS).unwrap()).map(Value::Int64).collect();
    let places: Vec<_> = (1..=many.len()).rev().map(|number| format!("${number}")).collect();
    let select = format!("SELECT COUNT(*) FROM items WHERE amount IN ({})", places.join(", "));
    assert_eq!(one(&*database, &select, many).await, Value::Int64(1));
    for parameters in [vec![], vec![a.clone()], vec![a.clone(), b.clone(), a.clone()]] {
        let refused = query(&*database, "SELECT CAST($1 AS TEXT), CAST($2 AS TEXT)", parameters).await;
        assert!(matches!(refused, Err(SqlError::Invalid(_))), "{refused:?}");
    }
    let rows = query(&*database, "SELECT id AS name, amount FROM items WHERE id = $1", [b]).await.unwrap();
    assert_eq!((rows.columns, rows.rows), (vec!["name".to_owned(), "amount".to_owned()], vec![]));
}

async fn acknowledged_commits_are_read(backend: &dyn Backend) {
    let database = backend.database();
    for round in 0..50 {
        let id = text(&format!("read-{round}"));
        let insert = statement("INSERT INTO items (id) VALUES ($1)", [id.clone()]);
        database.commit(commit(&format!("read-{round}"), [insert])).await.unwrap();
        assert_eq!(one(&*database, "SELECT COUNT(*) FROM items WHERE id = $1", [id]).await, Value::Int64(1));
    }
}

async fn like_minds_case(backend: &dyn Backend) {
    let database = backend.database();
    let insert = statement("INSERT INTO items (id) VALUES ($1)", [text("Like-Me")]);
    database.commit(commit("like", [insert])).await.unwrap();
    let count = "SELECT COUNT(*) FROM items WHERE id LIKE $1";
    assert_eq!(one(&*database, count, [text("Like-%")]).await, Value::Int64(1));
    assert_eq!(one(&*database, count, [text("like-%")]).await, Value::Int64(0));
}

async fn large_results_need_a_cursor(backend: &dyn Backend) {
    let database = backend.database();
    let fill = statement(
        "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < $1) \
         INSERT INTO numbers (n) SELECT n FROM c",
        [Value::Int64(MANY)],
    );
    database.commit(commit("numbers", [fill.expecting(100_000)])).await.unwrap();
    let select = "SELECT n FROM numbers ORDER BY n";
    let most = format!("{select} LIMIT {}", limits::QUERY_ROWS);
    assert_eq!(query(&*database, &most, []).await.unwrap().rows.len(), limits::QUERY_ROWS);
    for sql in [
        select.to_owned(),
        format!("{select} LIMIT {}", limits::QUERY_ROWS + 1),
        // Few rows, but many bytes.
        "SELECT a.words FROM kinds a, numbers b WHERE b.n <= 20 AND LENGTH(a.words) = 500000".to_owned(),
    ] {
        let refused = query(&*database, &sql, []).await;
        assert!(matches!(refused, Err(SqlError::TooLarge(_))), "{sql}");
    }
    let mut cursor = database.open(select.to_owned(), vec![]).await.unwrap();
    assert_eq!(cursor.columns(), ["n"]);
    for wrong in [0, 10_001] {
        assert!(matches!(cursor.next(wrong).await, Err(SqlError::Invalid(_))));
    }
    let mut expected = 1..=MANY;
    loop {
        let rows = cursor.next(777).await.unwrap();
        assert!(rows.len() <= 777);
        if rows.is_empty() {
            break;
        }
        for row in rows {
            assert_eq!(row, [Value::Int64(expected.next().unwrap())]);
        }
    }
    assert_eq!(expected.next(), None, "the cursor gave all rows");
    assert!(cursor.next(1).await.unwrap().is_empty(), "the end stays the end");
}

async fn a_cursor_reads_one_snapshot(backend: &dyn Backend) {
    let database = backend.database();
    let mut cursor = database.open("SELECT COUNT(*) FROM numbers".to_owned(), vec![]).await.unwrap();
    let delete = statement("DELETE FROM numbers WHERE n > $1", [Value::Int64(10)]);
    database.commit(commit("fewer-numbers", [delete])).await.unwrap();
    assert_eq!(cursor.next(1).await.unwrap(), [[Value::Int64(MANY)]]);
    drop(cursor);
    assert_eq!(one(&*database, "SELECT COUNT(*) FROM numbers", []).await, Value::Int64(10));
}

async fn a_cursor_ends_with_its_time(backend: &dyn Backend) {
    let database = backend.database();
    let select = "SELECT a.n FROM numbers a, numbers b, numbers c".to_owned();
    let mut cursor = database.open(select, vec![]).await.unwrap();
    for _ in 0..900 {
        backend.advance(Duration::from_secs(3_600));
        match cursor.next(1).await {
            // The clock may have passed before the backend looked at it.
            Ok(rows) => assert_eq!(rows.len(), 1),
            Err(error) => {
                assert!(matches!(error, SqlError::Unavailable { maybe_done: false, .. }), "{error:?}");
                return;
            }
        }
    }
    assert_eq!("the cursor", "closed by the clock");
}
