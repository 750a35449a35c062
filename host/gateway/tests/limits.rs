//! Every bound of the gateway, and how it ends.

use std::time::Duration;

use crate::common::{Got, Setup, public, read_one, read_to_end};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use weft_core::manifest::Route;
use weft_gateway::{BindError, Drained, Limits};

const SHORT: Duration = Duration::from_millis(50);

fn limited(limits: Limits) -> Setup {
    let mut setup = Setup { limits, ..Setup::default() };
    setup.routes.push(public("POST /ignore", "ignore"));
    setup
}

fn brief(text: &str, component: &str) -> Route {
    Route { deadline_ms: 50, ..public(text, component) }
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_however_it_is_sent() {
    let server = limited(Limits { body_bytes: 10, ..Limits::default() }).start().await;
    assert_eq!(server.send("POST", "/echo", &[], "0123456789").await.json()["body"], 10);
    let announced = server.send("POST", "/echo", &[], "0123456789a").await;
    announced.assert_problem(413, "body-too-large");
    let chunked = "POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n\
                   6\r\n012345\r\n5\r\n6789a\r\n0\r\n\r\n";
    Got::parse(&server.raw(chunked).await).assert_problem(413, "body-too-large");
}

#[tokio::test]
async fn a_client_that_goes_on_sending_still_sees_the_answer() {
    let server = limited(Limits { body_bytes: 10, ..Limits::default() }).start().await;
    let large = "x".repeat(4 * 1024 * 1024);
    server.send("POST", "/echo", &[], &large).await.assert_problem(413, "body-too-large");
    let server = limited(Limits::default()).start().await;
    server.send("POST", "/nothing", &[], &large).await.assert_problem(404, "no-route");
}

#[tokio::test]
async fn a_connection_lives_on_after_a_body_that_nobody_read() {
    let server = limited(Limits::default()).start().await;
    let mut socket = server.connect().await;
    let body = "x".repeat(100_000);
    for _ in 0..3 {
        let head = format!("POST /ignore HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", body.len());
        socket.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        assert_eq!(read_one(&mut socket).await.body, "ignored");
    }
}

#[tokio::test]
async fn a_client_that_asks_first_is_not_told_to_send_what_nobody_wants() {
    let server = limited(Limits { body_bytes: 10, ..Limits::default() }).start().await;
    let request = "POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 11\r\nexpect: 100-continue\r\n\r\n";
    let got = server.raw(request).await;
    assert!(got.starts_with("HTTP/1.1 413 "), "{got}");
}

#[tokio::test]
async fn heads_over_a_limit_are_refused() {
    let limits = Limits { uri_bytes: 100, header_count: 10, header_bytes: 1000, ..Limits::default() };
    let server = limited(limits).start().await;
    let target = |length: usize| format!("/echo?{}", "q".repeat(length - 6));
    assert_eq!(server.get(&target(100)).await.status, 200);
    server.get(&target(101)).await.assert_problem(414, "uri-too-long");
    let many = |count: usize| vec![("x-a", "1"); count];
    assert_eq!(server.send("GET", "/echo", &many(8), "").await.status, 200);
    server.send("GET", "/echo", &many(9), "").await.assert_problem(431, "headers-too-large");
    let large = "v".repeat(1000);
    server.send("GET", "/echo", &[("x-a", &large)], "").await.assert_problem(431, "headers-too-large");
    // Beyond what hyper parses at all, its own bare answer has to do.
    let huge = "v".repeat(300_000);
    let got = server.send("GET", "/echo", &[("x-a", &huge)], "").await;
    assert_eq!(got.status, 431);
}

#[tokio::test]
async fn what_is_not_clearly_one_request_is_400() {
    let server = limited(Limits::default()).start().await;
    let smuggled = "GET /hidden HTTP/1.1\r\nhost: a\r\n\r\n";
    let bad = [
        ("no host", "GET /echo HTTP/1.1\r\n\r\n".to_owned()),
        ("two hosts", "GET /echo HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n".into()),
        (
            "two lengths",
            format!("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx{smuggled}"),
        ),
        ("a length that is none", "POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: +1\r\n\r\nx".into()),
        ("a space before the colon", format!("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length : 5\r\n\r\n{smuggled}")),
        (
            "an unknown coding",
            format!("POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n{smuggled}"),
        ),
        (
            "a coding after chunked",
            "POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n".into(),
        ),
        ("chunked in HTTP/1.0", "POST /echo HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".into()),
        ("a folded header", "GET /echo HTTP/1.1\r\nhost: a\r\nx-a: 1\r\n 2\r\n\r\n".into()),
        ("a bare CR in a header", "GET /echo HTTP/1.1\r\nhost: a\r\nx-a: 1\rx-user-id: 1\r\n\r\n".into()),
        ("NUL in a header", "GET /echo HTTP/1.1\r\nhost: a\r\nx-a: \0\r\n\r\n".into()),
        ("a space in the target", "GET /ec ho HTTP/1.1\r\nhost: a\r\n\r\n".into()),
        ("no HTTP", "hello there\r\n\r\n".into()),
    ];
    for (why, request) in bad {
        let got = server.raw(request).await;
        assert!(got.starts_with("HTTP/1.1 400 "), "{why}: {got}");
        assert_eq!(got.matches("HTTP/1.1 ").count(), 1, "{why}: nothing may follow: {got}");
    }
}

/// RFC 9112 section 2.2 lets a server take a bare LF for the end of a header line, and hyper does. It can hide nothing,
/// for there is nobody before us who could read it otherwise; in a chunked body it is an error.
#[tokio::test]
async fn a_bare_line_feed_ends_a_header_line_but_no_chunk() {
    let server = limited(Limits::default()).start().await;
    let headers = server.raw("GET /echo HTTP/1.1\nhost: a\nx-user-id: 1\nconnection: close\n\n").await;
    assert!(Got::parse(&headers).json()["headers"].get("x-user-id").is_none(), "{headers}");
    let head = "POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    for body in ["3\nabc\n0\n\n", "3\r\nabcd\r\n0\r\n\r\n", "-1\r\nabc\r\n0\r\n\r\n", "fffffffffffffffff\r\nabc\r\n"] {
        let got = server.raw(format!("{head}{body}")).await;
        assert_eq!(got.matches("HTTP/1.1 ").count(), 1, "{got}");
        Got::parse(&got).assert_problem(400, "bad-request");
    }
}

#[tokio::test]
async fn nothing_hides_behind_a_request_with_two_lengths() {
    let server = limited(Limits::default()).start().await;
    let hidden = "GET /hidden HTTP/1.1\r\nhost: a\r\n\r\n";
    let length = format!("content-length: {}\r\n", 5 + hidden.len());
    let coding = "transfer-encoding: chunked\r\n";
    for headers in [format!("{length}{coding}"), format!("{coding}{length}")] {
        let request = format!("POST /echo HTTP/1.1\r\nhost: a\r\n{headers}\r\n0\r\n\r\n{hidden}");
        let got = server.raw(request).await;
        assert_eq!(got.matches("HTTP/1.1 ").count(), 1, "{got}");
        let got = Got::parse(&got);
        assert_eq!(got.header("connection"), Some("close"));
        let seen = got.json();
        assert_eq!((&seen["body"], &seen["headers"]["content-length"]), (&0.into(), &serde_json::Value::Null));
    }
}

#[tokio::test]
async fn a_head_that_takes_too_long_is_408() {
    let server = limited(Limits { head_timeout: SHORT, ..Limits::default() }).start().await;
    let got = Got::parse(&server.raw("GET /echo HTTP/1.1\r\nhost: a\r\n").await);
    assert_eq!((got.status, got.json()["type"].as_str()), (408, Some("urn:weft:problem:request-timeout")));
    // Also the second request of a connection.
    let mut socket = server.connect().await;
    socket.write_all(b"GET /echo HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert_eq!(read_one(&mut socket).await.status, 200);
    socket.write_all(b"GET /echo").await.unwrap();
    assert_eq!(Got::parse(&read_to_end(&mut socket).await).status, 408);
}

#[tokio::test]
async fn a_connection_that_lies_idle_is_closed_without_a_word() {
    let server = limited(Limits { idle_timeout: SHORT, ..Limits::default() }).start().await;
    let mut socket = server.connect().await;
    assert_eq!(read_to_end(&mut socket).await, "", "before the first request");
    let mut socket = server.connect().await;
    socket.write_all(b"GET /echo HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert_eq!(read_one(&mut socket).await.status, 200);
    assert_eq!(read_to_end(&mut socket).await, "", "after a request");
}

#[tokio::test]
async fn a_request_in_work_is_not_idle() {
    let limits = Limits { idle_timeout: SHORT, head_timeout: SHORT, ..Limits::default() };
    let server = limited(limits).start().await;
    let mut socket = server.connect().await;
    socket.write_all(b"GET /hold HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    server.gate.entered.notified().await;
    // Another connection lies idle for as long as it may meanwhile.
    let mut other = server.connect().await;
    assert_eq!(read_to_end(&mut other).await, "");
    server.gate.open.notify_one();
    assert_eq!(read_one(&mut socket).await.body, "held");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_408() {
    let server = limited(Limits { body_timeout: SHORT, ..Limits::default() }).start().await;
    let request = "POST /echo HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 5\r\n\r\nabc";
    Got::parse(&server.raw(request).await).assert_problem(408, "request-timeout");
    let server = Setup::default().with_routes(vec![brief("POST /echo", "echo")]).start().await;
    Got::parse(&server.raw(request).await).assert_problem(408, "request-timeout");
}

#[tokio::test]
async fn a_function_over_its_deadline_is_504() {
    let routes = vec![brief("GET /hang", "hang"), brief("GET /endless", "endless")];
    let server = Setup::default().with_routes(routes).start().await;
    server.get("/hang").await.assert_problem(504, "deadline-exceeded");
    // Its answer has begun, so that all we can do is break it off.
    let broken = server.raw("GET /endless HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(broken.contains("first") && !broken.ends_with("0\r\n\r\n"), "{broken}");
}

#[tokio::test]
async fn requests_over_the_bound_are_refused_at_once_but_probes_are_answered() {
    let server = limited(Limits { in_flight: 1, ..Limits::default() }).start().await;
    let mut socket = server.connect().await;
    socket.write_all(b"GET /hold HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    server.gate.entered.notified().await;
    let refused = server.get("/echo").await;
    refused.assert_problem(503, "overloaded");
    assert_eq!(refused.header("retry-after"), Some("1"));
    for probe in ["/livez", "/readyz", "/health"] {
        assert_eq!(server.get(probe).await.status, 200, "{probe}");
    }
    server.gate.open.notify_one();
    assert_eq!(read_one(&mut socket).await.body, "held");
    assert_eq!(server.get("/echo").await.status, 200);
    assert_eq!(server.gateway.in_flight(), 0);
}

#[tokio::test]
async fn a_client_that_goes_away_frees_its_place() {
    let server = limited(Limits { in_flight: 1, ..Limits::default() }).start().await;
    let mut socket = server.connect().await;
    socket.write_all(b"GET /hold HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    server.gate.entered.notified().await;
    drop(socket);
    while server.gateway.in_flight() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.get("/echo").await.status, 200);
}

#[tokio::test]
async fn connections_over_the_bound_are_told_so() {
    let server = limited(Limits { connections: 1, ..Limits::default() }).start().await;
    let mut first = server.connect().await;
    first.write_all(b"GET /echo HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert_eq!(read_one(&mut first).await.status, 200);
    let refused = server.get("/echo").await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert_eq!(refused.json()["type"], "urn:weft:problem:overloaded");
    let length: usize = refused.header("content-length").unwrap().parse().unwrap();
    assert_eq!(refused.body.len(), length);
    first.write_all(b"GET /echo HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert_eq!(read_one(&mut first).await.status, 200, "those that are in are not disturbed");
}

#[tokio::test]
async fn draining_finishes_what_is_in_work_and_takes_nothing_new() {
    let server = Setup::default().start().await;
    let mut idle = server.connect().await;
    idle.write_all(b"GET /echo HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert_eq!(read_one(&mut idle).await.status, 200);
    let mut busy = server.connect().await;
    busy.write_all(b"GET /hold HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    server.gate.entered.notified().await;
    server.stop.send(()).unwrap();
    assert_eq!(read_to_end(&mut idle).await, "", "an idle connection is closed");
    assert!(tokio::net::TcpStream::connect(server.address).await.is_err(), "nobody listens");
    server.gate.open.notify_one();
    let held = read_one(&mut busy).await;
    assert_eq!(held.body, "held");
    assert_eq!(server.served.await.unwrap(), Drained { cut_off: 0 });
    assert_eq!(busy.read(&mut [0]).await.unwrap(), 0, "closed after its answer");
}

#[tokio::test]
async fn draining_cuts_off_what_does_not_finish() {
    let server = Setup::default().start_with_drain(SHORT).await;
    let mut busy = server.connect().await;
    busy.write_all(b"GET /hold HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    server.gate.entered.notified().await;
    server.stop.send(()).unwrap();
    assert_eq!(server.served.await.unwrap(), Drained { cut_off: 1 });
    assert_eq!(read_to_end(&mut busy).await, "");
    assert_eq!(server.gateway.in_flight(), 0);
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let server = Setup::default().start().await;
    let error = weft_gateway::bind(server.address).await.unwrap_err();
    assert!(matches!(error, BindError::InUse { address } if address == server.address));
    assert!(error.to_string().contains(&format!("port {}", server.address.port())), "{error}");
}
