//! The client's side of the control socket. One connection for each request: commands make few. What is asked of sagas is
//! in [`sagas`], of events in [`messaging`], of the gateway in [`gateway`].

mod gateway;
mod mesh;
mod messaging;
mod projections;
mod reload;
mod sagas;
mod services;
mod versions;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use weft_telemetry::LogLine;

use super::MAX_BODY_BYTES;
use super::api::{Answer, Call, Info, Problem, Ran, RouteEntry, Run};
use super::socket;
use super::token::Token;
use crate::exit::UsageError;
use crate::invoker::NoAnswer;

/// How long a host may take to answer what needs no function to run.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How much later than the function's own timeout the host's answer may come.
const GRACE: Duration = Duration::from_secs(5);
/// The longest line of a stream, in bytes: an event's data may have 256 KiB, and more once written out.
const MAX_LINE_BYTES: usize = 2 * 1024 * 1024;

/// A client of the host that runs on one data directory.
#[derive(Clone, Debug)]
pub struct Client {
    data: PathBuf,
    token: Token,
}

impl Client {
    /// The host that runs on `data`; none if there is none.
    ///
    /// # Errors
    /// If there is one that cannot be reached, such as another user's.
    pub async fn find(data: &Path) -> anyhow::Result<Option<Self>> {
        match socket::connect(data).await {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                return Ok(None);
            }
            Err(error) => {
                return Err(error).with_context(|| format!("cannot reach the host on {}", data.display()));
            }
        }
        let token = Token::read(data);
        let token = token.with_context(|| format!("cannot read the token of the host on {}", data.display()))?;
        Ok(Some(Self { data: data.to_owned(), token }))
    }

    /// The host that runs on `data`.
    ///
    /// # Errors
    /// If there is none, or it cannot be reached.
    pub async fn require(data: &Path) -> anyhow::Result<Self> {
        let none = || anyhow!("no host is running on {}; start one with `weft up`", data.display());
        Self::find(data).await?.ok_or_else(none)
    }

    /// What the host is.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn info(&self) -> anyhow::Result<Info> {
        self.get("/v1/info").await
    }

    /// What it serves.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn routes(&self) -> anyhow::Result<Vec<RouteEntry>> {
        self.get("/v1/routes").await
    }

    /// Calls a function.
    ///
    /// # Errors
    /// As [`crate::invoker::Invoker::invoke`].
    pub async fn invoke(
        &self,
        component: &str,
        function: &str,
        arguments: &str,
        timeout: Duration,
    ) -> anyhow::Result<Answer> {
        let call = Call {
            component: component.to_owned(),
            function: function.to_owned(),
            arguments: arguments.to_owned(),
            timeout_ms: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
        };
        let body = serde_json::to_vec(&call)?;
        self.exchange(Method::POST, "/v1/invoke", body, timeout.saturating_add(GRACE)).await
    }

    /// Runs a command.
    ///
    /// # Errors
    /// As [`crate::invoker::Invoker::run`].
    pub async fn run(&self, run: &Run) -> anyhow::Result<Ran> {
        let timeout = Duration::from_millis(run.timeout_ms);
        self.exchange(Method::POST, "/v1/run", serde_json::to_vec(run)?, timeout.saturating_add(GRACE)).await
    }

    /// Hands each line of the functions' output to `each`, until the host has no more or `each` refuses.
    ///
    /// # Errors
    /// If the host does not answer or stops in between, or what `each` says.
    pub async fn logs(&self, query: &str, each: impl FnMut(LogLine) -> anyhow::Result<()>) -> anyhow::Result<()> {
        self.lines(&format!("/v1/logs{query}"), each).await
    }

    /// Hands each line of a stream to `each`.
    async fn lines<T: DeserializeOwned>(
        &self,
        path: &str,
        mut each: impl FnMut(T) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let response = self.within(ANSWER_TIMEOUT, self.send(Method::GET, path, Vec::new())).await?;
        let mut body = ok(response).await?.into_body();
        let mut pending = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.context("the host went away")?.into_data() else { continue };
            pending.extend_from_slice(&data);
            while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = pending.drain(..=end).collect();
                each(serde_json::from_slice(&line).context("the host's answer is not understood")?)?;
            }
            if pending.len() > MAX_LINE_BYTES {
                bail!("the host sent a line of more than {MAX_LINE_BYTES} bytes");
            }
        }
        Ok(())
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.exchange(Method::GET, path, Vec::new(), ANSWER_TIMEOUT).await
    }

    async fn exchange<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
        timeout: Duration,
    ) -> anyhow::Result<T> {
        let exchange = async {
            let response = ok(self.send(method, path, body).await?).await?;
            whole(response).await
        };
        let bytes = self.within(timeout, exchange).await?;
        serde_json::from_slice(&bytes).context("the host's answer is not understood; is it of another version?")
    }

    async fn within<T>(
        &self,
        timeout: Duration,
        exchange: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        let late = || anyhow!("the host on {} did not answer in {} s", self.data.display(), timeout.as_secs());
        tokio::time::timeout(timeout, exchange).await.unwrap_or_else(|_| Err(late()))
    }

    async fn send(&self, method: Method, path: &str, body: Vec<u8>) -> anyhow::Result<Response<Incoming>> {
        let gone = || format!("the host on {} went away", self.data.display());
        let stream = socket::connect(&self.data).await.with_context(gone)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.with_context(gone)?;
        // It ends when the response is read; its errors come out of the response as well.
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(hyper::header::HOST, "weft")
            .header(hyper::header::AUTHORIZATION, self.token.authorization())
            .body(Full::new(Bytes::from(body)))?;
        sender.send_request(request).await.with_context(gone)
    }
}

async fn whole(response: Response<Incoming>) -> anyhow::Result<Bytes> {
    let body = Limited::new(response.into_body(), MAX_BODY_BYTES).collect().await;
    Ok(body.map_err(|error| anyhow!("the host's answer cannot be read: {error}"))?.to_bytes())
}

/// The response, if it is none of a problem.
async fn ok(response: Response<Incoming>) -> anyhow::Result<Response<Incoming>> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let detail = serde_json::from_slice::<Problem>(&whole(response).await?).map(|problem| problem.detail);
    let detail = detail.unwrap_or_else(|_| format!("the host answered {status}"));
    match status {
        StatusCode::BAD_REQUEST => Err(UsageError(detail).into()),
        StatusCode::BAD_GATEWAY => Err(NoAnswer(detail).into()),
        _ => bail!(detail),
    }
}

fn escaped(text: &str) -> impl std::fmt::Display + '_ {
    utf8_percent_encode(text, NON_ALPHANUMERIC)
}

/// An id in a path. The `e` is escaped too, so that a saga whose id is `events` is not taken for all sagas' transitions.
fn escaped_id(id: &str) -> impl std::fmt::Display + '_ {
    const ID: &AsciiSet = &NON_ALPHANUMERIC.add(b'e');
    utf8_percent_encode(id, ID)
}

/// A query string of the parameters that have a value; empty if none has.
#[must_use]
pub fn query(parameters: &[(&str, Option<String>)]) -> String {
    let given = parameters.iter().filter_map(|(name, value)| Some(format!("{name}={}", escaped(value.as_deref()?))));
    let given: Vec<String> = given.collect();
    if given.is_empty() { String::new() } else { format!("?{}", given.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_a_host_it_says_how_to_start_one() {
        let data = tempfile::tempdir().unwrap();
        assert!(Client::find(data.path()).await.unwrap().is_none());
        let error = Client::require(data.path()).await.unwrap_err().to_string();
        assert_eq!(error, format!("no host is running on {}; start one with `weft up`", data.path().display()));
    }

    #[test]
    fn queries_are_escaped() {
        let parameters = [("status", None), ("name", Some("a b/ä&c".to_owned())), ("limit", Some("5".to_owned()))];
        assert_eq!(query(&parameters), "?name=a%20b%2F%C3%A4%26c&limit=5");
        assert_eq!(query(&[("x", None)]), "");
    }
}
