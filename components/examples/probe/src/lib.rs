//! `POST /probe`: does what the script in the body asks of the host, and answers what the host said, so that tests
//! reach each interface through a real guest. What the answers should be is for the tests to know.

mod effects;
mod script;
mod sql;

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::json;
use weft_guest::http::{Problem, Request, Response};

use crate::script::Action;

weft_guest::http_handler!(handle);

/// Requests that this instance has served; above one only where instances are reused.
static SERVED: AtomicU32 = AtomicU32::new(0);

async fn handle(request: Request) -> Result<Response, Problem> {
    let served = SERVED.fetch_add(1, Ordering::Relaxed) + 1;
    let action: Action = request.json()?;
    let user = request.user().map(|user| user.id);
    let answer = script::run(action).await;
    Ok(Response::json(200, &json!({ "answer": answer, "served": served, "user": user })))
}
