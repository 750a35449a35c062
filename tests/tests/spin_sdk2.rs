//! Requests and streams of an application that was built with version 2 of Spin's SDK, whose HTTP and streams are those of
//! a snapshot of WASI 0.2: they go the way of the release's, under the same grants and limits.

use std::net::TcpListener;

use weft_tests::isolation::assert_problem;
use weft_tests::platform::{Options, Platform};
use weft_tests::repository;

fn application() -> Options {
    Options { manifest: repository::root().join("tests/applications/spin-sdk2/spin.toml"), ..Options::default() }
}

fn asked(platform: &Platform, path: &str, url: &str, body: &str) -> (u16, String) {
    let answer = platform.request("POST", path).header("x-url", url).body(body).send();
    (answer.status, answer.text())
}

#[test]
fn bodies_are_streamed() {
    let platform = Platform::start_with(&application());
    for length in [0, 1, 16 * 1024, 700_000] {
        let body: String = ('a'..='z').cycle().take(length).collect();
        let (status, text) = asked(&platform, "/old/echo", "", &body);
        assert_eq!(status, 200);
        assert!(text == body, "{length} bytes came back as {}", text.len());
    }
}

#[test]
fn requests_go_where_they_may() {
    let platform = Platform::start_with(&application());
    let fetched = |url: &str, body: &str| asked(&platform, "/old/fetch", url, body);
    // The SDK sends all of it before it reads what comes back, so it has to fit into what is under way.
    let body = "x".repeat(100_000);
    assert_eq!(fetched("http://back.spin.internal/echo", &body), (200, format!("200\n{body}")));
    assert_eq!(fetched("http://self.alt/gone", ""), (200, "410\n".to_owned()));
    // A URL without a host is the application's own.
    assert_eq!(fetched("/gone", ""), (200, "410\n".to_owned()));
    for url in ["http://old.spin.internal/echo", "http://locked.spin.internal/echo", "http://127.0.0.1:1/"] {
        let (status, why) = fetched(url, "");
        assert!(status == 502 && why.contains("UnexpectedError") && why.contains("HttpRequestDenied"), "{url}: {why}");
    }
    for url in ["http://back.spin.internal/echo", "http://self.alt/gone", "/gone"] {
        let (status, why) = asked(&platform, "/locked/fetch", url, "");
        assert!(status == 502 && why.contains("HttpRequestDenied"), "{url}: {why}");
    }
}

#[test]
fn a_request_waits_as_long_as_it_says() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", silent.local_addr().expect("its address"));
    let platform = Platform::start_with(&application().env("SPIN_VARIABLE_ENDPOINT", &endpoint));
    let (status, why) = asked(&platform, "/old/wait", &format!("{endpoint}/"), "");
    assert!(status == 502 && why.contains("TimeoutError"), "{why}");
    assert_eq!(asked(&platform, "/old/wait", "http://self.alt/gone", ""), (200, "410\n".to_owned()));
}

#[test]
fn what_an_instance_may_hold_is_bounded() {
    let platform = Platform::start_with(&application());
    assert_problem(&platform.get("/old/hold").send(), 502, "resource-limit-exceeded");
    assert_eq!(asked(&platform, "/old/echo", "", "x"), (200, "x".to_owned()));
    assert!(platform.log().contains("opened more handles than it may"), "{}", platform.log());
}
