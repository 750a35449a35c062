//! The actions on everything but `weft:sql`: calls, events, outbound HTTP, stores, variables.

use example_bindings::probe::behaviour;
use serde_json::{Value as Json, json};
use weft_guest::bindings::spin::key_value::key_value::{self, Store};
use weft_guest::bindings::spin::variables::variables;
use weft_guest::bindings::wasi::http::client;
use weft_guest::bindings::wasi::http::types::{ErrorCode, Fields, Request, Scheme};
use weft_guest::bindings::weft::messaging::producer;
use weft_guest::bindings::wit_future;

use crate::script::told;

mod bindings {
    #![allow(missing_docs, clippy::all, clippy::restriction)]

    wit_bindgen::generate!({
        inline: "package example:probe-sqlite@1.0.0; world probe-sqlite { import spin:sqlite/sqlite@3.1.0; }",
        path: ["../../../wit/deps/spin-sqlite@3.1.0"],
        world: "probe-sqlite",
        generate_all,
        additional_derives: [serde::Serialize],
        additional_derives_ignore: ["connection"],
    });
}
use bindings::spin::sqlite::sqlite::Connection;

/// A call to the function behind `example:probe/behaviour`.
pub async fn call(key: String, what: String) -> Json {
    told(behaviour::act(key, what).await)
}

/// Calls that hand over large values, at the same time; what is answered is told by its length.
pub async fn call_large(bytes: usize, times: usize, what: &str) -> Json {
    let calls = (0..times).map(|_| behaviour::act("x".repeat(bytes), what.to_string()));
    let answers = weft_guest::futures::future::join_all(calls).await;
    answers.into_iter().map(|answer| told(answer.map(|text| text.len()))).collect()
}

/// An event of the type `probed`.
pub async fn publish(topic: String) -> Json {
    let event = producer::Outgoing {
        topic,
        id: None,
        type_: "probed".to_string(),
        subject: None,
        ordering_key: None,
        correlation_id: None,
        dataschema: None,
        delay_ms: None,
        ttl_ms: None,
        priority: None,
        data: b"{}".to_vec(),
    };
    told(producer::publish(event).await)
}

/// The status of the answer; an error as its name.
pub async fn get(url: &str) -> Json {
    told(send(url).await.map_err(|error| format!("{error:?}")))
}

async fn send(url: &str) -> Result<u16, ErrorCode> {
    let (scheme, rest) = url.split_once("://").ok_or(ErrorCode::HttpRequestUriInvalid)?;
    let at = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(at);
    let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
    let (trailers, trailers_reader) = wit_future::new(|| Ok(None));
    let (request, _sent) = Request::new(Fields::new(), None, trailers_reader, None);
    drop(trailers);
    let invalid = |()| ErrorCode::HttpRequestUriInvalid;
    request.set_scheme(Some(&scheme)).map_err(invalid)?;
    request.set_authority(Some(authority)).map_err(invalid)?;
    request.set_path_with_query(Some(if path.is_empty() { "/" } else { path })).map_err(invalid)?;
    client::send(request).await.map(|response| response.get_status_code())
}

/// What was read after it was written.
pub async fn key_value(store: String, key: String) -> Json {
    told(write_and_read(store, key).await)
}

async fn write_and_read(store: String, key: String) -> Result<Option<String>, key_value::Error> {
    let store = Store::open(store).await?;
    store.set(key.clone(), key.clone().into_bytes()).await?;
    Ok(store.get(key).await?.map(|value| String::from_utf8_lossy(&value).into_owned()))
}

/// The rows of the statement.
pub fn sqlite(database: &str, sql: &str) -> Json {
    let rows = Connection::open(database).and_then(|connection| connection.execute(sql, &[]));
    told(rows.map(|rows| json!({ "columns": rows.columns, "rows": rows.rows })))
}

/// Its value.
pub async fn variable(name: String) -> Json {
    told(variables::get(name).await.map_err(|error| format!("{error:?}")))
}
