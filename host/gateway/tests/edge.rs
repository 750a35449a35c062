//! The protocol edge: whose word counts on where a request comes from, which pages may call, what restrains a browser,
//! and in which form an answer is sent.

use std::io::Read as _;

use crate::common::{self, Got, Server, Setup, protected, public, read_one};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use weft_core::manifest::{Compression, Cors, Gateway, SecurityHeaders};
use weft_gateway::Policy;

/// A gateway with this of its manifest.
fn edge(change: impl FnOnce(&mut Gateway)) -> Setup {
    let mut gateway = Gateway::default();
    change(&mut gateway);
    let routes = vec![
        public("* /echo", "echo"),
        public("GET /json", "json"),
        public("GET /small", "small"),
        public("GET /pieces", "pieces"),
        public("GET /pieces-small", "pieces-small"),
        public("GET /paused", "paused"),
        public("GET /events", "events"),
        public("GET /encoded", "encoded"),
        public("GET /headers", "headers"),
        public("GET /cors", "cors"),
        public("GET /function-trapped", "function-trapped"),
        public("GET /empty", "empty"),
    ];
    Setup { policy: Policy::from(&gateway), ..Setup::default() }.with_routes(routes)
}

fn local_proxies(gateway: &mut Gateway) {
    gateway.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
}

#[tokio::test]
async fn a_trusted_proxy_tells_the_client_and_the_scheme() {
    let server = edge(local_proxies).start().await;
    let headers =
        [("x-forwarded-for", "1.2.3.4, 203.0.113.7"), ("x-forwarded-proto", "https"), ("x-real-ip", "1.2.3.4")];
    let seen = server.send("GET", "/echo", &headers, "").await.json()["headers"].take();
    assert_eq!(seen["x-forwarded-for"], "203.0.113.7, 127.0.0.1", "what the client said of itself is gone");
    assert_eq!(seen["x-forwarded-proto"], "https");
    assert_eq!(seen["spin-client-addr"], "203.0.113.7:0");
    assert_eq!(seen["spin-full-url"], "https://weft.test/echo");
    let server = edge(|_| {}).start().await;
    let seen = server.send("GET", "/echo", &headers, "").await.json()["headers"].take();
    assert_eq!((&seen["x-forwarded-for"], &seen["x-forwarded-proto"]), (&"127.0.0.1".into(), &"http".into()));
    assert!(seen["spin-client-addr"].as_str().unwrap().starts_with("127.0.0.1:"));
}

#[tokio::test]
async fn a_proxy_header_is_read_from_trusted_proxies_alone() {
    let proxied = |gateway: &mut Gateway| {
        local_proxies(gateway);
        gateway.proxy_protocol = true;
    };
    let request = "GET /echo HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let header = "PROXY TCP4 203.0.113.7 10.0.0.1 4711 80\r\n";
    let server = edge(proxied).start().await;
    let seen = Got::parse(&server.raw(format!("{header}{request}")).await).json();
    assert_eq!(seen["headers"]["spin-client-addr"], "203.0.113.7:4711");
    assert_eq!(seen["headers"]["x-forwarded-for"], "203.0.113.7");
    // The client behind it is not trusted, whatever the load balancer is.
    let forged = "GET /echo HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 1.2.3.4\r\nconnection: close\r\n\r\n";
    let seen = Got::parse(&server.raw(format!("{header}{forged}")).await).json();
    assert_eq!(seen["headers"]["x-forwarded-for"], "203.0.113.7");
    assert_eq!(server.raw(request).await, "", "the header is missing");
    // Elsewhere it is no HTTP.
    let server = edge(|gateway| gateway.proxy_protocol = true).start().await;
    assert!(server.raw(format!("{header}{request}")).await.starts_with("HTTP/1.1 400 "));
}

#[tokio::test]
async fn a_proxy_header_that_does_not_come_ends_the_connection() {
    let mut setup = edge(|gateway| {
        local_proxies(gateway);
        gateway.proxy_protocol = true;
    });
    setup.limits.head_timeout = std::time::Duration::from_millis(50);
    let server = setup.start().await;
    assert_eq!(server.raw("PROXY TCP4").await, "");
}

fn cors(change: impl FnOnce(&mut Cors)) -> Setup {
    let mut cors = Cors {
        origins: vec!["https://app.example".parse().unwrap(), "https://*.shop.example".parse().unwrap()],
        credentials: true,
        methods: vec!["GET".into(), "PUT".into()],
        headers: vec!["content-type".into(), "authorization".into()],
        expose: vec!["x-request-id".into()],
        max_age_s: 60,
    };
    change(&mut cors);
    edge(move |gateway| gateway.cors = Some(cors))
}

const APP: (&str, &str) = ("origin", "https://app.example");

#[tokio::test]
async fn a_preflight_is_answered_before_token_and_function() {
    let server = cors(|_| {}).start().await;
    let asks = [APP, ("access-control-request-method", "PUT"), ("access-control-request-headers", "authorization")];
    for path in ["/echo", "/nowhere"] {
        let got = server.send("OPTIONS", path, &asks, "").await;
        assert_eq!((got.status, &*got.body), (204, ""));
        for (name, value) in [
            ("access-control-allow-origin", "https://app.example"),
            ("access-control-allow-credentials", "true"),
            ("access-control-allow-methods", "GET, PUT"),
            ("access-control-allow-headers", "content-type, authorization"),
            ("access-control-max-age", "60"),
            ("vary", "origin, access-control-request-method, access-control-request-headers"),
        ] {
            assert_eq!(got.header(name), Some(value), "{got:?}");
        }
    }
    let others = [("origin", "https://evil.example"), ("access-control-request-method", "PUT")];
    let got = server.send("OPTIONS", "/echo", &others, "").await;
    assert_eq!(got.status, 204);
    assert!(!got.head.contains("access-control-allow"), "{got:?}");
    // No preflight: the function's own.
    let got = server.send("OPTIONS", "/echo", &[APP], "").await;
    assert_eq!((got.status, got.json()["method"].as_str()), (200, Some("OPTIONS")));
}

#[tokio::test]
async fn every_answer_says_whether_the_page_may_see_it() {
    let server = cors(|_| {}).start().await;
    for path in ["/echo", "/nowhere", "/function-trapped", "/livez", "/cors"] {
        let got = server.send("GET", path, &[("origin", "https://eu.shop.example")], "").await;
        assert_eq!(got.header("access-control-allow-origin"), Some("https://eu.shop.example"), "{path}: {got:?}");
        assert_eq!(got.header("access-control-expose-headers"), Some("x-request-id"));
        assert_eq!(got.header("access-control-allow-credentials"), Some("true"));
        assert_eq!(got.header("vary"), Some("origin"));
        for other in [&[("origin", "https://evil.example")][..], &[("origin", "null")], &[]] {
            let got = server.send("GET", path, other, "").await;
            assert!(!got.head.contains("access-control-allow"), "{path}: {got:?}");
            assert_eq!(got.header("vary"), Some("origin"), "a cache must not give one page the answer to another");
        }
    }
    let too_large = server.raw("POST /echo HTTP/1.1\r\nhost: a\r\norigin: https://app.example\r\ncontent-length: 99999999\r\nconnection: close\r\n\r\n").await;
    let too_large = Got::parse(&too_large);
    assert_eq!((too_large.status, too_large.header("access-control-allow-origin")), (413, Some("https://app.example")));
}

#[tokio::test]
async fn all_pages_may_be_let_in_without_their_cookies() {
    let server = cors(|cors| {
        cors.origins = vec!["*".parse().unwrap()];
        cors.credentials = false;
    });
    let server = server.start().await;
    let got = server.send("GET", "/echo", &[("origin", "https://any.example")], "").await;
    assert_eq!(got.header("access-control-allow-origin"), Some("*"));
    assert_eq!((got.header("access-control-allow-credentials"), got.header("vary")), (None, None));
}

#[tokio::test]
async fn a_page_sees_why_it_was_refused() {
    let setup = cors(|_| {}).with_routes(vec![protected("GET /any", "echo", &[], &[])]);
    // A key, so that the route can be protected.
    let mut keys = weft_gateway::KeySet::default();
    keys.add_pem(include_str!("keys/rsa-public.pem")).unwrap();
    let auth = weft_gateway::AuthSettings::new("i", "a", keys);
    let server = Setup { auth: Some(auth), ..setup }.start().await;
    let got = server.send("GET", "/any", &[APP], "").await;
    assert_eq!((got.status, got.header("access-control-allow-origin")), (401, Some("https://app.example")));
}

#[tokio::test]
async fn headers_that_restrain_a_browser_are_the_manifests_unless_the_function_has_its_own() {
    let server = edge(|gateway| {
        gateway.headers = SecurityHeaders {
            content_security_policy: "default-src 'self'; frame-ancestors 'self'".into(),
            frame_options: "".into(),
            referrer_policy: "same-origin".into(),
            permissions_policy: "camera=()".into(),
        };
    });
    let server = server.start().await;
    for path in ["/echo", "/nowhere"] {
        let got = server.get(path).await;
        for (name, value) in [
            ("content-security-policy", Some("default-src 'self'; frame-ancestors 'self'")),
            ("x-frame-options", None),
            ("referrer-policy", Some("same-origin")),
            ("permissions-policy", Some("camera=()")),
            ("x-content-type-options", Some("nosniff")),
            ("strict-transport-security", None),
        ] {
            assert_eq!(got.header(name), value, "{got:?}");
        }
    }
    assert_eq!(server.get("/headers").await.header("x-frame-options"), Some("SAMEORIGIN"), "the function's own");
}

#[tokio::test]
async fn new_rules_hold_for_the_next_request() {
    let server = edge(|_| {}).start().await;
    let mut socket = server.connect().await;
    let request = b"GET /echo HTTP/1.1\r\nhost: a\r\norigin: https://app.example\r\n\r\n";
    socket.write_all(request).await.unwrap();
    assert_eq!(read_one(&mut socket).await.header("access-control-allow-origin"), None);
    let mut gateway = Gateway::default();
    gateway.headers.referrer_policy = "".into();
    server.deploy(|deployment| deployment.policy = Policy::from(&gateway));
    socket.write_all(request).await.unwrap();
    assert_eq!(read_one(&mut socket).await.header("referrer-policy"), None, "on the same connection");
}

/// The head as text, and the body as bytes without its chunks.
async fn fetched(server: &Server, path: &str, accepted: &str) -> (Got, Vec<u8>) {
    let stream = server.connect().await;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get(path).header("host", "a").header("accept-encoding", accepted);
    let request = request.body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap();
    let (head, body) = sender.send_request(request).await.unwrap().into_parts();
    let mut text = format!("HTTP/1.1 {} \r\n", head.status.as_u16());
    for (name, value) in &head.headers {
        text += &format!("{name}: {}\r\n", value.to_str().unwrap());
    }
    (Got::parse(&format!("{text}\r\n")), body.collect().await.unwrap().to_bytes().to_vec())
}

fn plain(coding: &str, bytes: &[u8]) -> String {
    let mut out = String::new();
    match coding {
        "gzip" => flate2::read::GzDecoder::new(bytes).read_to_string(&mut out),
        "br" => brotli::Decompressor::new(bytes, 4096).read_to_string(&mut out),
        "zstd" => zstd::stream::read::Decoder::new(bytes).unwrap().read_to_string(&mut out),
        other => panic!("{other}"),
    }
    .unwrap();
    out
}

fn compressing() -> Setup {
    edge(|gateway| gateway.compression = Some(Compression::default()))
}

#[tokio::test]
async fn an_answer_is_compressed_as_the_client_likes_it() {
    let server = compressing().start().await;
    let expected = common::LONG_JSON.repeat(100);
    for path in ["/json", "/pieces"] {
        for coding in ["gzip", "br", "zstd"] {
            let (got, bytes) = fetched(&server, path, coding).await;
            assert_eq!(got.header("content-encoding"), Some(coding), "{path}: {got:?}");
            assert_eq!(got.header("vary"), Some("accept-encoding"));
            assert_eq!(got.header("content-length"), None);
            assert!(bytes.len() * 4 < expected.len(), "{}", bytes.len());
            assert_eq!(plain(coding, &bytes), expected);
        }
        let (got, bytes) = fetched(&server, path, "identity").await;
        assert_eq!((got.header("content-encoding"), got.header("vary")), (None, Some("accept-encoding")));
        assert_eq!(bytes, expected.as_bytes());
    }
    let (got, _) = fetched(&server, "/json", "gzip").await;
    assert_eq!((got.header("etag"), got.header("accept-ranges")), (Some("W/\"1\""), None));
    let (got, _) = fetched(&server, "/json", "").await;
    assert_eq!((got.header("etag"), got.header("accept-ranges")), (Some("\"1\""), Some("bytes")));
}

#[tokio::test]
async fn what_gains_nothing_by_it_is_left_as_it_is() {
    let server = compressing().start().await;
    for path in ["/small", "/pieces-small", "/events", "/encoded", "/empty", "/livez", "/nowhere"] {
        let (got, _) = fetched(&server, path, "gzip, br, zstd").await;
        let own = (path == "/encoded").then_some("gzip");
        assert_eq!(got.header("content-encoding"), own, "{path}: {got:?}");
    }
    let (got, bytes) = fetched(&server, "/pieces-small", "gzip").await;
    assert_eq!((got.header("content-length"), &*bytes), (Some("8"), &b"{\"a\":42}"[..]));
    let head = server.send("HEAD", "/json", &[("accept-encoding", "gzip")], "").await;
    let length = (common::LONG_JSON.len() * 100).to_string();
    assert_eq!((head.header("content-encoding"), head.header("content-length")), (None, Some(&*length)));
    // Off unless the manifest says so.
    let (got, _) = fetched(&edge(|_| {}).start().await, "/json", "gzip").await;
    assert_eq!((got.header("content-encoding"), got.header("vary")), (None, None));
}

#[tokio::test]
async fn a_stream_is_compressed_and_stays_one() {
    let server = compressing().start().await;
    let mut socket = server.connect().await;
    socket
        .write_all(b"GET /paused HTTP/1.1\r\nhost: a\r\naccept-encoding: gzip\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut bytes = Vec::new();
    // The function has not ended: what it has written so far comes all the same.
    while !contains(&bytes, "first part") {
        assert_ne!(socket.read_buf(&mut bytes).await.unwrap(), 0, "closed early");
    }
    assert!(String::from_utf8_lossy(&bytes).contains("content-encoding: gzip"));
    server.gate.open.notify_one();
    while !contains(&bytes, "second part") {
        assert_ne!(socket.read_buf(&mut bytes).await.unwrap(), 0, "closed early");
    }
}

/// Whether the chunks that have come hold this once they are decompressed.
fn contains(answer: &[u8], word: &str) -> bool {
    let Some(at) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let (mut rest, mut body) = (&answer[at + 4..], Vec::new());
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        let Ok(length) = usize::from_str_radix(&String::from_utf8_lossy(&rest[..end]), 16) else { break };
        let data = &rest[end + 2..];
        body.extend_from_slice(&data[..length.min(data.len())]);
        rest = data.get(length + 2..).unwrap_or_default();
    }
    let mut out = Vec::new();
    let _ = flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut out);
    String::from_utf8_lossy(&out).contains(word)
}
