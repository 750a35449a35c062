//! An application written with version 2 of Spin's SDK, by what it has for requests and streams. Below its route:
//! `/echo` the body, piece by piece; `/fetch` what the URL in the header `x-url` answers to the body; `/wait` the same
//! by the interface below the SDK, waiting a second for the answer to begin; `/hold` bodies that it never sends, as many
//! as the host lets it hold.

extern crate spin_sdk_2 as spin_sdk;

use std::hint::black_box;

use anyhow::{Context as _, Result, anyhow};
use futures::{SinkExt as _, StreamExt as _};
use spin_sdk::http::{
    Fields, Headers, IncomingRequest, Method, OutgoingRequest, OutgoingResponse, Request, Response, ResponseOutparam,
    Scheme, send,
};
use spin_sdk::http_component;
use spin_sdk::wit::wasi::http::outgoing_handler::{self, RequestOptions};

#[http_component]
async fn handle(request: IncomingRequest, answer: ResponseOutparam) {
    let path = request.path_with_query().unwrap_or_default();
    let url = header(&request.headers(), "x-url");
    match path.rsplit('/').next() {
        Some("echo") => echo(request, answer).await,
        Some("fetch") => tell(answer, fetch(&url, request).await).await,
        Some("wait") => tell(answer, wait(&url)).await,
        _ => hold(),
    }
}

fn header(headers: &Headers, name: &str) -> String {
    headers.get(name).first().map(|value| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
}

async fn tell(answer: ResponseOutparam, told: Result<String>) {
    let (status, text) = match told {
        Ok(text) => (200, text),
        Err(error) => (502, format!("{error:?}\n")),
    };
    let response = OutgoingResponse::new(status, &Fields::new(&[]));
    if let Err(error) = answer.set_with_body(response, text.into_bytes()).await {
        eprintln!("the answer was not taken: {error}");
    }
}

async fn echo(request: IncomingRequest, answer: ResponseOutparam) {
    let response = OutgoingResponse::new(200, &Fields::new(&[]));
    let mut to = response.take_body();
    answer.set(response);
    let mut from = request.into_body_stream();
    while let Some(Ok(piece)) = from.next().await {
        if to.send(piece).await.is_err() {
            // The client is gone.
            return;
        }
    }
}

async fn fetch(url: &str, request: IncomingRequest) -> Result<String> {
    let body = request.into_body().await.map_err(|error| anyhow!("{error}"))?;
    let method = if body.is_empty() { Method::Get } else { Method::Post };
    let response: Response = send(Request::builder().method(method).uri(url).body(body).build()).await?;
    Ok(format!("{}\n{}", response.status(), String::from_utf8_lossy(response.body())))
}

fn wait(url: &str) -> Result<String> {
    let (authority, path) = url.strip_prefix("http://").and_then(|rest| rest.split_once('/')).context("a URL")?;
    let path = format!("/{path}");
    let request =
        OutgoingRequest::new(&Method::Get, Some(&path), Some(&Scheme::Http), Some(authority), &Fields::new(&[]));
    let options = RequestOptions {
        connect_timeout_ms: Some(500),
        first_byte_timeout_ms: Some(500),
        between_bytes_timeout_ms: None,
    };
    let answered = outgoing_handler::handle(request, Some(options))?;
    spin_sdk::wit::wasi::io::poll::poll_one(&answered.subscribe());
    let response = answered.get().context("it is ready")?.map_err(|()| anyhow!("it was taken before"))??;
    Ok(format!("{}\n", response.status()))
}

fn hold() {
    let mut kept = Vec::new();
    while black_box(true) {
        let response = OutgoingResponse::new(200, &Fields::new(&[]));
        let Ok(body) = response.write() else { return };
        let Ok(stream) = body.write() else { return };
        // Until nothing more fits.
        while let Ok(room @ 1..) = stream.check_write() {
            let chunk = vec![b'x'; usize::try_from(room).unwrap_or_default()];
            if stream.write(&chunk).is_err() {
                break;
            }
        }
        kept.push((response, body, stream));
    }
}
