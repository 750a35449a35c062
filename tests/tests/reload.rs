//! Manifests that change while requests are in work, by `weft up --watch` and by `weft reload`: each request ends under what it began with,
//! and the next ones keep to what is new.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

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
        Self::with(platform, &json!({ "call": { "key": "k".repeat(500), "what": "echo" } }))
    }

    fn with(platform: &Platform, script: &Value) -> Self {
        let address = platform.url().strip_prefix("http://").expect("an address");
        let mut socket = TcpStream::connect(address).expect("a connection");
        let body = script.to_string();
        let head = format!(
            "POST /probe HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let (first, rest) = body.split_at(20);
        socket.write_all(format!("{head}{first}").as_bytes()).expect("the host reads");
        Self { socket, rest: rest.to_owned() }
    }

    fn answer(mut self) -> String {
        self.socket.write_all(self.rest.as_bytes()).expect("the host reads");
        let mut answer = String::new();
        self.socket.read_to_string(&mut answer).expect("the host answers");
        answer
    }

    fn expect_answer(self) {
        let answer = self.answer();
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

/// A manifest of which all parts say which one it is: what the gateway puts on every answer, the rules of its route, the variables of its
/// function. The components have other names each time, so that those of before are gone.
fn numbered(number: usize) -> String {
    format!(
        r#"spin_manifest_version = 2
[application]
name = "numbered"
[variables]
greeting = {{ default = "{number}" }}
[application.tool.weft.contexts]
ours = {{}}
[application.tool.weft.gateway.headers]
referrer_policy = "{number}"
[application.tool.weft.gateway.transforms.mark.response]
headers = {{ set = {{ x-manifest = "{number}" }} }}
[application.tool.weft.routes]
"POST /probe" = {{ component = "probe-n{number}", public = true, priority = "high", deadline_ms = 30000 }}
[[trigger.http]]
route = "/probe"
component = "probe-n{number}"
[component.probe-n{number}]
source = {:?}
[component.probe-n{number}.tool.weft]
context = "ours"
calls = {{ "example:probe/behaviour@1.0.0" = "callee-n{number}" }}
topics = ["probe.*"]
variables = {{ greeting = "{{{{ greeting }}}}" }}
deadline_ms = 30000
[component.callee-n{number}]
source = {:?}
[component.callee-n{number}.tool.weft]
key_value_stores = ["default"]
"#,
        component("probe"),
        component("probe_callee")
    )
}

fn script() -> Value {
    json!({ "in_turn": [
        { "variable": { "name": "greeting" } },
        { "sleep": { "ms": 5 } },
        { "call": { "key": "k", "what": "echo" } },
    ] })
}

/// The number of the manifest that an answer belongs to.
fn belongs_to(platform: &Platform) -> String {
    let answer = platform.post("/probe", &script()).send();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let said = &answer.json()["answer"];
    let number = answer.headers["x-manifest"].clone();
    assert_eq!(answer.headers["referrer-policy"], number, "the gateway's and the route's");
    assert_eq!(said[0]["Ok"], *number, "the function's: {said}");
    assert_eq!(said[2]["Ok"], "k", "what it calls is there: {said}");
    number
}

#[test]
fn no_request_is_dropped_and_each_belongs_to_one_manifest() {
    const RELOADS: usize = 20;
    const CLIENTS: usize = 4;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let manifest = folder.path().join("spin.toml");
    std::fs::write(&manifest, numbered(0)).expect("the manifest is written");
    let platform = Platform::start_with(&Options { manifest: manifest.clone(), ..Options::default() });
    let is_over = AtomicBool::new(false);
    let asked: Vec<usize> = std::thread::scope(|scope| {
        let client = || {
            let mut asked = 0;
            while !is_over.load(Ordering::Relaxed) {
                belongs_to(&platform);
                asked += 1;
            }
            asked
        };
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        for number in 1..=RELOADS {
            std::fs::write(&manifest, numbered(number)).expect("the manifest is written");
            let (status, said, why) = platform.weft(&["reload"]);
            if !status.success() || belongs_to(&platform) != number.to_string() {
                is_over.store(true, Ordering::Relaxed);
                panic!("manifest {number} is not taken up: {said}{why}");
            }
        }
        is_over.store(true, Ordering::Relaxed);
        clients.into_iter().map(|client| client.join().expect("every request has its answer")).collect()
    });
    assert!(asked.iter().all(|asked| *asked > 0), "{asked:?}");
}

#[test]
fn a_request_ends_on_functions_that_are_gone_from_the_manifest() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let manifest = folder.path().join("spin.toml");
    std::fs::write(&manifest, numbered(1)).expect("the manifest is written");
    let platform = Platform::start_with(&Options { manifest: manifest.clone(), ..Options::default() });
    let begun = Begun::with(&platform, &script());
    eventually("the request is in work", || {
        let report: Value = serde_json::from_str(&platform.weft(&["overload", "--json"]).1).expect("JSON");
        let classes = report["classes"].as_array().expect("classes");
        let is_there = classes.iter().any(|class| class["priority"] == "high" && class["admitted"] == 1);
        if is_there { Ok(()) } else { Err(report) }
    });
    std::fs::write(&manifest, numbered(2)).expect("the manifest is written");
    assert!(platform.weft(&["reload"]).0.success(), "{}", platform.log());
    assert_eq!(belongs_to(&platform), "2");
    let answer = begun.answer();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("x-manifest: 1\r\n"), "{answer}");
    assert!(answer.contains("{\"Ok\":\"1\"}") && answer.contains("{\"Ok\":\"k\"}"), "{answer}");
}
