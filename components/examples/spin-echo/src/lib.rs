//! A plain application of Spin that tells what it sees. Below its route: `/headers` the headers that Spin sets, `/env`
//! the environment, `/variables/<name>` a variable, `/fetch` what the URL in the header `x-url` answers.

use anyhow::{Context as _, Result};
use spin_sdk::http::body::IncomingBodyExt as _;
use spin_sdk::http::{IntoResponse, Request, Response, StatusCode, get};
use spin_sdk::{http_service, variables};

#[http_service]
async fn handle(request: Request) -> Result<impl IntoResponse> {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let path = header("spin-path-info").unwrap_or_default();
    let told = match path.split('/').collect::<Vec<_>>().as_slice() {
        [_, "env"] => Ok(std::env::vars().map(|(name, value)| format!("{name}={value}\n")).collect()),
        [_, "variables", name] => variables::get(name).await.with_context(|| format!("no variable {name}")),
        [_, "fetch"] => fetch(&header("x-url").unwrap_or_default()).await,
        _ => Ok(headers(&request)),
    };
    let (status, text) = match told {
        Ok(text) => (StatusCode::OK, text),
        Err(error) => (StatusCode::BAD_GATEWAY, format!("{error:#}\n")),
    };
    Ok(Response::builder().status(status).header("content-type", "text/plain").body(text)?)
}

fn headers(request: &Request) -> String {
    let ours = request.headers().iter().filter(|(name, _)| name.as_str().starts_with("spin-"));
    let mut lines: Vec<_> = ours.map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap_or("?"))).collect();
    lines.sort();
    lines.concat()
}

async fn fetch(url: &str) -> Result<String> {
    let response = get(url).await?;
    let status = response.status().as_u16();
    let body = response.into_body().bytes().await?;
    Ok(format!("{status}\n{}", String::from_utf8_lossy(&body)))
}
