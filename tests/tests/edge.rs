//! What the manifest switches on at the edge, in the real host: compression, pages of other origins, trusted proxies, and
//! keys that an issuer publishes.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::EncodePrivateKey as _;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use serde_json::{Value, json};
use weft_tests::isolation::{assert_problem, component};
use weft_tests::platform::{Options, Platform};
use weft_tests::repository;
use weft_tests::tokens::Token;
use weft_tests::wait::eventually;

#[test]
fn the_manifest_switches_it_on() {
    let manifest = repository::root().join("tests/applications/edge/spin.toml");
    let platform = Platform::start_with(&Options { manifest, ..Options::default() });
    let plain = platform.get("/fixed").send();
    assert_eq!((plain.status, plain.header("content-encoding")), (200, None));
    let gzip = platform.get("/fixed").header("accept-encoding", "gzip").send();
    assert_eq!(gzip.header("content-encoding"), Some("gzip"), "{gzip:?}");
    assert!(gzip.body.len() < plain.body.len(), "{} of {} bytes", gzip.body.len(), plain.body.len());
    let preflight = platform
        .request("OPTIONS", "/hello")
        .header("origin", "https://app.example")
        .header("access-control-request-method", "POST")
        .send();
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.header("access-control-allow-origin"), Some("https://app.example"));
    let refused = platform.get("/nowhere").header("origin", "https://app.example").send();
    assert_problem(&refused, 404, "no-route");
    assert_eq!(refused.header("access-control-allow-origin"), Some("https://app.example"));
    let forwarded = platform.get("/hello").header("x-forwarded-for", "198.51.100.1, 203.0.113.7").send();
    assert_eq!(forwarded.status, 200);
    eventually("the access log has the client", || {
        let log = platform.log();
        if log.contains("203.0.113.7:0") { Ok(()) } else { Err(log) }
    });
    assert!(!platform.log().contains("198.51.100.1"), "and not what the client says of itself");
}

#[test]
fn rules_change_requests_and_answers_and_middleware_stands_before_a_route() {
    let manifest = repository::root().join("tests/applications/edge/spin.toml");
    let platform = Platform::start_with(&Options { manifest, ..Options::default() });
    let changed = platform.get("/v2/hello?name=ada").send();
    assert_eq!((changed.status, changed.header("x-version")), (200, Some("2")));
    assert_eq!(changed.json(), json!({ "greeting": "Hello, rules!", "version": 2 }));
    let plain = platform.get("/hello?name=ada").send();
    assert_eq!((plain.json(), plain.header("x-version")), (json!({ "message": "Hello, ada!" }), None));
    let refused = platform.get("/v2/guarded").send();
    assert_eq!(refused.status, 403, "{refused:?}");
    let guarded = platform.get("/v2/guarded").header("x-word", "sesame").send();
    assert_eq!((guarded.status, guarded.json()), (200, json!({ "greeting": "Hello, rules!", "version": 2 })));
    // One way to a component is guarded, and no other.
    assert_eq!(platform.get("/hello").send().status, 200);
    let (_, routes, _) = platform.weft(&["routes"]);
    assert!(routes.contains("hello-behind-1"), "{routes}");
}

#[test]
fn a_path_is_served_by_host() {
    let manifest = repository::root().join("tests/applications/edge/spin.toml");
    let platform = Platform::start_with(&Options { manifest, ..Options::default() });
    let ask = |host: &str| platform.get("/tenant").header("host", host).send();
    assert_eq!(ask("A.example:3000").status, 200);
    assert_eq!(ask("x.b.example").status, 403, "its own middleware refuses");
    assert_problem(&ask("b.example"), 404, "no-route");
    assert_problem(&platform.get("/tenant").send(), 404, "no-route");
    let (_, routes, _) = platform.weft(&["routes", "--json"]);
    let routes: Vec<Value> = serde_json::from_str(&routes).expect("JSON");
    let hosts: Vec<&Value> =
        routes.iter().filter(|route| route["path"] == "/tenant").map(|route| &route["hosts"]).collect();
    assert_eq!(hosts, [&json!(["a.example"]), &json!(["*.b.example"])]);
}

#[test]
fn bodies_are_held_against_their_schemas() {
    let manifest = repository::root().join("tests/applications/edge/spin.toml");
    let platform = Platform::start_with(&Options { manifest, ..Options::default() });
    let send = |body: &str| platform.request("POST", "/v2/hello").body(body).send();
    for good in ["", "{\"name\": \"ada\"}"] {
        assert_eq!(send(good).status, 200, "{good}");
    }
    assert_problem(&send("{"), 400, "malformed-json");
    let wrong = send("{\"name\": 7, \"colours\": [\"red\", {}]}");
    assert_eq!((wrong.status, &wrong.json()["type"]), (422, &json!("urn:weft:problem:invalid-body")), "{wrong:?}");
    let errors = wrong.json()["errors"].as_array().cloned().unwrap_or_default();
    let pointers: Vec<_> = errors.iter().map(|error| error["pointer"].as_str().unwrap_or_default()).collect();
    assert_eq!(pointers, ["/name", "/colours/1"], "{errors:?}");
}

/// An issuer of tokens that publishes its keys.
struct Issuer {
    address: SocketAddr,
    published: Arc<Mutex<String>>,
}

impl Issuer {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let published = Arc::new(Mutex::new(String::new()));
        let answers = Arc::clone(&published);
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let Ok(mut socket) = socket else { return };
                // The request is small and comes at once; what it says is always the same.
                let _ = socket.read(&mut [0; 4096]);
                let body = answers.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                let _ = socket.write_all(format!("{head}{body}").as_bytes());
            }
        });
        Self { address, published }
    }

    fn publish(&self, key: &SigningKey) {
        let x = URL_SAFE_NO_PAD.encode(key.verifying_key().as_bytes());
        let set: Value = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": x, "use": "sig" }] });
        *self.published.lock().expect("nobody panics") = set.to_string();
    }
}

#[test]
fn an_issuer_publishes_the_keys_of_its_tokens() {
    let (issuer, folder) = (Issuer::start(), tempfile::tempdir().expect("a temporary folder"));
    let key = SigningKey::from_bytes(&[7; 32]);
    issuer.publish(&key);
    let manifest = folder.path().join("spin.toml");
    let text = format!(
        r#"spin_manifest_version = 2
[application]
name = "issued"
[application.tool.weft.auth]
issuer = "education-platform"
audience = "microservices"
keys = [{{ jwks_url = "http://{}/keys" }}]
[application.tool.weft.routes]
"GET /hello" = "hello"
[[trigger.http]]
route = "/hello"
component = "hello"
[component.hello]
source = {:?}
[component.hello.tool.weft]
"#,
        issuer.address,
        component("hello")
    );
    std::fs::write(&manifest, text).expect("the manifest can be written");
    let platform = Platform::start_with(&Options { manifest, ..Options::default() });
    assert_problem(&platform.get("/hello").send(), 401, "token-missing");
    let pem = |key: &SigningKey| key.to_pkcs8_pem(LineEnding::LF).expect("a key").to_string();
    let token = Token::default().encode(&pem(&key));
    assert_eq!(platform.get("/hello").token(&token).send().status, 200);
    let forged = Token::default().encode(&pem(&SigningKey::from_bytes(&[8; 32])));
    assert_problem(&platform.get("/hello").token(&forged).send(), 401, "token-invalid");
}
