//! `GET /hello?name=`: greets in JSON. The smallest function there is.

use serde_json::json;
use weft_guest::http::{Problem, Request, Response};

weft_guest::http_handler!(handle);

async fn handle(request: Request) -> Result<Response, Problem> {
    let name = request.query("name").unwrap_or("world");
    Ok(Response::json(200, &json!({ "message": format!("Hello, {name}!") })))
}
