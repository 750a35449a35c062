//! The OpenAPI document of the education platform: that it is sound, that it has what scenarios see, and that the host
//! serves it with its page.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use toml_edit::DocumentMut;
use weft_tests::isolation::assert_problem;
use weft_tests::platform::{Options, Platform};
use weft_tests::tokens::Token;
use weft_tests::{repository, skip};

/// Where `scripts/schemathesis` puts what it needs.
const VALIDATOR: &str = "target/venv/bin/openapi-spec-validator";

/// What `weft openapi` prints for a manifest; no host runs.
fn printed(manifest: &Path) -> (String, Value) {
    let output =
        Command::new(repository::weft()).arg("--manifest").arg(manifest).arg("openapi").output().expect("weft runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("JSON is UTF-8");
    let document = serde_json::from_str(&text).expect("JSON");
    (text, document)
}

fn education() -> PathBuf {
    repository::root().join("spin.toml")
}

fn references<'v>(value: &'v Value, found: &mut Vec<&'v str>) {
    match value {
        Value::Object(object) => {
            found.extend(object.get("$ref").and_then(Value::as_str));
            object.values().for_each(|value| references(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

fn operations(document: &Value) -> impl Iterator<Item = (&String, &String, &Value)> {
    let paths = document["paths"].as_object().expect("paths").iter();
    paths.flat_map(|(path, item)| {
        item.as_object().expect("methods").iter().map(move |(method, operation)| (path, method, operation))
    })
}

#[test]
fn the_document_is_sound() {
    let (_, document) = printed(&education());
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 300, "{}", found.len());
    for reference in found {
        assert!(document.pointer(&reference[1..]).is_some(), "{reference} leads nowhere");
    }
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        assert!(ids.insert(operation["operationId"].as_str().expect("an id")), "{method} {path}: its id is another's");
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let declared: BTreeSet<_> =
            parameters.filter(|one| one["in"] == "path").filter_map(|one| one["name"].as_str()).collect();
        let needed = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
        assert_eq!(declared, needed, "{method} {path}");
        assert!(operation["summary"].is_string(), "{method} {path} is told in words");
        assert!(operation["responses"].get("2XX").is_none(), "{method} {path} says what it answers");
    }
    assert!(ids.len() >= 30, "{ids:?}");
}

#[test]
fn the_document_is_openapi_3_1() {
    let validator = repository::root().join(VALIDATOR);
    if !validator.is_file() {
        skip::skip(&format!("{VALIDATOR} is not there; scripts/schemathesis installs it"));
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    for manifest in ["spin.toml", "tests/applications/edge/spin.toml", "tests/applications/spin/spin.toml"] {
        let (text, _) = printed(&repository::root().join(manifest));
        let file = folder.path().join("openapi.json");
        std::fs::write(&file, text).expect("a file can be written");
        let output = Command::new(&validator).arg("--schema").arg("3.1").arg(&file).output().expect("it runs");
        assert!(output.status.success(), "{manifest}: {}", String::from_utf8_lossy(&output.stdout));
    }
}

/// The operation of a request, as the gateway would find it: a literal outranks a parameter.
fn operation<'d>(document: &'d Value, method: &str, target: &str) -> Option<&'d Value> {
    let path = target.split('?').next().unwrap_or_default();
    let given: Vec<&str> = path.split('/').collect();
    let matches = |template: &str| {
        let wanted: Vec<&str> = template.split('/').collect();
        let same = |(a, b): (&&str, &&str)| a == b || (a.starts_with('{') && !b.is_empty());
        wanted.len() == given.len() && wanted.iter().zip(&given).all(same)
    };
    let paths = document["paths"].as_object().expect("paths");
    let best = paths.iter().filter(|(template, _)| matches(template)).min_by_key(|(path, _)| path.matches('{').count());
    best.and_then(|(_, item)| item.get(method.to_ascii_lowercase()))
}

/// The response of an operation, followed if it is a reference.
fn response<'d>(document: &'d Value, operation: &'d Value, status: u64) -> Option<&'d Value> {
    let response = operation["responses"].get(status.to_string())?;
    match response["$ref"].as_str() {
        Some(reference) => document.pointer(&reference[1..]),
        None => Some(response),
    }
}

/// What is wrong with the document, as far as one step of a scenario shows.
fn told(document: &Value, method: &str, target: &str, status: u64, golden: &Value) -> Result<bool, String> {
    let Some(operation) = operation(document, method, target) else { return Ok(false) };
    let response = response(document, operation, status).ok_or("the status is not in the document")?;
    if status >= 400 {
        let kinds = response["x-problem-types"].as_array().cloned().unwrap_or_default();
        let kind = &golden["body"]["type"];
        return if kind.is_null() || kinds.contains(kind) {
            Ok(true)
        } else {
            Err(format!("{kind} is not in the document"))
        };
    }
    let Some(body) = golden.get("body").filter(|body| body.is_object()) else { return Ok(true) };
    let schema = &response["content"]["application/json"]["schema"];
    let schema = json!({ "$ref": schema["$ref"], "components": document["components"] });
    let validator = jsonschema::draft202012::options().offline().build(&schema).map_err(|error| error.to_string())?;
    let wrong: Vec<String> =
        validator.iter_errors(body).map(|error| format!("{}: {error}", error.instance_path())).collect();
    if wrong.is_empty() { Ok(true) } else { Err(wrong.join("\n")) }
}

/// The steps of a scenario: name, method, target, status.
fn steps(folder: &Path) -> Vec<(String, String, String, u64)> {
    let text = std::fs::read_to_string(folder.join("steps.toml")).expect("steps");
    let steps: DocumentMut = text.parse().expect("TOML");
    let steps = steps["step"].as_array_of_tables().expect("steps").iter();
    let step = |step: &toml_edit::Table| {
        let text = |key: &str| step[key].as_str().expect("a text").to_owned();
        let (method, target) = text("request").split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned()))?;
        let status = step["status"].as_integer().and_then(|status| u64::try_from(status).ok())?;
        Some((text("name"), method, target, status))
    };
    steps.filter_map(step).collect()
}

#[test]
fn what_scenarios_see_is_in_the_document() {
    let (_, document) = printed(&education());
    let (mut wrong, mut seen) = (Vec::new(), BTreeMap::<String, usize>::new());
    let folders = std::fs::read_dir(repository::root().join("tests/scenarios")).expect("scenarios");
    for folder in folders.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_dir()) {
        // A scenario with a manifest of its own is about another application.
        if folder.join("spin.toml").exists() {
            continue;
        }
        let golden: Value =
            serde_json::from_slice(&std::fs::read(folder.join("expected.json")).expect("answers")).expect("JSON");
        for (name, method, target, status) in steps(&folder) {
            match told(&document, &method, &target, status, &golden[&name]) {
                Ok(true) => *seen.entry(format!("{method} {status}")).or_default() += 1,
                Ok(false) => {}
                Err(why) => wrong.push(format!("{}: {name:?}: {method} {target} {status}: {why}", folder.display())),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen.values().sum::<usize>() > 300, "{seen:?}");
}

#[test]
fn the_host_serves_the_document_and_its_page() {
    let platform = Platform::start();
    let (_, printed) = printed(&education());
    let served = platform.get("/openapi.json").send();
    assert_eq!((served.status, served.header("content-type")), (200, Some("application/json")));
    assert!(served.json() == printed, "what is served is what `weft openapi` prints");
    let page = platform.get("/docs").send();
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{policy}");
    let html = page.text();
    let linked = html.split('"').filter(|part| part.starts_with('/')).collect::<BTreeSet<_>>();
    assert_eq!(linked, BTreeSet::from(["/docs/docs.css", "/docs/docs.js", "/openapi.json"]));
    for (path, kind) in [("/docs/docs.css", "text/css"), ("/docs/docs.js", "text/javascript")] {
        let file = platform.get(path).send();
        assert_eq!(file.status, 200, "{path}");
        assert!(file.header("content-type").is_some_and(|found| found.starts_with(kind)), "{file:?}");
        assert!(!file.text().is_empty(), "{path}");
    }
    assert_eq!(platform.request("HEAD", "/docs").send().status, 200);
    assert_problem(&platform.post("/docs", &json!({})).send(), 405, "method-not-allowed");
    let (_, routes, _) = platform.weft(&["routes"]);
    assert!(routes.contains("/openapi.json") && routes.contains("#docs"), "{routes}");
}

#[test]
fn a_document_that_is_not_public_takes_a_token() {
    let manifest = repository::root().join("tests/applications/gateway/spin.toml");
    let platform = Platform::start_with(&Options { manifest, ..Options::default() });
    assert_problem(&platform.get("/openapi.json").send(), 401, "token-missing");
    let token = platform.token(&Token::default());
    let document = platform.get("/openapi.json").token(&token).send().expect(200);
    assert_eq!(document["paths"]["/robots"]["get"]["x-required-roles"], json!(["robot"]));
    // The page has nothing of the application in it, and has to be there before a token can be put into it.
    assert_eq!(platform.get("/docs").send().status, 200);
}
