//! Liveness, readiness, health, and HTTP/2.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use crate::common::{Server, Setup, public};
use futures::future::BoxFuture;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use weft_core::manifest::Route;
use weft_gateway::HealthCheck;

#[derive(Default)]
struct Disk {
    broken: AtomicBool,
}

impl HealthCheck for Disk {
    fn name(&self) -> &str {
        "disk"
    }

    fn check(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async { if self.broken.load(SeqCst) { Err("no space left".into()) } else { Ok(()) } })
    }
}

#[tokio::test]
async fn health_names_each_check() {
    let disk = Arc::new(Disk::default());
    let clock = Arc::new(weft_core::clock::ManualClock::at_ms(1_800_000_000_000));
    let checks: Vec<Arc<dyn HealthCheck>> = vec![Arc::clone(&disk) as _];
    let server = Setup { checks, clock: Arc::clone(&clock) as _, ..Setup::default() }.start().await;
    let got = server.get("/health").await;
    assert_eq!(got.status, 200);
    assert_eq!(
        got.json(),
        serde_json::json!({ "status": "ok", "checks": [
            { "name": "disk", "status": "ok", "error": null, "checked_at": "2027-01-15T08:00:00Z" },
        ] })
    );
    assert_eq!(server.get("/readyz").await.status, 200);
    disk.broken.store(true, SeqCst);
    clock.advance(std::time::Duration::from_secs(1));
    let got = server.get("/health").await;
    assert_eq!((got.status, got.json()["status"].as_str()), (503, Some("degraded")));
    assert_eq!(got.json()["checks"][0]["error"], "no space left");
    assert_eq!(server.get("/readyz").await.status, 503);
    assert_eq!(server.get("/livez").await.json(), serde_json::json!({ "status": "ok" }));
    server.send("POST", "/livez", &[], "").await.assert_problem(405, "method-not-allowed");
}

#[tokio::test]
async fn readiness_ends_when_draining_begins() {
    let server = Setup::default().start().await;
    let mut sender = http2(&server).await;
    assert_eq!(ask(&mut sender, "GET", "/readyz").await.status(), 200);
    // A request in work keeps its connection open while the gateway drains.
    let held = tokio::spawn({
        let mut sender = sender.clone();
        async move { ask(&mut sender, "GET", "/hold").await.status() }
    });
    server.gate.entered.notified().await;
    server.stop.send(()).unwrap();
    while !server.gateway.is_draining() {
        tokio::task::yield_now().await;
    }
    server.gate.open.notify_one();
    assert_eq!(held.await.unwrap(), 200);
    assert_eq!(server.served.await.unwrap().cut_off, 0);
}

type Sender = hyper::client::conn::http2::SendRequest<Full<bytes::Bytes>>;

async fn http2(server: &Server) -> Sender {
    let io = TokioIo::new(server.connect().await);
    let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn ask(sender: &mut Sender, method: &str, path: &str) -> Response<Incoming> {
    let method: Method = method.parse().unwrap();
    let request = Request::builder().method(method).uri(format!("http://weft.test{path}"));
    sender.send_request(request.body(Full::default()).unwrap()).await.unwrap()
}

#[tokio::test]
async fn http2_is_served_with_prior_knowledge() {
    let on = |host: &str, route: Route| Route { hosts: vec![host.parse().unwrap()], ..route };
    let routes = vec![
        public("GET /echo", "echo"),
        public("GET /headers", "headers"),
        // The authority says which host it is.
        on("weft.test", public("GET /here", "ignore")),
        on("other.test", public("GET /there", "ignore")),
    ];
    let server = Setup::default().with_routes(routes).start().await;
    let mut sender = http2(&server).await;
    let answer = ask(&mut sender, "GET", "/echo").await;
    assert_eq!(answer.status(), 200);
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let seen: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(seen["headers"]["host"], "weft.test");
    assert_eq!(seen["headers"]["spin-full-url"], "http://weft.test/echo");
    let head = ask(&mut sender, "HEAD", "/headers").await;
    assert_eq!((head.status().as_u16(), head.headers()["content-length"].to_str().unwrap()), (200, "12"));
    assert!(head.into_body().collect().await.unwrap().to_bytes().is_empty());
    assert_eq!(ask(&mut sender, "GET", "/nothing").await.status(), 404);
    let [here, there] = [ask(&mut sender, "GET", "/here").await, ask(&mut sender, "GET", "/there").await];
    assert_eq!((here.status().as_u16(), there.status().as_u16()), (200, 404));
    assert_eq!(ask(&mut sender, "GET", "/echo/%2e%2e/x").await.status(), 400);
}
