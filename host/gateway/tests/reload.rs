//! What an operator changes while requests are in work: each of them ends as it began, and the next keep to what is new.

use std::time::Duration;

use crate::common::{self, Server, Setup, read_one, read_to_end};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use weft_core::manifest::Overload;
use weft_gateway::{Deployment, Limits};

/// A request that the function holds.
async fn held(server: &Server) -> TcpStream {
    let mut socket = server.connect().await;
    socket.write_all(b"GET /hold HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    server.gate.entered.notified().await;
    socket
}

async fn is_answered(server: &Server, mut held: TcpStream) {
    server.gate.open.notify_one();
    assert_eq!(read_one(&mut held).await.body, "held");
    // And its connection goes on.
    held.write_all(b"GET /echo HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert_eq!(read_one(&mut held).await.status, 200);
}

fn set(server: &Server, limits: Limits) {
    server.deploy(|deployment| deployment.limits = limits);
}

#[tokio::test]
async fn bounds_of_requests_change_for_those_that_follow() {
    let server = Setup::default().start().await;
    let in_work = held(&server).await;
    let mut slow = server.connect().await;
    slow.write_all(b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 20\r\n\r\n").await.unwrap();
    while server.gateway.in_flight() < 2 {
        tokio::task::yield_now().await;
    }
    set(&server, Limits { body_bytes: 10, header_bytes: 1_024, ..Limits::default() });
    server.send("POST", "/echo", &[], "twenty bytes of text").await.assert_problem(413, "body-too-large");
    let long = "x".repeat(2_000);
    server.send("GET", "/echo", &[("x-long", &long)], "").await.assert_problem(431, "headers-too-large");
    // It came in when it might be longer.
    slow.write_all(b"twenty bytes of text").await.unwrap();
    assert_eq!(read_one(&mut slow).await.json()["body"], 20);
    is_answered(&server, in_work).await;
    set(&server, Limits::default());
    assert_eq!(server.send("POST", "/echo", &[("x-long", &long)], "twenty bytes of text").await.status, 200);
}

#[tokio::test]
async fn fewer_may_be_in_work_and_nobody_is_sent_away() {
    let server = Setup::default().start().await;
    let in_work = held(&server).await;
    set(&server, Limits { in_flight: 1, ..Limits::default() });
    server.get("/echo").await.assert_problem(503, "overloaded");
    assert_eq!(server.gateway.overload().max, 1);
    set(&server, Limits { in_flight: 2, ..Limits::default() });
    assert_eq!(server.get("/echo").await.status, 200);
    is_answered(&server, in_work).await;
}

#[tokio::test]
async fn fewer_connections_may_be_open_and_none_is_closed() {
    let server = Setup::default().start().await;
    let in_work = held(&server).await;
    set(&server, Limits { connections: 1, ..Limits::default() });
    let refused = server.get("/echo").await;
    assert_eq!((refused.status, &refused.json()["detail"]), (503, &"Too many connections are open. Try again.".into()));
    is_answered(&server, in_work).await;
    set(&server, Limits { connections: 3, ..Limits::default() });
    while server.get("/echo").await.status != 200 {}
}

#[tokio::test]
async fn timeouts_change_for_connections_that_follow() {
    let server = Setup::default().start().await;
    let in_work = held(&server).await;
    let short = Duration::from_millis(50);
    set(&server, Limits { head_timeout: short, idle_timeout: short, body_timeout: short, ..Limits::default() });
    let mut head = server.connect().await;
    head.write_all(b"GET /echo HT").await.unwrap();
    assert!(read_to_end(&mut head).await.starts_with("HTTP/1.1 408 "));
    let mut idle = server.connect().await;
    assert_eq!(read_to_end(&mut idle).await, "");
    let mut body = server.connect().await;
    body.write_all(b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\na").await.unwrap();
    assert_eq!(read_one(&mut body).await.status, 408);
    is_answered(&server, in_work).await;
}

#[tokio::test]
async fn the_adaptive_limit_changes_its_rules_and_keeps_what_it_knows() {
    let server = Setup::default().start().await;
    let in_work = held(&server).await;
    let overload = Overload { min_concurrent: 200, ..Overload::default() };
    server.deploy(|deployment| deployment.overload = overload.clone());
    let report = server.gateway.overload();
    assert_eq!((report.limit, report.min, report.running), (200, 200, 1));
    let overload = Overload { enabled: false, ..overload };
    server.deploy(|deployment| deployment.overload = overload);
    assert!(!server.gateway.overload().enabled);
    is_answered(&server, in_work).await;
    while server.gateway.overload().running > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn routes_lose_their_keys_without_a_request_being_dropped() {
    let server = Setup::default().start().await;
    let in_work = held(&server).await;
    let protected = common::table(vec![common::protected("GET /echo", "echo", &[], &[])]);
    let refused = Deployment::new(protected, None);
    assert!(refused.unwrap_err().to_string().contains("needs a token"));
    is_answered(&server, in_work).await;
}
