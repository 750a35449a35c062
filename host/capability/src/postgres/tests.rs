//! The client with a real server: policy, values, errors, limits, another use.

use std::sync::Arc;

use weft_core::SystemClock;
use weft_core::outbound::OutboundHosts;
use weft_tests::servers;

use super::*;
use crate::outbound::{Dialer, SystemResolver};

fn client(allowed: &[&str]) -> Arc<Postgres> {
    let hosts = OutboundHosts::new(allowed.iter().map(|host| host.parse().unwrap()).collect());
    let clock = Arc::new(SystemClock::new(|duration| Box::pin(tokio::time::sleep(duration))));
    Postgres::new(Dialer::new(hosts, Arc::new(SystemResolver), clock).unwrap(), std::time::Duration::from_secs(15))
}

async fn connected() -> Option<Connection> {
    Some(client(&["postgres://127.0.0.1:*"]).open(&servers::postgres()?, None).await.unwrap())
}

fn failed(error: Error, with: &str) {
    assert!(matches!(&error, Error::ConnectionFailed(text) if text.contains(with)), "{error:?}");
}

#[tokio::test]
async fn what_is_not_allowed_is_not_connected_to() {
    let open = async |allowed: &str, address: &str| client(&[allowed]).open(address, None).await.unwrap_err();
    let address = "postgres://u@127.0.0.1:1/db";
    failed(open("postgres://127.0.0.1:2", address).await, "allowed_outbound_hosts");
    failed(open("postgres://127.0.0.1:1", "host=127.0.0.1,10.0.0.1 port=1 user=u").await, "allowed_outbound_hosts");
    failed(open("*://*:*", address).await, "no public address");
    failed(open("postgres://127.0.0.1:1", address).await, "cannot connect");
    failed(open("postgres://127.0.0.1:1", "host=127.0.0.1 hostaddr=127.0.0.1 user=u").await, "hostaddr");
    let bad_ca = client(&["postgres://127.0.0.1:1"]).open(address, Some("no certificate")).await.unwrap_err();
    failed(bad_ca, "no certificate in the PEM text");
}

/// A parameter comes back as the value that it was, in a column of its type.
#[tokio::test]
async fn values_go_there_and_back() {
    let Some(server) = connected().await else { return };
    let (inclusive, exclusive) = (BoundKind::Inclusive, BoundKind::Exclusive);
    let text = |text: &str| text.to_owned();
    let values = [
        ("BOOL", Value::Boolean(true)),
        ("INT2", Value::Int16(-2)),
        ("INT4", Value::Int32(i32::MIN)),
        ("INT8", Value::Int64(i64::MAX)),
        ("FLOAT4", Value::Floating32(1.5)),
        ("FLOAT8", Value::Floating64(-2.25)),
        ("TEXT", Value::Str(text("grün"))),
        ("VARCHAR", Value::Str(text("v"))),
        ("BYTEA", Value::Binary(vec![0, 255])),
        ("DATE", Value::Date((2026, 2, 28))),
        ("TIME", Value::Time((23, 59, 58, 123_456_000))),
        ("TIMESTAMP", Value::Datetime((1999, 12, 31, 1, 2, 3, 4_000))),
        ("TIMESTAMPTZ", Value::Datetime((2030, 1, 1, 0, 0, 0, 0))),
        ("UUID", Value::Uuid(text("67e55044-10b1-426f-9247-bb680e5fe0c8"))),
        ("JSONB", Value::Jsonb(br#"{"a": [1, null]}"#.to_vec())),
        ("NUMERIC", Value::Decimal(text("-12345678901234567890.0120"))),
        ("INT4RANGE", Value::RangeInt32((Some((1, inclusive)), Some((5, exclusive))))),
        ("INT8RANGE", Value::RangeInt64((None, Some((5, exclusive))))),
        ("NUMRANGE", Value::RangeDecimal((Some((text("1.5"), exclusive)), Some((text("2"), inclusive))))),
        ("INT4[]", Value::ArrayInt32(vec![Some(1), None])),
        ("INT8[]", Value::ArrayInt64(vec![Some(1), None])),
        ("NUMERIC[]", Value::ArrayDecimal(vec![Some(text("1.50")), None])),
        ("TEXT[]", Value::ArrayStr(vec![Some(text("a")), None])),
        ("INTERVAL", Value::Interval(Interval { micros: 5, days: -3, months: 14 })),
    ];
    for (ty, value) in values {
        let statement = format!("SELECT $1::{ty} AS v, NULL::{ty} AS n");
        let set = server.query(&statement, vec![value.clone()]).await.unwrap();
        assert_eq!(set.rows, [[value, Value::Null]], "{ty}");
        assert_eq!(set.columns[0].name, "v");
        assert!(!matches!(set.columns[0].kind, DataType::Other(_)), "{ty}");
    }
    let at = server.query("SELECT $1::TIMESTAMPTZ", vec![Value::Timestamp(86_400)]).await.unwrap();
    assert_eq!(at.rows, [[Value::Datetime((1970, 1, 2, 0, 0, 0, 0))]]);
    let other = server.query("SELECT '10.0.0.1'::INET AS address WHERE $1", vec![Value::Boolean(false)]).await.unwrap();
    assert_eq!(other.columns, [Column { name: text("address"), kind: DataType::Other(text("inet")) }]);
    let unsupported = server.query("SELECT '10.0.0.1'::INET", vec![]).await.unwrap();
    assert!(matches!(unsupported.rows[0][0], Value::Unsupported(_)));
}

#[tokio::test]
async fn errors_are_told_apart() {
    let Some(server) = connected().await else { return };
    let query = async |statement: &str, parameters| server.query(statement, parameters).await.unwrap_err();
    let database = query("SELECT * FROM nothing", vec![]).await;
    assert!(
        matches!(&database, Error::Database(error) if error.code == "42P01" && error.severity == "ERROR"),
        "{database}"
    );
    for misfit in [Value::Str("one".to_owned()), Value::Uuid("x".to_owned()), Value::Date((2026, 2, 30))] {
        let error = query("SELECT $1::INT4", vec![misfit]).await;
        assert!(matches!(error, Error::BadParameter(_)), "{error:?}");
    }
    let count = query("SELECT $1::INT4", vec![]).await;
    assert!(matches!(&count, Error::BadParameter(text) if text.contains("1 parameters")), "{count}");
    let infinite = query("SELECT 'infinity'::DATE AS day", vec![]).await;
    assert!(matches!(&infinite, Error::ValueConversionFailed(text) if text.contains("\"day\"")), "{infinite:?}");
    assert_eq!(server.execute("SELECT 1", vec![]).await, Ok(1), "the connection is still fine");
}

#[tokio::test]
async fn a_stream_is_not_bounded_as_a_whole_but_a_row_is() {
    let Some(server) = connected().await else { return };
    let many = "SELECT n, repeat('x', 1000) FROM generate_series(1, 30000) AS n";
    let error = server.query(many, vec![]).await.unwrap_err();
    assert!(matches!(&error, Error::QueryFailed(text) if text.contains("more than")), "{error:?}");
    let Some(server) = connected().await else { return };
    let Stream { columns, mut rows, ended } = server.stream(many, vec![]).await.unwrap();
    assert_eq!(columns[0], Column { name: "n".to_owned(), kind: DataType::Int32 });
    let mut last = Value::Null;
    while let Some(row) = rows.recv().await {
        last = row[0].clone();
    }
    assert_eq!(last, Value::Int32(30_000));
    assert_eq!(ended.await.unwrap(), Ok(()));
    let Stream { mut rows, ended, .. } = server.stream("SELECT repeat('x', 20000000)", vec![]).await.unwrap();
    assert_eq!(rows.recv().await, None);
    let error = ended.await.unwrap().unwrap_err();
    assert!(matches!(&error, Error::QueryFailed(text) if text.contains("more than")), "{error:?}");
}

#[tokio::test]
async fn a_connection_is_used_again_without_what_was_done_on_it() {
    let Some(url) = servers::postgres() else { return };
    let postgres = client(&["postgres://127.0.0.1:*"]);
    let process = async |server: &Connection| server.query("SELECT pg_backend_pid()", vec![]).await.unwrap().rows;
    let first = postgres.open(&url, None).await.unwrap();
    first.execute("SET application_name = 'changed'", vec![]).await.unwrap();
    let id = process(&first).await;
    drop(first);
    // It comes back when the server has forgotten.
    let again = loop {
        let server = postgres.open(&url, None).await.unwrap();
        if process(&server).await == id {
            break server;
        }
    };
    let name = again.query("SELECT current_setting('application_name')", vec![]).await.unwrap().rows;
    assert_eq!(name, [[Value::Str(String::new())]]);
    again.execute("BEGIN", vec![]).await.unwrap();
    drop(again);
    let id = &id[0][0];
    let gone = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1";
    let watcher = postgres.open(&url, None).await.unwrap();
    while watcher.query(gone, vec![id.clone()]).await.unwrap().rows != [[Value::Int64(0)]] {
        tokio::task::yield_now().await;
    }
}
