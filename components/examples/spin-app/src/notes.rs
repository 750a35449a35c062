//! Notes, in what versions 6 and 7 of Spin's SDK have in common. `PUT /notes/<name>` keeps the body by key-value and writes
//! it into SQLite, `GET /notes/<name>` reads it back with a greeting out of a variable.

use anyhow::Result;
use spin_sdk::http::body::IncomingBodyExt as _;
use spin_sdk::http::{IntoResponse, Method, Request, Response, StatusCode};
use spin_sdk::http_service;
use spin_sdk::key_value::Store;
use spin_sdk::sqlite::{Connection, Value};
use spin_sdk::variables;

#[http_service]
async fn handle(request: Request) -> Result<impl IntoResponse> {
    let name = request.uri().path().trim_start_matches("/notes/").to_owned();
    if request.method() == Method::PUT {
        let text = request.into_body().bytes().await?;
        keep(&name, &text).await?;
        return answer(StatusCode::CREATED, String::new());
    }
    match Store::open_default().await?.get(&name).await? {
        None => answer(StatusCode::NOT_FOUND, format!("no note {name}\n")),
        Some(text) => {
            let greeting = variables::get("greeting").await?;
            let written = times_written(&name).await?;
            let text = String::from_utf8_lossy(&text).into_owned();
            answer(StatusCode::OK, format!("{greeting}! {text} (written {written} times)\n"))
        }
    }
}

fn answer(status: StatusCode, text: String) -> Result<Response<String>> {
    Ok(Response::builder().status(status).header("content-type", "text/plain").body(text)?)
}

async fn keep(name: &str, text: &[u8]) -> Result<()> {
    Store::open_default().await?.set(name, text).await?;
    let history = Connection::open_default().await?;
    let table = "CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, name TEXT NOT NULL, text BLOB NOT NULL)";
    history.execute(table, []).await?.result().await?;
    let values = [Value::Text(name.to_owned()), Value::Blob(text.to_vec())];
    history.execute("INSERT INTO notes (name, text) VALUES (?, ?)", values).await?.result().await?;
    Ok(())
}

async fn times_written(name: &str) -> Result<i64> {
    let history = Connection::open_default().await?;
    let count = "SELECT COUNT(*) FROM notes WHERE name = ?";
    let mut rows = history.execute(count, [Value::Text(name.to_owned())]).await?;
    let written = rows.next().await.and_then(|row| row.get(0)).unwrap_or(0);
    rows.result().await?;
    Ok(written)
}
