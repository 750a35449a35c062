//! Talks to other systems by Spin's interfaces. The body of a request is the address of a server, its path says what to
//! try there; the answer is what came of it, a line for each thing. Nothing in it knows of the host.

use anyhow::{Result, bail};
use spin_sdk::http::body::IncomingBodyExt as _;
use spin_sdk::http::{IntoResponse, Request, Response, StatusCode};
use spin_sdk::pg::{self, DbValue, ParameterValue};
use spin_sdk::redis::{RedisParameter, RedisResult};
use spin_sdk::{http_service, mqtt, redis};

#[http_service]
async fn handle(request: Request) -> Result<impl IntoResponse> {
    let path = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
    let address = String::from_utf8(request.into_body().bytes().await?.to_vec())?;
    let tried = match path.as_str() {
        "redis" => try_redis(&address).await,
        "redis-large" => redis_large(&address).await,
        "mqtt" => try_mqtt(&address).await,
        "postgres" => try_postgres(&address).await,
        "postgres-rows" => postgres_rows(&address).await,
        "postgres-large" => postgres_large(&address).await,
        other => bail!("there is nothing to try called {other}"),
    };
    let (status, text) = match tried {
        Ok(text) => (StatusCode::OK, text),
        Err(error) => (StatusCode::BAD_GATEWAY, format!("{error:?}\n")),
    };
    Ok(Response::builder().status(status).header("content-type", "text/plain").body(text)?)
}

async fn try_redis(address: &str) -> Result<String> {
    let server = redis::Connection::open(address).await?;
    let (key, members) = ("example:outbound", "example:outbound:members");
    server.del(&[key.to_owned(), members.to_owned()]).await?;
    let absent = server.get(key).await?.is_none();
    server.set(key, &b"41".to_vec()).await?;
    let sum = server.incr(key).await?;
    let text = String::from_utf8(server.get(key).await?.unwrap_or_default())?;
    let added = server.sadd(members, &["a".to_owned(), "b".to_owned(), "a".to_owned()]).await?;
    let removed = server.srem(members, &["b".to_owned(), "c".to_owned()]).await?;
    let left = server.smembers(members).await?.join(",");
    let wrong_type = server.incr(members).await;
    server.publish("example:channel", b"hello").await?;
    let pong = server.execute("PING", []).await?;
    let echo = server.execute("ECHO", [RedisParameter::Binary(b"back".to_vec())]).await?;
    let list = server.execute("SMEMBERS", [RedisParameter::Binary(members.as_bytes().to_vec())]).await?;
    let deleted = server.del(&[key.to_owned(), members.to_owned()]).await?;
    Ok(format!(
        "absent {absent}\nsum {sum} {text}\nset {added} {removed} {left}\nwrong {wrong_type:?}\n\
         execute {} {} {}\ndeleted {deleted}\n",
        shown(&pong),
        shown(&echo),
        shown(&list)
    ))
}

fn shown(results: &[RedisResult]) -> String {
    let one = |result: &RedisResult| match result {
        RedisResult::Nil => "nil".to_owned(),
        RedisResult::Status(text) => text.clone(),
        RedisResult::Int64(number) => number.to_string(),
        RedisResult::Binary(bytes) => String::from_utf8_lossy(bytes).into_owned(),
    };
    results.iter().map(one).collect::<Vec<_>>().join("+")
}

/// Makes a value larger than an answer may be, and asks for it.
async fn redis_large(address: &str) -> Result<String> {
    let server = redis::Connection::open(address).await?;
    let key = "example:outbound:large";
    let arguments = [key.as_bytes().to_vec(), b"20000000".to_vec(), b"x".to_vec()].map(RedisParameter::Binary);
    server.execute("SETRANGE", arguments).await?;
    let answer = server.get(key).await;
    redis::Connection::open(address).await?.del(&[key.to_owned()]).await?;
    Ok(format!("{:?}\n", answer.map(|value| value.map(|value| value.len()))))
}

async fn try_mqtt(address: &str) -> Result<String> {
    let broker = mqtt::Connection::open(address, "", "", 5).await?;
    for qos in [mqtt::Qos::AtMostOnce, mqtt::Qos::AtLeastOnce, mqtt::Qos::ExactlyOnce] {
        broker.publish("example/outbound", b"hello".to_vec(), qos).await?;
    }
    let wildcard = broker.publish("example/#", b"hello".to_vec(), mqtt::Qos::AtLeastOnce).await;
    let large = broker.publish("example/outbound", vec![0; 2 << 20], mqtt::Qos::AtLeastOnce).await;
    Ok(format!("published 3\n{wildcard:?}\n{large:?}\n"))
}

async fn try_postgres(address: &str) -> Result<String> {
    let server = pg::Connection::open(address).await?;
    server
        .execute("CREATE TEMPORARY TABLE things (id INT, name TEXT, at DATE, price NUMERIC, tags TEXT[])", [])
        .await?;
    let parameters = [
        ParameterValue::Int32(1),
        ParameterValue::Str("one".to_owned()),
        ParameterValue::Date((2026, 2, 28)),
        ParameterValue::Decimal("12.50".to_owned()),
        ParameterValue::ArrayStr(vec![Some("a".to_owned()), None]),
    ];
    let inserted = server.execute("INSERT INTO things VALUES ($1, $2, $3, $4, $5)", parameters).await?;
    let mut answer = server.query("SELECT * FROM things WHERE id = $1", [ParameterValue::Int32(1)]).await?;
    let names: Vec<_> = answer.columns().iter().map(|column| column.name.clone()).collect();
    let mut rows = Vec::new();
    while let Some(row) = answer.rows().next().await {
        rows.push(row);
    }
    answer.result().await?;
    let missing = server.execute("SELECT * FROM nothing", []).await;
    let misfit = server.execute("SELECT $1::int", [ParameterValue::Str("one".to_owned())]).await;
    Ok(format!("inserted {inserted}\n{}\n{rows:?}\n{}\n{}\n", names.join(","), code(&missing), code(&misfit)))
}

fn code(result: &Result<u64, pg::Error>) -> String {
    match result {
        Ok(count) => format!("fine: {count}"),
        Err(pg::Error::PgError(pg::PgError::QueryFailed(pg::QueryError::DbError(error)))) => {
            format!("{} {}", error.severity, error.code)
        }
        Err(pg::Error::PgError(pg::PgError::BadParameter(_))) => "bad parameter".to_owned(),
        Err(error) => format!("{error:?}"),
    }
}

/// More rows than fit into an answer that is handed over as a whole.
async fn postgres_rows(address: &str) -> Result<String> {
    let server = pg::Connection::open(address).await?;
    let statement = "SELECT n, repeat('x', 1000) FROM generate_series(1, 30000) AS n";
    let mut answer = server.query(statement, []).await?;
    let (mut count, mut sum) = (0_u32, 0_i64);
    while let Some(row) = answer.rows().next().await {
        if let Some(DbValue::Int32(number)) = row.first() {
            (count, sum) = (count + 1, sum + i64::from(*number));
        }
    }
    answer.result().await?;
    Ok(format!("{count} rows, sum {sum}\n"))
}

async fn postgres_large(address: &str) -> Result<String> {
    let server = pg::Connection::open(address).await?;
    let answer = server.query("SELECT repeat('x', 20000000)", []).await?.collect().await;
    Ok(format!("{:?}\n", answer.map(|rows| rows.len())))
}
