//! How much the gateway adds to bare hyper, and to that four rate limits, or all of its edge (for an answer that is too
//! small to be compressed): requests over one keep-alive connection to each, alternating.
//! `cargo run --release -p weft-gateway --example overhead`

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, reason = "a measurement for people")]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use weft_core::manifest::{self, RateLimit, RateLimits, RateScope, RateStrategy, Route};
use weft_core::{Failure, SystemClock};
use weft_gateway::{Deployment, Gateway, Policy, RequestBody, RouteTable, Settings, full};

const REQUESTS: usize = 20_000;
const HEADERS: &str = "GET /api/courses/1/parts/2 HTTP/1.1\r\nhost: weft.test\r\nuser-agent: overhead\r\n\
                       accept: */*\r\naccept-encoding: gzip\r\norigin: https://app.test\r\n\
                       x-forwarded-for: 203.0.113.7\r\nx-forwarded-proto: https\r\n\r\n";

async fn bare() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            socket.set_nodelay(true).unwrap();
            let answer =
                |_: Request<Incoming>| async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("hi")))) };
            let service = hyper::service::service_fn(answer);
            tokio::spawn(async move {
                let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(socket), service).await;
            });
        }
    });
    address
}

/// Pages of other origins, compression, trusted proxies, HSTS: all but TLS itself.
fn edge() -> Policy {
    let cors = manifest::Cors {
        origins: vec!["https://*.weft.test".parse().unwrap(), "https://app.test".parse().unwrap()],
        credentials: true,
        methods: vec!["GET".into()],
        headers: vec!["authorization".into()],
        expose: vec!["x-request-id".into()],
        max_age_s: 600,
    };
    let gateway = manifest::Gateway {
        trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()],
        compression: Some(manifest::Compression::default()),
        cors: Some(cors),
        ..manifest::Gateway::default()
    };
    Policy::from(&gateway)
}

/// A window of each of these scopes, wide enough for all requests, and requests at a time.
fn rate_limits() -> RateLimits {
    let window = RateStrategy::SlidingWindow { limit: 1_000_000, window_s: 60 };
    let limit =
        |name: &str, scope, strategy| RateLimit { name: name.into(), strategy, scope, components: None, line: 1 };
    let limits = vec![
        limit("ip", RateScope::Ip, window),
        limit("global", RateScope::Global, window),
        limit("user", RateScope::User, window),
        limit("at-a-time", RateScope::User, RateStrategy::Concurrency { limit: 10 }),
    ];
    RateLimits { limits, ..RateLimits::default() }
}

async fn gateway(policy: Policy, rate_limits: RateLimits) -> SocketAddr {
    let mut routes: Vec<Route> = (0..30).map(|n| route(&format!("/api/things{n}/:id"))).collect();
    routes.push(route("/api/courses/:course/parts/:part"));
    for route in &mut routes {
        route.limits = rate_limits.limits.iter().map(|limit| limit.name.clone()).collect();
    }
    routes.sort_by(|a, b| a.pattern.cmp(&b.pattern));
    let upstream = tower::service_fn(|_: Request<RequestBody>| async {
        let mut response = Response::new(full("hi"));
        response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
        Ok::<_, Failure>(response)
    });
    let mut deployment = Deployment::new(RouteTable::new(&routes), None).unwrap();
    (deployment.policy, deployment.rate_limits) = (policy, rate_limits);
    let clock = Arc::new(SystemClock::new(|duration| Box::pin(tokio::time::sleep(duration))));
    let gateway = Gateway::new(clock, Settings::default(), deployment, vec![], upstream);
    let listener = weft_gateway::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { gateway.serve(listener, std::future::pending(), Duration::ZERO).await });
    address
}

fn route(pattern: &str) -> Route {
    Route::new(weft_core::manifest::Method::Get, pattern.parse().unwrap(), "c".into())
}

/// Processor time of this thread so far, in nanoseconds: on a busy machine the clock on the wall tells little.
fn cpu_ns() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    stat.split(' ').next().unwrap().parse().unwrap()
}

/// Microseconds of processor time per request, client and kernel included, one request after another.
async fn run(address: SocketAddr) -> f64 {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.set_nodelay(true).unwrap();
    let mut buffer = vec![0; 4096];
    let start = cpu_ns();
    for _ in 0..REQUESTS {
        socket.write_all(HEADERS.as_bytes()).await.unwrap();
        let read = socket.read(&mut buffer).await.unwrap();
        assert!(buffer[..read].starts_with(b"HTTP/1.1 200 ") && buffer[..read].ends_with(b"\r\n\r\nhi"));
    }
    (cpu_ns() - start) / 1000.0 / REQUESTS as f64
}

/// One thread, so that all work of both sides is in the time.
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let bare = bare().await;
    let plain = gateway(Policy::default(), RateLimits::default()).await;
    let limited = gateway(Policy::default(), rate_limits()).await;
    let edge = gateway(edge(), RateLimits::default()).await;
    for _ in 0..5 {
        let (bare, plain, limited, edge) = (run(bare).await, run(plain).await, run(limited).await, run(edge).await);
        println!(
            "cpu time per request: bare {bare:.2} us, gateway {plain:.2} us, added {:.2} us; with four limits {:.2} us more, \
             with the edge {:.2} us more",
            plain - bare,
            limited - plain,
            edge - plain
        );
    }
}
