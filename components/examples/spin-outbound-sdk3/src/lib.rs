//! What `example-spin-outbound` does, as far as version 3 of Spin's SDK has it: the body of a request is the address of a
//! server, its path says what to try there. What it imports is `fermyon:spin@2.0.0` and `spin:postgres@3.0.0`.

extern crate spin_sdk_3 as spin_sdk;

use anyhow::{Result, bail};
use spin_sdk::http::{IntoResponse, Request, Response};
use spin_sdk::redis::RedisParameter;
use spin_sdk::{http_component, mqtt, pg, pg3, redis};

#[http_component]
fn handle(request: Request) -> Result<impl IntoResponse> {
    let path = request.path().rsplit('/').next().unwrap_or_default().to_owned();
    let address = String::from_utf8(request.into_body())?;
    let tried = match path.as_str() {
        "redis" => try_redis(&address),
        "mqtt" => try_mqtt(&address),
        "postgres" => try_postgres(&address),
        "postgres3" => try_postgres3(&address),
        "postgres-large" => postgres_large(&address),
        other => bail!("there is nothing to try called {other}"),
    };
    let (status, text) = match tried {
        Ok(text) => (200, text),
        Err(error) => (502, format!("{error:?}\n")),
    };
    Ok(Response::builder().status(status).header("content-type", "text/plain").body(text).build())
}

fn try_redis(address: &str) -> Result<String> {
    let server = redis::Connection::open(address)?;
    let key = "example:outbound:sdk3";
    server.set(key, &b"1".to_vec())?;
    let sum = server.incr(key)?;
    let value = server.execute("GET", &[RedisParameter::Binary(key.as_bytes().to_vec())])?;
    let deleted = server.del(&[key.to_owned()])?;
    Ok(format!("{sum} {value:?} {deleted}\n"))
}

fn try_mqtt(address: &str) -> Result<String> {
    let broker = mqtt::Connection::open(address, "", "", 5)?;
    broker.publish("example/outbound", &b"hello".to_vec(), mqtt::Qos::ExactlyOnce)?;
    Ok("published\n".to_owned())
}

fn try_postgres(address: &str) -> Result<String> {
    let server = pg::Connection::open(address)?;
    let statement = "SELECT $1::int AS n, $2 || '!' AS text, DATE '2026-02-28' AS day, NULL AS nothing";
    let parameters = [pg::ParameterValue::Int32(7), pg::ParameterValue::Str("seven".to_owned())];
    let rows = server.query(statement, &parameters)?;
    let unsigned = server.execute("SELECT $1::int", &[pg::ParameterValue::Uint32(7)]);
    Ok(format!("{:?}\n{unsigned:?}\n", rows.rows))
}

fn try_postgres3(address: &str) -> Result<String> {
    let server = pg3::Connection::open(address)?;
    let statement = "SELECT $1::date AS day, TIME '10:20:30' AS time, gen_random_uuid() AS id";
    let rows = server.query(statement, &[pg3::ParameterValue::Date((2026, 2, 28))])?;
    let columns: Vec<_> = rows.columns.iter().map(|column| format!("{} {:?}", column.name, column.data_type)).collect();
    Ok(format!("{}\n{:?}\n", columns.join(","), rows.rows))
}

fn postgres_large(address: &str) -> Result<String> {
    let server = pg3::Connection::open(address)?;
    let rows = server.query("SELECT repeat('x', 1000) FROM generate_series(1, 30000)", &[]);
    Ok(format!("{:?}\n", rows.map(|rows| rows.rows.len())))
}
