//! Requests and answers that rules change, over a real socket: what the function gets, what the client gets, and what becomes
//! of bodies that cannot be changed.
use std::path::Path;

use crate::common::{Server, Setup, public};
use serde_json::{Value, json};
use weft_core::manifest::{Manifest, Route};

/// Answers of the fake function do not say that they are JSON, so a rule says it first.
const RULES: &str = r#"
[request]
path = { strip_prefix = "/v1", add_prefix = "/api" }
query = { remove = ["debug"], set = { format = "json" } }
headers = { remove = ["x-gone"], rename = { x-old = "x-new" }, set = { x-set = "1" }, add = { x-added = "2" } }
json = { remove = ["/secret"], set = { "/source" = "edge" } }
[response]
headers = { set = { content-type = "application/json", x-answer = "yes" } }
json = { remove = ["/trace_id", "/request_id"], rename = { "/uri" = "target" } }
"#;

fn route(route: &str, extra: &str) -> Route {
    let mut text = format!(
        "spin_manifest_version = 2\n[application]\nname = \"x\"\n\
         [application.tool.weft.gateway.transforms.it]\ncomponents = []\n{extra}\n"
    );
    for line in RULES.lines() {
        let line = match line {
            "[request]" => "[application.tool.weft.gateway.transforms.it.request]",
            "[response]" => "[application.tool.weft.gateway.transforms.it.response]",
            other => other,
        };
        text.push_str(line);
        text.push('\n');
    }
    let manifest = Manifest::parse(Path::new("spin.toml"), &text).unwrap_or_else(|problems| panic!("{problems:#?}"));
    Route { transforms: manifest.gateway.transforms, ..public(route, "echo") }
}

async fn server() -> Server {
    let routes =
        vec![route("* /v1/orders/:id", ""), route("* /v1/small", "max_json_bytes = 24"), public("* /echo", "echo")];
    Setup::default().with_routes(routes).start().await
}

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn the_function_gets_the_changed_request_and_the_client_the_changed_answer() {
    let server = server().await;
    let headers = [("x-gone", "1"), ("x-old", "5"), ("range", "bytes=0-1")];
    let got = server.send("GET", "/v1/orders/7?debug=1&a=%2f", &headers, "").await;
    assert_eq!(got.status, 200, "{got:?}");
    let seen = got.json();
    assert_eq!(seen["target"], "/api/orders/7?a=%2f&format=json");
    assert_eq!((&seen["uri"], &seen["trace_id"]), (&Value::Null, &Value::Null));
    assert_eq!(seen["params"], json!([["id", "7"]]), "what the route has found stays");
    let headers = &seen["headers"];
    assert_eq!((&headers["x-new"], &headers["x-set"], &headers["x-added"]), (&json!("5"), &json!("1"), &json!("2")));
    for gone in ["x-gone", "x-old", "range"] {
        assert_eq!(headers[gone], Value::Null, "{gone}");
    }
    assert_eq!(got.header("x-answer"), Some("yes"));
    assert_eq!(got.header("content-length"), Some(got.body.len().to_string().as_str()));
    assert_eq!(server.get("/echo").await.header("x-answer"), None);
}

#[tokio::test]
async fn json_of_requests_is_changed_and_measured_anew() {
    let server = server().await;
    let body = r#"{"secret": "0123456789", "a": 1}"#;
    let seen = server.send("POST", "/v1/orders/7", &[JSON], body).await.json();
    let length = r#"{"a":1,"source":"edge"}"#.len();
    assert_eq!((&seen["body"], &seen["headers"]["content-length"]), (&json!(length), &json!(length.to_string())));
    // Whatever a client says that it is; nothing stays nothing.
    for other in [&[("content-type", "text/plain")][..], &[("content-type", "application/merge-patch+json")], &[]] {
        assert_eq!(server.send("POST", "/v1/orders/7", other, body).await.json()["body"], length, "{other:?}");
    }
    assert_eq!(server.send("POST", "/v1/orders/7", &[JSON], "").await.json()["body"], 0);
}

#[tokio::test]
async fn what_cannot_be_changed_is_refused() {
    let server = server().await;
    let encoded = [JSON, ("content-encoding", "gzip")];
    for (path, headers, body, status, problem) in [
        ("/v1/orders/7", &[JSON][..], "{", 400, "malformed-json"),
        ("/v1/orders/7", &[("content-type", "text/plain")], "plain", 400, "malformed-json"),
        ("/v1/orders/7", &encoded, "{}", 415, "encoded-json"),
        ("/v1/small", &[JSON], r#"{"a": "0123456789012345678"}"#, 413, "body-too-large"),
        // The answer is larger than the rule may read, and may have what it takes away.
        ("/v1/small", &[JSON], "{}", 502, "answer-unchangeable"),
    ] {
        let got = server.send("POST", path, headers, body).await;
        got.assert_problem(status, problem);
        assert_eq!(got.header("x-answer"), None, "rules are for what functions answer");
    }
}
