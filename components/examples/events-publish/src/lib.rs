//! `POST /events?from=&count=`: publishes events of 256 bytes with the numbers from `from` on, all at the same time, and
//! answers when all are durable. The benchmark of publishing from inside a function.

use serde_json::json;
use weft_guest::bindings::weft::messaging::producer;
use weft_guest::futures::future::try_join_all;
use weft_guest::http::{Problem, Request, Response};

const TOPIC: &str = "bench.events";
/// The most events of one request.
const MAX_EVENTS: u64 = 1_000;

weft_guest::http_handler!(handle);

async fn handle(request: Request) -> Result<Response, Problem> {
    let number = |name: &str| request.query(name).and_then(|number| number.parse::<u64>().ok());
    let from = number("from").ok_or_else(|| Problem::invalid("from", "has to be a number"))?;
    let count = number("count").filter(|count| (1..=MAX_EVENTS).contains(count));
    let count = count.ok_or_else(|| Problem::invalid("count", format!("has to be 1 to {MAX_EVENTS}")))?;
    let published = (from..from + count).map(publish);
    try_join_all(published).await.map_err(|error| Problem::internal(&format!("{error:?}")))?;
    Ok(Response::json(200, &json!({ "published": count })))
}

async fn publish(number: u64) -> Result<String, producer::Error> {
    // As the benchmark makes them itself: 256 bytes of JSON, the number in twelve digits.
    let data = format!("{{\"n\":\"{number:012}\",\"pad\":\"{:x<227}\"}}", "");
    producer::publish(TOPIC.to_string(), None, "benched".to_string(), None, None, None, data.into_bytes()).await
}
