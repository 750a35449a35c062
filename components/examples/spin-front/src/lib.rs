//! A plain application of Spin that depends on another component: `PUT /…/<name>` lets that keep the body and answers
//! what it says; `GET /…` answers the file of that path, and `GET /…/env` what the environment says.

use anyhow::Result;
use spin_sdk::http::body::IncomingBodyExt as _;
use spin_sdk::http::{IntoResponse, Method, Request, Response, StatusCode};
use spin_sdk::http_service;

mod bindings {
    #![allow(missing_docs, clippy::all, clippy::restriction)]
    use spin_sdk::wit_bindgen;

    wit_bindgen::generate!({
        inline: "package example:use-vault@1.0.0; world use-vault { import example:vault/vault@1.0.0; }",
        path: "../../../wit/example-vault",
        runtime_path: "spin_sdk::wit_bindgen::rt",
        generate_all,
    });
}

#[http_service]
async fn handle(request: Request) -> Result<impl IntoResponse> {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let path = header("spin-path-info").unwrap_or_default();
    let (status, text) = if request.method() == Method::PUT {
        let text = String::from_utf8(request.into_body().bytes().await?.to_vec())?;
        match bindings::example::vault::vault::keep(path, text).await {
            Ok(times) => (StatusCode::CREATED, format!("kept {times} times\n")),
            Err(why) => (StatusCode::FORBIDDEN, format!("not kept: {why}\n")),
        }
    } else if path == "/env" {
        (StatusCode::OK, std::env::vars().map(|(name, value)| format!("{name}={value}\n")).collect())
    } else {
        match std::fs::read_to_string(&path) {
            Ok(text) => (StatusCode::OK, text),
            Err(error) => (StatusCode::NOT_FOUND, format!("{error}\n")),
        }
    };
    Ok(Response::builder().status(status).header("content-type", "text/plain").body(text)?)
}
