//! The access log: one line per request, however it ends.

use std::io;
use std::sync::{Arc, Mutex};

use crate::common::{Setup, public};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tracing_subscriber::layer::SubscriberExt as _;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// The access log so far.
    fn access(&self) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.filter(|line: &Value| line["target"] == "weft::access").collect()
    }

    /// Waits for so many lines. The end of a request comes after its last byte.
    async fn wait(&self, count: usize) -> Vec<Value> {
        while self.access().len() < count {
            tokio::task::yield_now().await;
        }
        self.access()
    }
}

/// The runtime of these tests has one thread, so that the thread's subscriber sees all.
fn capture() -> (Lines, tracing::subscriber::DefaultGuard) {
    let lines = Lines::default();
    let writer = lines.clone();
    let layer = tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(move || writer.clone());
    let guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
    (lines, guard)
}

#[tokio::test]
async fn each_request_is_one_line() {
    let (lines, _guard) = capture();
    let routes = vec![public("POST /echo/:id", "echo"), public("GET /function-trapped", "function-trapped")];
    let server = Setup::default().with_routes(routes).start().await;
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let headers = [("x-request-id", "r1"), ("traceparent", parent)];
    let got = server.send("POST", "/echo/7?token=hidden", &headers, "12345").await;
    server.get("/nothing").await;
    server.get("/function-trapped").await;
    let access = lines.wait(3).await;
    assert_eq!(access.len(), 3);
    for (field, value) in [
        ("method", Value::from("POST")),
        ("path", "/echo/7".into()),
        ("route", "/echo/:id".into()),
        ("component", "echo".into()),
        ("status", 200.into()),
        ("bytes_in", 5.into()),
        ("bytes_out", got.body.len().into()),
        ("complete", true.into()),
        ("user", "-".into()),
        ("request_id", "r1".into()),
        ("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736".into()),
    ] {
        assert_eq!(access[0][field], value, "{field}");
    }
    assert!(access[0]["duration_us"].is_u64());
    assert_eq!((&access[1]["status"], &access[1]["route"]), (&404.into(), &"-".into()));
    assert_eq!((&access[2]["status"], &access[2]["component"]), (&502.into(), &"function-trapped".into()));
    let all = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(!all.contains("hidden"), "a query may hold secrets");
    assert!(all.contains("a secret reason"), "what the client is not told is in the log");
}

#[tokio::test]
async fn a_client_that_goes_away_is_in_the_log() {
    let (lines, _guard) = capture();
    let server = Setup::default().start().await;
    let mut socket = server.connect().await;
    socket.write_all(b"GET /hold HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    server.gate.entered.notified().await;
    drop(socket);
    let access = lines.wait(1).await;
    assert_eq!((&access[0]["status"], &access[0]["complete"]), (&499.into(), &false.into()));
}

#[tokio::test]
async fn only_an_answer_that_was_written_as_announced_is_complete() {
    let (lines, _guard) = capture();
    let cases = [
        ("GET", "breaks", false),
        ("GET", "breaks-at-once", false),
        ("GET", "short", false),
        ("GET", "empty", true),
        ("GET", "headers", true),
        ("HEAD", "headers", true),
        ("HEAD", "short", true),
    ];
    let routes = ["breaks", "breaks-at-once", "short", "empty", "headers"];
    let routes = routes.iter().map(|name| public(&format!("GET /{name}"), name)).collect();
    let server = Setup::default().with_routes(routes).start().await;
    for (number, (method, name, complete)) in cases.into_iter().enumerate() {
        let request = format!("{method} /{name} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        let got = server.raw(request).await;
        let access = lines.wait(number + 1).await;
        assert_eq!(access[number]["complete"], complete, "{method} {name}: {got:?}");
    }
}
