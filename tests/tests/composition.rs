//! A function composed with what it calls, by `weft compose`, answers as the linked one does where nothing fails.

use weft_tests::platform::{Options, Platform};
use weft_tests::repository;

const EXAMPLES: &str = "components/examples/spin.toml";

fn examples() -> Platform {
    Platform::start_with(&Options { manifest: repository::root().join(EXAMPLES), ..Options::default() })
}

#[test]
fn composed_and_linked_answer_alike() {
    let linked = examples();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("greet.wasm");
    let output = file.display().to_string();
    let (status, stdout, stderr) = linked.weft(&["--manifest", EXAMPLES, "compose", "greet-caller", "-o", &output]);
    assert!(status.success(), "{stderr}");
    assert!(stdout.ends_with("of greet-caller, greeter\n"), "{stdout}");

    let manifest = folder.path().join("spin.toml");
    let text = "spin_manifest_version = 2\n[application]\nname = \"composed\"\n\
                [application.tool.weft.routes]\n\"GET /greet\" = { component = \"greet\", public = true }\n\
                [[trigger.http]]\nroute = \"/greet\"\ncomponent = \"greet\"\n\
                [component.greet]\nsource = \"greet.wasm\"\n[component.greet.tool.weft]\n";
    std::fs::write(&manifest, text).expect("the manifest is written");
    let composed = Platform::start_with(&Options { manifest, ..Options::default() });

    for query in ["?name=Ada", "?name=%C3%9Cnal", "", "?name=", "?name=%20"] {
        let ask = |platform: &Platform| {
            let answer = platform.get(&format!("/greet{query}")).header("idempotency-key", "k").send();
            let mut body = answer.json();
            // Each request has an id of its own.
            if let Some(body) = body.as_object_mut() {
                body.remove("request_id");
                body.remove("instance");
            }
            (answer.status, body)
        };
        assert_eq!(ask(&composed), ask(&linked), "{query}");
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
