//! `weft up --watch` with a manifest whose bounds, keys and priorities change while a request is in work: it ends under what it
//! began with, and the next ones keep to what is new.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;
use weft_tests::isolation::{assert_problem, component};
use weft_tests::platform::{Options, Platform};
use weft_tests::wait::eventually;

struct Reloaded {
    platform: Platform,
    manifest: PathBuf,
    _folder: TempDir,
}

impl Reloaded {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let manifest = folder.path().join("spin.toml");
        let text = format!(
            r#"spin_manifest_version = 2
[application]
name = "reloaded"
[variables]
greeting = {{ default = "hello" }}
jwt_private_key = {{ default = "", secret = true }}
[application.tool.weft.contexts]
ours = {{}}
[application.tool.weft.auth]
issuer = "education-platform"
audience = "microservices"
keys = [{{ variable = "jwt_private_key" }}]
[application.tool.weft.gateway]
max_body_bytes = 1000
max_connections = 100
[application.tool.weft.routes]
"POST /probe" = {{ component = "probe", public = true, priority = "high" }}
"GET /hello" = "hello"
[[trigger.http]]
route = "/probe"
component = "probe"
[[trigger.http]]
route = "/hello"
component = "hello"
[component.hello]
source = {:?}
[component.hello.tool.weft]
[component.probe]
source = {:?}
[component.probe.tool.weft]
context = "ours"
calls = {{ "example:probe/behaviour@1.0.0" = "callee" }}
topics = ["probe.*"]
variables = {{ greeting = "{{{{ greeting }}}}" }}
[component.callee]
source = {:?}
[component.callee.tool.weft]
key_value_stores = ["default"]
"#,
            component("hello"),
            component("probe"),
            component("probe_callee")
        );
        std::fs::write(&manifest, text).expect("the manifest is written");
        let options = Options { manifest: manifest.clone(), options: vec!["--watch".to_owned()], ..Options::default() };
        Self { platform: Platform::start_with(&options), manifest, _folder: folder }
    }

    fn change(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(&self.manifest).expect("the manifest");
        assert!(text.contains(from), "{from}");
        std::fs::write(&self.manifest, text.replace(from, to)).expect("the manifest is written");
    }

    fn weft(&self, arguments: &[&str]) -> Result<String, String> {
        let (status, stdout, why) = self.platform.weft(arguments);
        if status.success() { Ok(stdout) } else { Err(why) }
    }

    fn overload(&self) -> Value {
        serde_json::from_str(&self.weft(&["overload", "--json"]).expect("a report")).expect("JSON")
    }
}

/// A request whose body has not come to its end.
struct Begun {
    socket: TcpStream,
    rest: String,
}

impl Begun {
    fn new(platform: &Platform) -> Self {
        let address = platform.url().strip_prefix("http://").expect("an address");
        let mut socket = TcpStream::connect(address).expect("a connection");
        let body = json!({ "call": { "key": "k".repeat(500), "what": "echo" } }).to_string();
        let head = format!(
            "POST /probe HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let (first, rest) = body.split_at(20);
        socket.write_all(format!("{head}{first}").as_bytes()).expect("the host reads");
        Self { socket, rest: rest.to_owned() }
    }

    fn expect_answer(mut self) {
        self.socket.write_all(self.rest.as_bytes()).expect("the host reads");
        let mut answer = String::new();
        self.socket.read_to_string(&mut answer).expect("the host answers");
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains(&"k".repeat(500)), "{answer}");
    }
}

#[test]
fn bounds_and_keys_change_while_a_request_is_in_work() {
    let host = Reloaded::start();
    let platform = &host.platform;
    let large = || platform.post("/probe", &json!({ "call": { "key": "k".repeat(500), "what": "echo" } })).send();
    assert_eq!(large().status, 200);
    assert!(host.weft(&["api-keys", "create", "--owner", "u1"]).is_err(), "no keys are taken");

    let begun = Begun::new(platform);
    eventually("the request is in work", || {
        let report = host.overload();
        // It has waited for its client since it was let in, and holds no place meanwhile.
        let high =
            report["classes"].as_array().and_then(|classes| classes.iter().find(|class| class["priority"] == "high"));
        if high.is_some_and(|high| high["admitted"] == 2) { Ok(()) } else { Err(report) }
    });
    host.change(
        "max_body_bytes = 1000\nmax_connections = 100",
        "max_body_bytes = 100\nmax_connections = 200\nmax_concurrent = 30",
    );
    eventually("bodies are bounded anew", || if large().status == 413 { Ok(()) } else { Err(platform.log()) });
    assert_problem(&large(), 413, "body-too-large");
    assert_eq!(host.overload()["max"], 30);
    begun.expect_answer();

    host.change("audience = \"microservices\"", "audience = \"microservices\"\napi_keys = true\ntier_claim = \"plan\"");
    let made = eventually("keys are taken", || host.weft(&["api-keys", "create", "--owner", "u1", "--json"]));
    let made: Value = serde_json::from_str(&made).expect("JSON");
    let key = made["key"].as_str().expect("a key");
    assert_eq!(platform.get("/hello").header("x-api-key", key).send().status, 200);
    assert_problem(&platform.get("/hello").send(), 401, "token-missing");
    host.change("api_keys = true\n", "");
    eventually("keys are taken no more", || {
        let answer = platform.get("/hello").header("x-api-key", key).send();
        if answer.status == 401 { Ok(()) } else { Err(answer) }
    });
    assert!(host.weft(&["api-keys", "list"]).is_err());
}

#[test]
fn the_adaptive_limit_follows_the_manifest() {
    let host = Reloaded::start();
    assert_eq!(host.overload()["enabled"], true);
    assert!(host.weft(&["overload"]).is_ok_and(|said| said.contains("PRIORITY") && said.contains("critical")));
    host.change(
        "[application.tool.weft.routes]",
        "[application.tool.weft.gateway.overload]\nenabled = false\n[application.tool.weft.routes]",
    );
    eventually("it is off", || {
        let report = host.overload();
        if report["enabled"] == false { Ok(()) } else { Err(report) }
    });
    assert!(host.weft(&["overload"]).is_ok_and(|said| said.starts_with("limit    none")));
}
