//! A function composed with what it calls, by `weft compose` and as other tools do it, answers as the linked one does
//! where nothing fails.

use std::path::Path;

use serde_json::{Value, json};
use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions};
use weft_tests::isolation;
use weft_tests::platform::{Options, Platform};
use weft_tests::repository;

const EXAMPLES: &str = "components/examples/spin.toml";
const ISOLATION: &str = "tests/applications/isolation/spin.toml";

fn examples() -> Platform {
    Platform::start_with(&Options { manifest: repository::root().join(EXAMPLES), ..Options::default() })
}

/// The component `id` of a manifest with all that it calls, by `weft compose`.
fn composed(manifest: &str, id: &str, parts: &str, file: &Path) {
    let output = file.display().to_string();
    let (status, stdout, stderr) = Platform::stopped().weft(&["--manifest", manifest, "compose", id, "-o", &output]);
    assert!(status.success(), "{stderr}");
    assert!(stdout.ends_with(&format!("of {parts}\n")), "{stdout}");
}

/// What `wac plug` makes of two components.
fn plugged(socket: &str, plug: &str, file: &Path) {
    let mut graph = CompositionGraph::new();
    let [plug, socket] = [plug, socket].map(|example| {
        let bytes = std::fs::read(isolation::component(example)).expect("it is built");
        let name = format!("example:{example}");
        let package = Package::from_bytes(&name, None, bytes, graph.types_mut()).expect("a component");
        graph.register_package(package).expect("a name of its own")
    });
    wac_graph::plug(&mut graph, vec![plug], socket).expect("they fit");
    std::fs::write(file, graph.encode(EncodeOptions::default()).expect("a component")).expect("it is written");
}

/// A host whose one function is the file `it.wasm` in `folder`.
fn alone(folder: &Path, route: &str, table: &str) -> Platform {
    let (_, path) = route.split_once(' ').expect("a method and a path");
    let text = format!(
        "spin_manifest_version = 2\n[application]\nname = \"composed\"\n[application.tool.weft.contexts]\nours = {{}}\n\
         [application.tool.weft.routes]\n\"{route}\" = {{ component = \"it\", public = true }}\n\
         [[trigger.http]]\nroute = \"{path}\"\ncomponent = \"it\"\n\
         [component.it]\nsource = \"it.wasm\"\n[component.it.tool.weft]\n{table}\n"
    );
    let manifest = folder.join("spin.toml");
    std::fs::write(&manifest, text).expect("the manifest is written");
    Platform::start_with(&Options { manifest, ..Options::default() })
}

fn greeting(platform: &Platform, query: &str) -> (u16, Value) {
    let answer = platform.get(&format!("/greet{query}")).header("idempotency-key", "k").send();
    let mut body = answer.json();
    // Each request has an id of its own.
    if let Some(body) = body.as_object_mut() {
        body.remove("request_id");
        body.remove("instance");
    }
    (answer.status, body)
}

#[test]
fn composed_plugged_and_linked_answer_alike() {
    let linked = examples();
    let makers: [&dyn Fn(&Path); 2] =
        [&|file| composed(EXAMPLES, "greet-caller", "greet-caller, greeter", file), &|file| {
            plugged("greet-caller", "greeter", file)
        }];
    for make in makers {
        let folder = tempfile::tempdir().expect("a folder");
        make(&folder.path().join("it.wasm"));
        let one = alone(folder.path(), "GET /greet", "");
        for query in ["?name=Ada", "?name=%C3%9Cnal", "", "?name=", "?name=%20"] {
            assert_eq!(greeting(&one, query), greeting(&linked, query), "{query}");
        }
    }
}

/// The callee answers values, errors of its own with what they carry, and large ones; it reaches the key-value store that
/// its caller reaches, and two calls of it meet there.
#[test]
fn typed_errors_and_calls_at_once_are_alike() {
    let linked = isolation::start();
    let makers: [&dyn Fn(&Path); 2] =
        [&|file| composed(ISOLATION, "probe", "callee, probe", file), &|file| plugged("probe", "probe-callee", file)];
    for make in makers {
        let folder = tempfile::tempdir().expect("a folder");
        make(&folder.path().join("it.wasm"));
        let table = "context = \"ours\"\ntopics = [\"probe.*\"]\nkey_value_stores = [\"default\"]\n\
                     sqlite_databases = [\"default\"]\nvariables = { greeting = \"hello\" }";
        let one = alone(folder.path(), "POST /probe", table);
        let call = |key: &str, what: &str| json!({ "call": { "key": key, "what": what } });
        let meeting = |own: &str, other: &str| call("place", &format!("meet {own} {other}"));
        for script in [
            call("a key", "echo"),
            call("why", "refuse"),
            call("k", "answer 100000"),
            call("k", "no such thing"),
            json!({ "together": [meeting("a", "b"), meeting("b", "a")] }),
            json!({ "in_turn": [call("x", "refuse"), call("y", "echo"), { "variable": { "name": "greeting" } }] }),
        ] {
            assert_eq!(isolation::probe(&one, &script), isolation::probe(&linked, &script), "{script}");
        }
        let refused = isolation::probe(&one, &call("why", "refuse"));
        assert_eq!(refused, json!({ "Err": { "Refused": "why" } }));
    }
}

#[test]
fn what_cannot_be_composed_is_refused_and_nothing_written() {
    let platform = examples();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("out.wasm");
    let output = file.display().to_string();
    let compose = |component: &str| {
        let (status, _, stderr) = platform.weft(&["--manifest", EXAMPLES, "compose", component, "-o", &output]);
        assert!(!file.exists());
        (status.code(), stderr)
    };
    let (code, stderr) = compose("nobody");
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("there is no component \"nobody\"; the manifest has call-loop, "), "{stderr}");
    let (code, stderr) = compose("saga5-http");
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("component \"saga5\" is durable"), "{stderr}");
}
