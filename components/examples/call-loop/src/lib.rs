//! `GET /call-loop?n=`: calls `example:greet/greeter` n times, one after another, and answers how many nanoseconds each
//! call took. Measures calls between functions without the request around them.

use example_bindings::greet::greeter::{self, Error};
use serde_json::json;
use weft_guest::bindings::wasi::clocks::monotonic_clock;
use weft_guest::http::{Problem, Request, Response};

/// The most calls of one request.
const MAX_CALLS: u32 = 10_000;

weft_guest::http_handler!(handle);

async fn handle(request: Request) -> Result<Response, Problem> {
    let wanted = request.query("n").and_then(|n| n.parse().ok()).filter(|n| (1..=MAX_CALLS).contains(n));
    let n: u32 = wanted.ok_or_else(|| Problem::invalid("n", format!("has to be 1 to {MAX_CALLS}")))?;
    let key = request.command_key()?;
    let mut took_ns = Vec::new();
    for _ in 0..n {
        let start = monotonic_clock::now();
        let greeting = greeter::greet(key.clone(), "world".to_string()).await;
        took_ns.push(monotonic_clock::now().saturating_sub(start));
        match greeting.as_deref() {
            Ok("Hello, world!") => {}
            Ok(other) => return Err(Problem::internal(&format!("the greeter answered {other:?}"))),
            Err(Error::Nameless) => return Err(Problem::internal(&"the greeter was given no name")),
            Err(Error::Unavailable(failure)) => return Err(Problem::unavailable(failure)),
        }
    }
    Ok(Response::json(200, &json!({ "took_ns": took_ns })))
}
