//! A gateway on a real loopback socket over a fake upstream, and a client that writes bytes.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use weft_core::manifest::{Access, Callers, Overload, RateLimits, Route};
use weft_core::shared_limits::SharedLimits;
use weft_core::{Clock, Failure, Fault, Reason, SystemClock};
use weft_gateway::{
    AuthSettings, Deployment, Drained, Gateway, HealthCheck, Limits, Listeners, Policy, RequestBody, ResponseBody,
    RouteMatch, RouteTable, Settings, full,
};

pub type Answer = Pin<Box<dyn Future<Output = Result<Response<ResponseBody>, Failure>> + Send>>;
pub type Upstream = tower::util::BoxCloneSyncService<Request<RequestBody>, Response<ResponseBody>, Failure>;

/// Lets a test hold requests in the upstream and see that they are there.
#[derive(Default)]
pub struct Gate {
    pub entered: Notify,
    pub open: Notify,
}

pub fn route(route: &str, component: &str, access: Access) -> Route {
    let (method, pattern) = route.split_once(' ').unwrap();
    let route = Route::new(method.parse().unwrap(), pattern.parse().unwrap(), component.into());
    Route { access, deadline_ms: 20_000, ..route }
}

pub fn public(text: &str, component: &str) -> Route {
    route(text, component, Access::Public)
}

pub fn protected(text: &str, component: &str, roles: &[&str], permissions: &[&str]) -> Route {
    let list = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect();
    route(
        text,
        component,
        Access::Authenticated(Callers { roles: list(roles), permissions: list(permissions), ..Callers::default() }),
    )
}

pub fn table(mut routes: Vec<Route>) -> RouteTable {
    routes.sort_by(Route::precedence);
    RouteTable::new(&routes)
}

pub struct Setup {
    pub settings: Settings,
    pub limits: Limits,
    pub policy: Policy,
    pub rate_limits: RateLimits,
    pub shared_limits: Option<Arc<dyn SharedLimits>>,
    pub overload: Overload,
    pub routes: Vec<Route>,
    pub auth: Option<AuthSettings>,
    pub checks: Vec<Arc<dyn HealthCheck>>,
    pub clock: Arc<dyn Clock>,
}

impl Default for Setup {
    fn default() -> Self {
        let routes = vec![public("* /echo", "echo"), public("* /echo/:id/...", "echo"), public("GET /hold", "hold")];
        let clock = Arc::new(SystemClock::new(|duration| Box::pin(tokio::time::sleep(duration))));
        Self {
            settings: Settings::default(),
            limits: Limits::default(),
            policy: Policy::default(),
            rate_limits: RateLimits::default(),
            shared_limits: None,
            overload: Overload::default(),
            routes,
            auth: None,
            checks: vec![],
            clock,
        }
    }
}

pub struct Server {
    pub address: SocketAddr,
    pub gateway: Arc<Gateway<Upstream>>,
    pub gate: Arc<Gate>,
    pub stop: oneshot::Sender<()>,
    pub served: JoinHandle<Drained>,
    routes: Vec<Route>,
}

impl Setup {
    pub fn with_routes(mut self, routes: Vec<Route>) -> Self {
        self.routes = routes;
        self
    }

    pub async fn start(self) -> Server {
        self.start_with_drain(Duration::from_secs(10)).await
    }

    pub async fn start_with_drain(self, drain: Duration) -> Server {
        self.start_with(drain, |plain| plain).await
    }

    /// Listens also elsewhere.
    pub async fn start_on(self, listeners: impl FnOnce(Listeners) -> Listeners) -> Server {
        self.start_with(Duration::from_secs(10), listeners).await
    }

    async fn start_with(self, drain: Duration, listeners: impl FnOnce(Listeners) -> Listeners) -> Server {
        let gate = Arc::new(Gate::default());
        let upstream = upstream(Arc::clone(&gate));
        let mut deployment = Deployment::new(table(self.routes.clone()), self.auth).unwrap();
        (deployment.limits, deployment.policy) = (self.limits, self.policy);
        (deployment.rate_limits, deployment.overload) = (self.rate_limits, self.overload);
        deployment.shared_limits = self.shared_limits;
        let gateway = Gateway::new(self.clock, self.settings, deployment, self.checks, upstream);
        let gateway = Arc::new(gateway);
        let listener = weft_gateway::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let listener = listeners(listener.into());
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn({
            let gateway = Arc::clone(&gateway);
            let shutdown = async {
                let _ = stopped.await;
            };
            async move { gateway.serve(listener, shutdown, drain).await }
        });
        Server { address, gateway, gate, stop, served, routes: self.routes }
    }
}

/// Answers by the name of the component that the route names.
fn upstream(gate: Arc<Gate>) -> Upstream {
    let service = tower::service_fn(move |request: Request<RequestBody>| -> Answer {
        let component = Arc::clone(&request.extensions().get::<RouteMatch>().unwrap().component);
        let gate = Arc::clone(&gate);
        match &*component {
            "echo" => Box::pin(echo(request)),
            "ignore" => Box::pin(async { Ok(Response::new(full("ignored"))) }),
            "hold" => Box::pin(async move {
                gate.entered.notify_one();
                gate.open.notified().await;
                Ok(Response::new(full("held")))
            }),
            "hang" => Box::pin(std::future::pending()),
            "panic" => panic!("a secret reason"),
            "panic-later" => Box::pin(async { panic!("a secret reason") }),
            "endless" => Box::pin(async {
                let first = http_body::Frame::data(Bytes::from_static(b"first"));
                let frames = futures::stream::iter([Ok(first)]);
                let frames = futures::StreamExt::chain(frames, futures::stream::pending());
                Ok(Response::new(StreamBody::new(frames).boxed_unsync()))
            }),
            "breaks" => Box::pin(async { Ok(announced(20, [Ok("ten bytes."), Err("a secret reason")])) }),
            "breaks-at-once" => Box::pin(async { Ok(announced(20, [Err("a secret reason")])) }),
            "short" => Box::pin(async { Ok(announced(20, [Ok("ten bytes.")])) }),
            "empty" => Box::pin(async {
                let mut response = Response::new(full(""));
                *response.status_mut() = http::StatusCode::NO_CONTENT;
                Ok(response)
            }),
            "json" => Box::pin(async {
                let response = of_type("application/json").header("etag", "\"1\"").header("accept-ranges", "bytes");
                Ok(response.body(full(LONG_JSON.repeat(100))).unwrap())
            }),
            "small" => Box::pin(async { Ok(of_type("application/json").body(full("{}")).unwrap()) }),
            "pieces" => Box::pin(async { Ok(pieces("application/json", &[LONG_JSON; 100])) }),
            "pieces-small" => Box::pin(async { Ok(pieces("application/json", &["{\"a\":", "42}"])) }),
            "events" => Box::pin(async { Ok(pieces("text/event-stream", &["data: long enough\n\n"; 100])) }),
            "encoded" => Box::pin(async {
                let response = of_type("application/json").header("content-encoding", "gzip");
                Ok(response.body(full("x".repeat(2000))).unwrap())
            }),
            "paused" => Box::pin(async move {
                let second = async move {
                    gate.open.notified().await;
                    Ok(http_body::Frame::data(Bytes::from_static(b"second part")))
                };
                let first = Ok(http_body::Frame::data(Bytes::from_static(b"first part")));
                let frames = futures::StreamExt::chain(futures::stream::iter([first]), futures::stream::once(second));
                Ok(of_type("text/plain").body(StreamBody::new(frames).boxed_unsync()).unwrap())
            }),
            "cors" => Box::pin(async {
                let response = Response::builder().header("access-control-allow-origin", "*");
                Ok(response.body(full("")).unwrap())
            }),
            "headers" => Box::pin(async {
                let response = Response::builder()
                    .header("connection", "close, x-secret")
                    .header("keep-alive", "timeout=5")
                    .header("x-frame-options", "SAMEORIGIN")
                    .header("x-request-id", "forged")
                    .header("content-type", "text/plain");
                Ok(response.body(full("twelve bytes")).unwrap())
            }),
            failing => {
                let reason = Reason::ALL.into_iter().find(|reason| reason.as_str() == failing).unwrap();
                Box::pin(async move { Err(Failure::unknown(Fault::Guest, reason, "a secret reason")) })
            }
        }
    });
    Upstream::new(service)
}

/// Long enough for compression when it is repeated.
pub const LONG_JSON: &str = "{\"name\":\"a value that comes again and again\"}";

fn of_type(kind: &str) -> http::response::Builder {
    Response::builder().header("content-type", kind)
}

/// An answer that does not say its length, and whose body comes in these pieces.
fn pieces(kind: &str, pieces: &[&'static str]) -> Response<ResponseBody> {
    let frames: Vec<_> =
        pieces.iter().map(|piece| Ok(http_body::Frame::data(Bytes::from_static(piece.as_bytes())))).collect();
    of_type(kind).body(StreamBody::new(futures::stream::iter(frames)).boxed_unsync()).unwrap()
}

/// An answer that says its length, and whose body comes in these pieces.
fn announced<const N: usize>(length: u64, pieces: [Result<&'static str, &'static str>; N]) -> Response<ResponseBody> {
    let frames = pieces.map(|piece| piece.map(|text| http_body::Frame::data(text.into())).map_err(Into::into));
    let body = StreamBody::new(futures::stream::iter(frames)).boxed_unsync();
    Response::builder().header("content-length", length).body(body).unwrap()
}

/// What the function saw.
async fn echo(request: Request<RequestBody>) -> Result<Response<ResponseBody>, Failure> {
    let (head, body) = request.into_parts();
    let matched = head.extensions.get::<RouteMatch>().unwrap().clone();
    let body = match body.collect().await {
        Ok(body) => json!(body.to_bytes().len()),
        Err(error) => json!(error.to_string()),
    };
    let mut headers = serde_json::Map::new();
    for name in head.headers.keys() {
        let values: Vec<_> = head.headers.get_all(name).iter().map(|v| String::from_utf8_lossy(v.as_bytes())).collect();
        headers.insert(name.to_string(), json!(values.join("|")));
    }
    let seen = json!({
        "method": head.method.as_str(), "uri": head.uri.to_string(), "headers": headers, "body": body,
        "component": &*matched.component, "route": &*matched.route, "params": matched.params,
        "trace_id": &*matched.trace.trace_id, "request_id": &*matched.request_id,
    });
    Ok(Response::new(full(seen.to_string())))
}

/// An answer as it came over the wire.
#[derive(Debug)]
pub struct Got {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Got {
    pub fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head: head.to_owned(), body: body.to_owned() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// Checks that this is a problem of this status and name, complete and without secrets.
    #[track_caller]
    pub fn assert_problem(&self, status: u16, name: &str) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["type"], format!("urn:weft:problem:{name}"), "{self:?}");
        assert_eq!(problem["status"], status);
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{self:?}");
        assert_eq!(problem["request_id"].as_str(), self.header("x-request-id"), "{self:?}");
        assert!(!self.body.contains("secret"), "{self:?}");
        problem
    }
}

impl Server {
    /// Serves the routes that it began with, for everyone, and what is changed; nothing else is said.
    pub fn deploy(&self, change: impl FnOnce(&mut Deployment)) {
        let mut deployment = Deployment::new(table(self.routes.clone()), None).unwrap();
        change(&mut deployment);
        self.gateway.deploy(deployment);
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes as they are and reads until the server closes.
    pub async fn raw(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut socket = self.connect().await;
        socket.write_all(bytes.as_ref()).await.unwrap();
        read_to_end(&mut socket).await
    }

    /// One request with these header lines, on a connection of its own.
    pub async fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Got {
        let mut request = format!("{method} {target} HTTP/1.1\r\nhost: weft.test\r\nconnection: close\r\n");
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() {
            request += &format!("content-length: {}\r\n", body.len());
        }
        Got::parse(&self.raw(format!("{request}\r\n{body}")).await)
    }

    pub async fn get(&self, target: &str) -> Got {
        self.send("GET", target, &[], "").await
    }

    pub async fn bearer(&self, target: &str, token: &str) -> Got {
        self.send("GET", target, &[("authorization", &format!("Bearer {token}"))], "").await
    }
}

pub async fn read_to_end(socket: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset after an answer still leaves the answer.
    let _ = socket.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads one answer with a Content-Length and leaves the connection open.
pub async fn read_one(socket: &mut TcpStream) -> Got {
    let mut bytes = Vec::new();
    loop {
        let read = socket.read_buf(&mut bytes).await.unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let got = Got::parse(&format!("{head}\r\n\r\n"));
            let length: usize = got.header("content-length").map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                return Got::parse(&text);
            }
        }
        assert_ne!(read, 0, "closed early: {text}");
    }
}
