//! `POST /events?from=&count=&together=`: publishes events of 256 bytes with the numbers from `from` on, and answers when
//! all are durable: each by a call of its own, all at the same time, or `together` by one call. The benchmark of
//! publishing from inside a function.

use serde_json::json;
use weft_guest::bindings::weft::messaging::producer::{self, Outgoing};
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
    let events = (from..from + count).map(event);
    let published = match request.query("together") {
        Some("true") => producer::publish_all(events.collect()).await,
        _ => try_join_all(events.map(producer::publish)).await,
    };
    let published = published.map_err(|error| Problem::internal(&format!("{error:?}")))?.len();
    Ok(Response::json(200, &json!({ "published": published })))
}

/// As the benchmark makes them itself: 256 bytes of JSON, the number in twelve digits.
fn event(number: u64) -> Outgoing {
    Outgoing {
        topic: TOPIC.to_string(),
        id: None,
        type_: "benched".to_string(),
        subject: None,
        ordering_key: None,
        correlation_id: None,
        dataschema: None,
        delay_ms: None,
        ttl_ms: None,
        priority: None,
        data: format!("{{\"n\":\"{number:012}\",\"pad\":\"{:x<227}\"}}", "").into_bytes(),
    }
}
