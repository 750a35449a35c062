//! Connections: values, transactions as text, streams, the sandbox, limits.

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use weft_core::clock::ManualClock;

use super::{Databases, Error, Value};

struct Fixture {
    _dir: TempDir,
    clock: Arc<ManualClock>,
    databases: Databases,
}

fn fixture() -> Fixture {
    let dir = TempDir::new().unwrap();
    let clock = Arc::new(ManualClock::at_ms(0));
    let databases = Databases::new(dir.path(), Arc::clone(&clock) as _);
    Fixture { _dir: dir, clock, databases }
}

async fn run(connection: &super::Connection, sql: &str, parameters: &[Value]) -> Result<super::QueryResult, Error> {
    connection.execute(sql.to_owned(), parameters.to_vec()).await
}

#[tokio::test]
async fn values_come_back_and_counters_count() {
    let fixture = fixture();
    let connection = fixture.databases.open("default").await.unwrap();
    run(&connection, "CREATE TABLE t (a, b)", &[]).await.unwrap();
    let values = [
        Value::Null,
        Value::Integer(i64::MIN),
        Value::Real(-0.5),
        Value::Text("Grüße".to_owned()),
        Value::Blob(vec![0, 255]),
    ];
    for (index, value) in (1..).zip(&values) {
        run(&connection, "INSERT INTO t VALUES (?, $b)", &[Value::Integer(index), value.clone()]).await.unwrap();
        assert_eq!(connection.last_insert_rowid().await, Ok(index));
    }
    let found = run(&connection, "SELECT b AS value FROM t ORDER BY a", &[]).await.unwrap();
    assert_eq!(found.columns, ["value"]);
    assert_eq!(found.rows, values.map(|value| vec![value]));
    run(&connection, "DELETE FROM t WHERE a > ?1", &[Value::Integer(2)]).await.unwrap();
    assert_eq!(connection.changes().await, Ok(3));
    for parameters in [vec![], vec![Value::Null; 2]] {
        assert!(matches!(run(&connection, "SELECT ?", &parameters).await, Err(Error::Io(_))));
    }
}

#[tokio::test]
async fn transactions_are_text_and_end_with_their_connection() {
    let fixture = fixture();
    let connection = fixture.databases.open("default").await.unwrap();
    run(&connection, "CREATE TABLE t (a)", &[]).await.unwrap();
    run(&connection, "BEGIN", &[]).await.unwrap();
    run(&connection, "INSERT INTO t VALUES (1)", &[]).await.unwrap();
    let other = fixture.databases.open("default").await.unwrap();
    assert!(run(&other, "SELECT a FROM t", &[]).await.unwrap().rows.is_empty());
    drop(connection);
    // It waits until the transaction is rolled back.
    run(&other, "INSERT INTO t VALUES (2)", &[]).await.unwrap();
    assert_eq!(run(&other, "SELECT a FROM t", &[]).await.unwrap().rows, [[Value::Integer(2)]]);
    let elsewhere = fixture.databases.open("other").await.unwrap();
    assert!(matches!(run(&elsewhere, "SELECT a FROM t", &[]).await, Err(Error::Io(_))));
}

#[tokio::test]
async fn streams_give_all_rows_and_their_end() {
    let fixture = fixture();
    let connection = fixture.databases.open("default").await.unwrap();
    let count = "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < ?) SELECT n FROM c";
    let mut stream = connection.stream(count.to_owned(), vec![Value::Integer(10_000)]).await.unwrap();
    assert_eq!(stream.columns, ["n"]);
    for expected in 1..=10_000 {
        assert_eq!(stream.rows.recv().await, Some(vec![Value::Integer(expected)]));
    }
    assert_eq!(stream.rows.recv().await, None);
    assert_eq!(stream.ended.await, Ok(Ok(())));
    // A stream that nobody reads does not keep the connection.
    drop(connection.stream(count.to_owned(), vec![Value::Integer(10_000)]).await.unwrap());
    let fails = "SELECT abs(-9223372036854775807 - n) FROM (SELECT 0 AS n UNION ALL SELECT 1)";
    let mut stream = connection.stream(fails.to_owned(), vec![]).await.unwrap();
    assert_eq!(stream.rows.recv().await, Some(vec![Value::Integer(i64::MAX)]));
    assert_eq!(stream.rows.recv().await, None);
    assert!(matches!(stream.ended.await, Ok(Err(Error::Io(_)))));
    assert!(connection.stream("SELEKT".to_owned(), vec![]).await.is_err());
}

#[tokio::test]
async fn a_connection_stays_in_its_file() {
    let fixture = fixture();
    let connection = fixture.databases.open("default").await.unwrap();
    run(&connection, "CREATE TABLE t (a INTEGER PRIMARY KEY)", &[]).await.unwrap();
    for sql in [
        "ATTACH 'other.db' AS other",
        "VACUUM INTO 'copy.db'",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA synchronous = OFF",
        "PRAGMA max_page_count = 1000000000",
        "PRAGMA trusted_schema = ON",
        "PRAGMA database_list",
        "PRAGMA writable_schema = ON",
        "SELECT load_extension('x')",
        "INSERT INTO sqlite_master VALUES ('table', 'x', 'x', 1, '')",
        "SELECT 1; SELECT 2",
    ] {
        assert!(matches!(run(&connection, sql, &[]).await, Err(Error::Io(_))), "{sql}");
    }
    for sql in [
        "PRAGMA foreign_keys = ON",
        "PRAGMA case_sensitive_like = ON",
        "PRAGMA synchronous = FULL",
        "PRAGMA journal_mode = WAL",
        "PRAGMA trusted_schema = OFF",
        "PRAGMA user_version = 7",
    ] {
        assert!(run(&connection, sql, &[]).await.is_ok(), "{sql}");
    }
    assert_eq!(run(&connection, "PRAGMA user_version", &[]).await.unwrap().rows, [[Value::Integer(7)]]);
    for sql in ["PRAGMA table_info(t)", "PRAGMA user_version", "SELECT name FROM sqlite_master"] {
        assert_eq!(run(&connection, sql, &[]).await.unwrap().rows.len(), 1, "{sql}");
    }
    for label in ["", "../x", "a/b", "a.b", "a\0"] {
        assert_eq!(fixture.databases.open(label).await.map(drop), Err(Error::NoSuchDatabase), "{label:?}");
    }
}

#[tokio::test]
async fn endless_statements_and_large_results_end() {
    let fixture = fixture();
    let connection = fixture.databases.open("default").await.unwrap();
    let endless = "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT COUNT(*) FROM c";
    let counting = run(&connection, endless, &[]);
    futures::pin_mut!(counting);
    let stopped = loop {
        if let Some(stopped) = futures::future::poll_immediate(&mut counting).await {
            break stopped;
        }
        fixture.clock.advance(Duration::from_secs(1));
        tokio::task::yield_now().await;
    };
    assert!(matches!(stopped, Err(Error::Io(_))));
    let large = "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 20) \
                 SELECT zeroblob(1000000) FROM c";
    assert!(matches!(run(&connection, large, &[]).await, Err(Error::Io(_))));
    assert!(matches!(run(&connection, "SELECT zeroblob(100000000)", &[]).await, Err(Error::Io(_))));
}

#[tokio::test]
async fn connections_are_bounded() {
    let fixture = fixture();
    let mut open = Vec::new();
    for _ in 0..super::MAX_CONNECTIONS {
        open.push(fixture.databases.open("default").await.unwrap());
    }
    assert!(matches!(fixture.databases.open("default").await.map(drop), Err(Error::Io(_))));
}

#[tokio::test]
async fn a_script_runs_statement_after_statement() {
    let fixture = fixture();
    let connection = fixture.databases.open("default").await.unwrap();
    let script = "CREATE TABLE t (a); -- a ; in a comment\nINSERT INTO t VALUES ('x;y');\nSELECT a FROM t;";
    connection.script(script.to_owned()).await.unwrap();
    let found = run(&connection, "SELECT a FROM t", &[]).await.unwrap();
    assert_eq!(found.rows, [[Value::Text("x;y".to_owned())]]);
    let broken = connection.script("INSERT INTO t VALUES ('z'); INSERT INTO nowhere VALUES (1)".to_owned()).await;
    assert!(matches!(&broken, Err(Error::Io(said)) if said.contains("nowhere")), "{broken:?}");
    assert_eq!(run(&connection, "SELECT a FROM t", &[]).await.unwrap().rows.len(), 2);
    let said = |result: Result<(), Error>| match result {
        Err(Error::Io(said)) => said,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        said(connection.script("SELECT 1; SELEC 'secret'".to_owned()).await),
        "statement 2: near \"SELEC\": syntax error"
    );
    let open = connection.script("BEGIN; INSERT INTO t VALUES ('open')".to_owned()).await;
    assert!(said(open).contains("not ended"));
    assert_eq!(run(&connection, "SELECT a FROM t", &[]).await.unwrap().rows.len(), 2);
    assert!(said(connection.script(" ".repeat(1024 * 1024 + 1)).await).contains("1048577 bytes"));
    let outside = connection.script("ATTACH 'other.db' AS other".to_owned()).await;
    assert!(matches!(outside, Err(Error::Io(_))), "{outside:?}");
}
