//! More handles and tasks than anybody needs, and requests that lead back to oneself.

use std::future::Future;
use std::hint::black_box;
use std::task::{Context, Waker};

use weft_guest::bindings::wasi::clocks::monotonic_clock;
use weft_guest::bindings::wasi::http::client;
use weft_guest::bindings::wasi::http::types::{ErrorCode, Fields, Request as WasiRequest, Scheme};
use weft_guest::bindings::wasi::random::random;
use weft_guest::bindings::{wit_future, wit_stream};
use weft_guest::http::{Problem, Request, Response};

/// Header fields, each of them kept.
pub fn fields() {
    let mut kept = Vec::new();
    while black_box(true) {
        kept.push(Fields::new());
    }
}

/// Header fields that hold as much as they may, each of them kept.
pub fn full_fields() {
    let mut kept = Vec::new();
    while black_box(true) {
        let fields = Fields::new();
        while fields.append("x", &[b'x'; 1024]).is_ok() {}
        kept.push(fields);
    }
}

/// Streams that nobody reads and nobody closes.
pub fn streams() {
    let mut kept = Vec::new();
    while black_box(true) {
        kept.push(wit_stream::new::<u8>());
    }
}

/// Waits that are begun and never ended.
pub async fn tasks() {
    let mut kept = Vec::new();
    while black_box(true) {
        let mut wait = Box::pin(monotonic_clock::wait_for(3_600_000_000_000));
        // The task begins when it is first looked at.
        let is_ready = wait.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
        assert!(!is_ready, "an hour is over");
        kept.push(wait);
    }
}

/// More random bytes at once than the host has a use for.
pub fn random() {
    drop(black_box(random::get_random_bytes(32 * 1024 * 1024)));
}

/// The host and port by which the request came.
pub fn by_name(request: &Request) -> &str {
    let url = request.header("spin-full-url").and_then(|url| url.strip_prefix("http://")).unwrap_or_default();
    url.split_once('/').map_or(url, |(host, _)| host)
}

/// Sends the request on to this very function behind `host`, so many times together, and answers what came of it.
pub async fn ask_yourself(request: &Request, host: &str, times: usize) -> Result<Response, Problem> {
    let target = format!("{}?do={}", request.path(), request.query("do").unwrap_or_default());
    let asked = (0..times).map(|_| ask(host, &target));
    let answers = weft_guest::futures::future::join_all(asked).await;
    let told: Vec<String> =
        answers.into_iter().map(|answer| answer.unwrap_or_else(|error| format!("{error:?}"))).collect();
    Ok(Response::json(200, &told))
}

async fn ask(host: &str, target: &str) -> Result<String, ErrorCode> {
    let (trailers, trailers_reader) = wit_future::new(|| Ok(None));
    let (request, _sent) = WasiRequest::new(Fields::new(), None, trailers_reader, None);
    drop(trailers);
    let invalid = |()| ErrorCode::HttpRequestUriInvalid;
    request.set_scheme(Some(&Scheme::Http)).map_err(invalid)?;
    request.set_authority(Some(host)).map_err(invalid)?;
    request.set_path_with_query(Some(target)).map_err(invalid)?;
    let response = client::send(request).await?;
    let status = response.get_status_code();
    let (done, done_reader) = wit_future::new(|| Ok(()));
    let (mut body, _trailers) = weft_guest::bindings::wasi::http::types::Response::consume_body(response, done_reader);
    let (_, text) = body.read(Vec::with_capacity(16 * 1024)).await;
    drop(done);
    // Without what JSON adds to a text in a text, which would double with each of them.
    Ok(format!("{status} {}", String::from_utf8_lossy(&text).replace(['"', '\\', '[', ']'], "")))
}
