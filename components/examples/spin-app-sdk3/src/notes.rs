//! Notes, as `example-spin-app` keeps them, in what versions 2 to 5 of Spin's SDK have in common; each version's crate
//! takes this file as a module and names its SDK `spin_sdk`. `PUT /notes/<name>` keeps the body by key-value and writes
//! it into SQLite, `GET /notes/<name>` reads it back with a greeting out of a variable.

use anyhow::Result;
use spin_sdk::http::{IntoResponse, Method, Request, Response};
use spin_sdk::http_component;
use spin_sdk::key_value::Store;
use spin_sdk::sqlite::{Connection, Value};
use spin_sdk::variables;

#[http_component]
fn handle(request: Request) -> Result<impl IntoResponse> {
    let name = request.path().trim_start_matches("/notes/").to_owned();
    if *request.method() == Method::Put {
        keep(&name, request.body())?;
        return Ok(answer(201, String::new()));
    }
    let Some(text) = Store::open_default()?.get(&name)? else {
        return Ok(answer(404, format!("no note {name}\n")));
    };
    let greeting = variables::get("greeting")?;
    let written = times_written(&name)?;
    let text = String::from_utf8_lossy(&text).into_owned();
    Ok(answer(200, format!("{greeting}! {text} (written {written} times)\n")))
}

fn answer(status: u16, text: String) -> Response {
    Response::builder().status(status).header("content-type", "text/plain").body(text).build()
}

fn keep(name: &str, text: &[u8]) -> Result<()> {
    Store::open_default()?.set(name, text)?;
    let history = Connection::open_default()?;
    let table = "CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, name TEXT NOT NULL, text BLOB NOT NULL)";
    history.execute(table, &[])?;
    let values = [Value::Text(name.to_owned()), Value::Blob(text.to_vec())];
    history.execute("INSERT INTO notes (name, text) VALUES (?, ?)", &values)?;
    Ok(())
}

fn times_written(name: &str) -> Result<i64> {
    let history = Connection::open_default()?;
    let count = "SELECT COUNT(*) AS written FROM notes WHERE name = ?";
    let result = history.execute(count, &[Value::Text(name.to_owned())])?;
    let written = result.rows().next().and_then(|row| row.get::<i64>("written"));
    Ok(written.unwrap_or(0))
}
