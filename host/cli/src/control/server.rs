//! The host's side of the control socket: HTTP, the token and the limits. What is answered comes from
//! [`Operations`]; what is asked of sagas is read in [`sagas`], of events in [`messaging`]
//! and [`schemas`], of the gateway in [`gateway`].

mod gateway;
mod mesh;
mod messaging;
mod projections;
mod sagas;
mod schemas;
mod services;
mod versions;

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use weft_telemetry::LogLine;

use super::MAX_BODY_BYTES;
use super::api::{Act, Answer, Call, Info, Problem, Ran, Reloaded, RouteEntry, Run};
use super::socket;
use super::token::Token;
pub use gateway::GatewayOperations;
pub use mesh::MeshOperations;
pub use messaging::{DeadLetterAct, MessagingOperations, SubscriptionAct, place};
pub use projections::ProjectionOperations;
pub use sagas::{Done, SagaOperations};
pub use schemas::SchemaOperations;
pub use services::{ServiceOperations, Since};
pub use versions::VersionOperations;

/// Connections at the same time; more wait.
const MAX_CONNECTIONS: usize = 64;
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest time that a call may wait for its answer, in milliseconds.
const MAX_CALL_MS: u64 = 600_000;
/// The longest a command may take, in milliseconds: a day.
const MAX_RUN_MS: u64 = 24 * 60 * 60 * 1000;
/// How many lines of output are answered if it is not said.
const DEFAULT_LINES: usize = 100;

/// Which output of functions is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogFilter {
    /// Only of this component.
    pub component: Option<String>,
    /// At most so many of the lines that there are.
    pub lines: usize,
    /// Whether to go on with the lines to come.
    pub follow: bool,
}

/// What a host can be asked through its socket.
pub trait Operations: Send + Sync + 'static {
    /// What it is.
    fn info(&self) -> Info;
    /// What it serves.
    fn routes(&self) -> Vec<RouteEntry>;
    /// Its sagas.
    fn sagas(&self) -> &dyn SagaOperations;
    /// Its projections.
    fn projections(&self) -> &dyn ProjectionOperations;
    /// Its events, subscriptions and dead letters.
    fn messaging(&self) -> &dyn MessagingOperations;
    /// Its policies, breakers and faults.
    fn mesh(&self) -> &dyn MeshOperations;
    /// The services that there are.
    fn services(&self) -> &dyn ServiceOperations;
    /// Versions of its components.
    fn versions(&self) -> &dyn VersionOperations;
    /// What its events look like.
    fn schemas(&self) -> &dyn SchemaOperations;
    /// Its limits, API keys and push.
    fn gateway(&self) -> &dyn GatewayOperations;
    /// What functions wrote. Ends after the lines that there are, or never if it is to follow.
    fn logs(&self, filter: LogFilter) -> BoxStream<'static, LogLine>;
    /// Runs a command. 502 if it does not end, 400 if there is no such command.
    fn run(&self, run: Run) -> BoxFuture<'_, Result<Ran, Problem>>;
    /// Takes up the manifest as its file is now. It is in the audit log when this answers. 422 if it is refused; nothing has changed then.
    fn reload(&self, act: Act) -> BoxFuture<'_, Result<Reloaded, Problem>>;
    /// Calls a function. 502 if it gives no answer, 400 if the call makes no sense.
    fn invoke(&self, call: Call) -> BoxFuture<'_, Result<Answer, Problem>>;
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Listens on the control socket of `data`, whose lock the caller holds. What it answers serves it until `shutdown`
/// resolves, and then removes it.
///
/// # Errors
/// If the socket or the token cannot be made.
pub fn serve<S: Future<Output = ()> + Send>(
    operations: Arc<dyn Operations>,
    data: &Path,
    shutdown: S,
) -> anyhow::Result<impl Future<Output = ()> + Send + use<S>> {
    // The token first: whoever can connect finds it.
    let token = Token::create(data).with_context(|| format!("cannot write the control token in {}", data.display()))?;
    let listener = socket::listen(data);
    let listener = listener.with_context(|| format!("cannot listen on the control socket in {}", data.display()))?;
    let data = data.to_owned();
    Ok(async move {
        accept(operations, &token, &listener, shutdown).await;
        socket::remove(&data);
    })
}

async fn accept(
    operations: Arc<dyn Operations>,
    token: &Token,
    listener: &UnixListener,
    shutdown: impl Future<Output = ()> + Send,
) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let place = Arc::clone(&places).acquire_owned();
        let accepted = async { (place.await, listener.accept().await) };
        let (place, accepted) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut shutdown => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let (operations, token) = (Arc::clone(&operations), token.clone());
                tokio::spawn(async move {
                    connection(operations, token, stream).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection to the control socket could not be taken");
                // Descriptors have run out, most likely: try again when some are free.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(operations: Arc<dyn Operations>, token: Token, stream: UnixStream) {
    let service = service_fn(|request| {
        let (operations, token) = (Arc::clone(&operations), token.clone());
        async move { Ok::<_, Infallible>(answer(&*operations, &token, request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        // A client that connects only to see whether there is a host ends here too.
        tracing::debug!(%error, "a control connection ended early");
    }
}

async fn answer(operations: &dyn Operations, token: &Token, request: Request<Incoming>) -> Response<Body> {
    let authorization = request.headers().get(header::AUTHORIZATION).map(|value| value.as_bytes());
    if !authorization.is_some_and(|value| token.admits(value)) {
        return refusal(&problem(StatusCode::UNAUTHORIZED, "the token is missing or not this host's"));
    }
    route(operations, request).await.unwrap_or_else(|problem| refusal(&problem))
}

async fn route(operations: &dyn Operations, request: Request<Incoming>) -> Result<Response<Body>, Problem> {
    let path = request.uri().path().to_owned();
    let query = Query::of(&request);
    match (request.method(), path.as_str()) {
        (&Method::GET, "/v1/info") => Ok(json(&operations.info())),
        (&Method::GET, "/v1/routes") => Ok(json(&operations.routes())),
        (&Method::GET, "/v1/logs") => {
            let filter = LogFilter {
                component: query.get("component").map(ToOwned::to_owned),
                lines: query.number("lines")?.unwrap_or(DEFAULT_LINES),
                follow: query.get("follow") == Some("true"),
            };
            Ok(lines(operations.logs(filter)))
        }
        (&Method::POST, "/v1/invoke") => {
            let call: Call = parsed(&body(request).await?, "call")?;
            if call.timeout_ms > MAX_CALL_MS {
                return Err(bad(format!("timeout_ms is {}; it may be {MAX_CALL_MS}", call.timeout_ms)));
            }
            Ok(json(&operations.invoke(call).await?))
        }
        (&Method::POST, "/v1/reload") => {
            let act: Act = parsed(&body(request).await?, "order")?;
            named(&act.actor)?;
            Ok(json(&operations.reload(act).await?))
        }
        (&Method::POST, "/v1/run") => {
            let run: Run = parsed(&body(request).await?, "run")?;
            if run.timeout_ms > MAX_RUN_MS {
                return Err(bad(format!("timeout_ms is {}; it may be {MAX_RUN_MS}", run.timeout_ms)));
            }
            Ok(json(&operations.run(run).await?))
        }
        (method, path) => {
            if let Some(rest) = below("/v1/sagas", path) {
                return sagas::route(operations.sagas(), rest, &query, request).await;
            }
            if let Some(rest) = below("/v1/projections", path) {
                return projections::route(operations.projections(), rest, request).await;
            }
            let segments: Vec<&str> = path.strip_prefix("/v1/").unwrap_or_default().split('/').collect();
            match segments.as_slice() {
                ["events" | "subscriptions" | "dead-letters", ..] => {
                    messaging::route(operations.messaging(), &segments, &query, request).await
                }
                ["mesh" | "breakers" | "faults", ..] => mesh::route(operations.mesh(), &segments, request).await,
                ["services", rest @ ..] => services::route(operations.services(), rest, &query, request).await,
                ["versions", rest @ ..] => versions::route(operations.versions(), rest, request).await,
                ["schemas" | "asyncapi", ..] => schemas::route(operations.schemas(), &segments, request).await,
                ["limits" | "overload" | "api-keys" | "service-tokens" | "push", ..] => {
                    gateway::route(operations.gateway(), &segments, &query, request).await
                }
                _ => Err(nothing_at(method, path)),
            }
        }
    }
}

/// What follows `area` in a path that is there or below it: nothing, or something that begins with a slash.
fn below<'a>(area: &str, path: &'a str) -> Option<&'a str> {
    path.strip_prefix(area).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn nothing_at(method: &Method, path: &str) -> Problem {
    match *method {
        Method::GET => problem(StatusCode::NOT_FOUND, format!("there is nothing at {path}")),
        _ => problem(StatusCode::METHOD_NOT_ALLOWED, format!("{path} does not take {method}")),
    }
}

/// A segment of a path as it was before it was escaped.
fn decoded(segment: &str) -> Result<String, Problem> {
    let text = percent_decode_str(segment).decode_utf8().map_err(|_| bad("the path is not UTF-8"))?;
    Ok(text.into_owned())
}

async fn body(request: Request<Incoming>) -> Result<Bytes, Problem> {
    let body = Limited::new(request.into_body(), MAX_BODY_BYTES).collect();
    let body = tokio::time::timeout(BODY_TIMEOUT, body).await;
    let body = body.map_err(|_| problem(StatusCode::REQUEST_TIMEOUT, "the body did not come in time"))?;
    Ok(body.map_err(too_large_or_cut)?.to_bytes())
}

fn too_large_or_cut(error: Box<dyn std::error::Error + Send + Sync>) -> Problem {
    match error.downcast_ref::<LengthLimitError>() {
        Some(_) => problem(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body has more than the {MAX_BODY_BYTES} bytes that it may have"),
        ),
        None => bad(format!("the body cannot be read: {error}")),
    }
}

fn parsed<T: DeserializeOwned>(body: &[u8], what: &str) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| bad(format!("the body is no {what}: {error}")))
}

/// The parameters of a request's query.
struct Query(Vec<(String, String)>);

impl Query {
    fn of<B>(request: &Request<B>) -> Self {
        let query = request.uri().query().unwrap_or_default();
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Problem> {
        let parse = |text: &str| text.parse().map_err(|_| bad(format!("{name} has to be a number, not {text:?}")));
        self.get(name).map(parse).transpose()
    }
}

/// A problem for the client, to be shown as it is.
pub(super) fn problem(status: StatusCode, detail: impl Into<String>) -> Problem {
    Problem { status: status.as_u16(), detail: detail.into(), diagnostics: Vec::new() }
}

/// Whoever acts has to say who they are.
fn named(actor: &str) -> Result<(), Problem> {
    if actor.is_empty() { Err(bad("the actor is empty: say who does it")) } else { Ok(()) }
}

fn bad(detail: impl Into<String>) -> Problem {
    problem(StatusCode::BAD_REQUEST, detail)
}

fn refusal(problem: &Problem) -> Response<Body> {
    let mut response = json(problem);
    *response.status_mut() = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/problem+json"));
    response
}

fn json(value: &impl Serialize) -> Response<Body> {
    // These types have string keys alone, so they are always JSON.
    let body = serde_json::to_vec(value).unwrap_or_default();
    typed("application/json", Full::new(Bytes::from(body)).boxed_unsync())
}

/// One JSON object on each line, as they come.
fn lines<T: Serialize + 'static>(entries: BoxStream<'static, T>) -> Response<Body> {
    let frames = entries.map(|entry| {
        let mut line = serde_json::to_vec(&entry).unwrap_or_default();
        line.push(b'\n');
        Ok(Frame::data(Bytes::from(line)))
    });
    typed("application/x-ndjson", StreamBody::new(frames).boxed_unsync())
}

fn typed(content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests;
