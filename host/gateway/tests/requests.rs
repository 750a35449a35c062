//! Routes, ids, headers, and what a function sees of a request.

use crate::common::{self, Setup, public};
use weft_core::Reason;
use weft_core::manifest::{Gateway, Route};
use weft_gateway::{Deployment, Policy};

fn routes() -> Setup {
    Setup::default().with_routes(vec![
        public("GET /api/courses", "echo"),
        public("POST /api/courses", "echo"),
        public("GET /api/courses/:course_id/parts/:n", "echo"),
        public("* /files/...", "echo"),
        public("GET /headers", "headers"),
    ])
}

#[tokio::test]
async fn a_function_sees_what_spin_would_show_it() {
    let server = routes().start().await;
    let seen = server.get("/api/courses/a%20b/parts/7?q=%2F").await.json();
    assert_eq!(seen["params"], serde_json::json!([["course_id", "a b"], ["n", "7"]]));
    assert_eq!(seen["route"], "/api/courses/:course_id/parts/:n");
    let headers = &seen["headers"];
    for (name, value) in [
        ("spin-path-info", ""),
        ("spin-full-url", "http://weft.test/api/courses/a%20b/parts/7?q=%2F"),
        ("spin-matched-route", "/api/courses/:course_id/parts/:n"),
        ("spin-raw-component-route", "/api/courses/:course_id/parts/:n"),
        ("spin-component-route", "/api/courses/:course_id/parts/:n"),
        ("spin-base-path", "/"),
        ("spin-path-match-course-id", "a%20b"),
        ("spin-path-match-n", "7"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
    ] {
        assert_eq!(headers[name], value, "{name}");
    }
    assert!(headers["spin-client-addr"].as_str().unwrap().starts_with("127.0.0.1:"));

    let seen = server.get("/files/a/b/").await.json();
    assert_eq!(seen["headers"]["spin-path-info"], "/a/b/");
    assert_eq!(seen["headers"]["spin-component-route"], "/files");
    assert_eq!(seen["headers"]["spin-matched-route"], "/files/...");
}

#[tokio::test]
async fn headers_that_only_we_may_set_are_taken_off() {
    let server = routes().start().await;
    let forged = [
        ("X-User-ID", "admin"),
        ("x-USER-role", "admin"),
        ("x_user_permissions", "all"),
        ("X-User-Anything", "1"),
        ("Spin-Client-Addr", "6.6.6.6"),
        ("spin-path-match-evil", "1"),
        ("X-Forwarded-For", "6.6.6.6"),
        ("X-Forwarded-Proto", "https"),
        ("Forwarded", "for=6.6.6.6"),
        ("TE", "trailers"),
        ("X-Kept", "yes"),
    ];
    let seen = server.send("GET", "/api/courses", &forged, "").await.json();
    let headers = seen["headers"].as_object().unwrap();
    for (name, value) in headers {
        let value = value.as_str().unwrap();
        assert!(!name.starts_with("x-user") && !name.starts_with("x_user") && name != "te", "{name}");
        assert!(!value.contains("6.6.6.6") && value != "https", "{name}: {value}");
    }
    assert!(!headers.contains_key("spin-path-match-evil"));
    assert_eq!(headers["x-kept"], "yes");
}

#[tokio::test]
async fn a_trusted_proxy_is_believed() {
    let mut setup = routes();
    let trusting = Gateway { trusted_proxies: vec!["127.0.0.1/32".parse().unwrap()], ..Gateway::default() };
    setup.policy = Policy::from(&trusting);
    let server = setup.start().await;
    let forwarded = [("X-Forwarded-For", "9.9.9.9"), ("X-Forwarded-Proto", "https"), ("X-User-ID", "admin")];
    let headers = &server.send("GET", "/api/courses", &forwarded, "").await.json()["headers"];
    assert_eq!(headers["x-forwarded-for"], "9.9.9.9, 127.0.0.1");
    assert_eq!(headers["spin-full-url"], "https://weft.test/api/courses");
    assert!(headers.get("x-user-id").is_none());
}

#[tokio::test]
async fn an_authority_in_the_request_line_outranks_the_host_header() {
    let server = routes().start().await;
    let request = "GET http://real.test/api/courses HTTP/1.1\r\nhost: other.test\r\nconnection: close\r\n\r\n";
    let headers = common::Got::parse(&server.raw(request).await).json()["headers"].clone();
    assert_eq!(headers["host"], "real.test");
    assert_eq!(headers["spin-full-url"], "http://real.test/api/courses");
}

#[tokio::test]
async fn the_host_decides_among_the_routes_of_a_path() {
    let on = |host: &str, text: &str, component: &str| Route {
        hosts: vec![host.parse().unwrap()],
        ..public(text, component)
    };
    let server = Setup::default()
        .with_routes(vec![
            on("a.example", "GET /shop", "echo"),
            on("*.b.example", "GET /shop", "ignore"),
            public("GET /shop", "headers"),
            on("a.example", "PUT /own", "echo"),
        ])
        .start()
        .await;
    let ask = async |target: &str, host: &str| {
        let request = format!("GET {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        common::Got::parse(&server.raw(&request).await)
    };
    for host in ["a.example", "A.EXAMPLE:8080", "a.example."] {
        assert_eq!(ask("/shop", host).await.json()["route"], "/shop", "{host}");
    }
    assert_eq!(ask("/shop", "x.y.b.example").await.body, "ignored");
    for host in ["b.example", "a.example.org", "xa.example"] {
        assert_eq!(ask("/shop", host).await.body.len(), 12, "{host} has the route for all hosts");
    }
    // What the request line has outranks the header.
    assert_eq!(ask("http://x.b.example/shop", "a.example").await.body, "ignored");
    ask("/own", "b.example").await.assert_problem(404, "no-route");
    let refused = ask("/own", "a.example").await;
    refused.assert_problem(405, "method-not-allowed");
    assert_eq!(refused.header("allow"), Some("OPTIONS, PUT"));
}

#[tokio::test]
async fn paths_and_methods_without_a_route_are_refused_as_problems() {
    let server = routes().start().await;
    let problem = server.get("/nothing?secret=1").await.assert_problem(404, "no-route");
    assert_eq!(problem["instance"], "/nothing");
    let refused = server.send("DELETE", "/api/courses", &[], "").await;
    refused.assert_problem(405, "method-not-allowed");
    assert_eq!(refused.header("allow"), Some("GET, HEAD, OPTIONS, POST"));
    for method in ["TRACE", "BREW"] {
        server.send(method, "/api/courses", &[], "").await.assert_problem(405, "method-not-allowed");
    }
}

#[tokio::test]
async fn options_is_answered_and_head_is_served_by_get() {
    let server = routes().start().await;
    let options = server.send("OPTIONS", "/api/courses", &[], "").await;
    assert_eq!((options.status, options.header("allow")), (204, Some("GET, HEAD, OPTIONS, POST")));
    let head = server.send("HEAD", "/headers", &[], "").await;
    assert_eq!((head.status, head.header("content-length"), head.body.as_str()), (200, Some("12"), ""));
}

#[tokio::test]
async fn paths_that_could_be_read_in_two_ways_are_refused() {
    let server = routes().start().await;
    for path in
        ["/files/../api", "/files/%2e%2e/x", "/files/a%2fb", "/files/a%00", "/files/%ff", "/files/a%5c", "/files/%"]
    {
        server.get(path).await.assert_problem(400, "bad-request");
    }
    server.send("OPTIONS", "*", &[], "").await.assert_problem(400, "bad-request");
    server.get("//api/courses").await.assert_problem(404, "no-route");
}

#[tokio::test]
async fn every_answer_has_an_id_a_time_and_a_trace() {
    let server = routes().start().await;
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let got = server.send("GET", "/api/courses", &[("x-request-id", "abc-1"), ("traceparent", parent)], "").await;
    assert_eq!(got.header("x-request-id"), Some("abc-1"));
    assert!(got.header("x-response-time").unwrap().ends_with("ms"));
    let trace = got.header("traceparent").unwrap().to_owned();
    assert!(trace.contains("4bf92f3577b34da6a3ce929d0e0e4736") && trace != parent, "{trace}");
    let seen = got.json();
    assert_eq!((&seen["request_id"], &seen["headers"]["x-request-id"]), (&"abc-1".into(), &"abc-1".into()));
    assert_eq!(seen["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(seen["headers"]["traceparent"], trace);

    for bad in ["a b", &"x".repeat(129)] {
        let made = server.send("GET", "/nothing", &[("x-request-id", bad), ("traceparent", "00-nonsense")], "").await;
        assert_eq!(made.header("x-request-id").unwrap().len(), 36);
        made.assert_problem(404, "no-route");
    }
}

#[tokio::test]
async fn an_answer_leaves_with_our_headers_and_without_those_of_another_connection() {
    let server = routes().start().await;
    let got = server.get("/headers").await;
    assert_eq!(got.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(got.header("x-frame-options"), Some("SAMEORIGIN"), "the function's own stands");
    assert_eq!(got.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(got.header("keep-alive"), None);
    assert_eq!(got.header("connection"), Some("close"), "ours, for the client asked for it");
    assert_ne!(got.header("x-request-id"), Some("forged"));
}

#[tokio::test]
async fn failures_become_problems_that_tell_no_secrets() {
    let mut all: Vec<_> = Reason::ALL.iter().map(|r| public(&format!("GET /{}", r.as_str()), r.as_str())).collect();
    all.extend([public("GET /panic", "panic"), public("GET /panic-later", "panic-later")]);
    let server = Setup::default().with_routes(all).start().await;
    for (name, status) in [
        ("overloaded", 503),
        ("deadline-exceeded", 504),
        ("function-trapped", 502),
        ("cpu-limit-exceeded", 502),
        ("resource-limit-exceeded", 502),
        ("unavailable", 503),
        ("denied", 502),
        ("shutting-down", 503),
        ("cancelled", 503),
        ("internal", 500),
    ] {
        let got = server.get(&format!("/{name}")).await;
        got.assert_problem(status, name);
        assert_eq!(got.header("retry-after").is_some(), status == 503, "{name}");
    }
    server.get("/panic").await.assert_problem(500, "internal");
    server.get("/panic-later").await.assert_problem(500, "internal");
}

#[tokio::test]
async fn routes_change_while_requests_are_in_work() {
    let server = Setup::default().start().await;
    let held = tokio::spawn({
        let mut socket = server.connect().await;
        async move {
            tokio::io::AsyncWriteExt::write_all(&mut socket, b"GET /hold HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
            common::read_one(&mut socket).await
        }
    });
    server.gate.entered.notified().await;
    server.gateway.deploy(Deployment::new(common::table(vec![public("GET /new", "ignore")]), None).unwrap());
    assert_eq!(server.get("/new").await.body, "ignored");
    server.get("/hold").await.assert_problem(404, "no-route");
    server.gate.open.notify_one();
    assert_eq!(held.await.unwrap().body, "held");
}
