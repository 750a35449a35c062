//! What a manifest of Spin says of routes, components, profiles and variables, as guests and clients see it.

use std::fs;

use weft_tests::platform::{Options, Platform};
use weft_tests::repository;

fn application() -> Options {
    Options { manifest: repository::root().join("tests/applications/spin-manifest/spin.toml"), ..Options::default() }
        .env("SPIN_VARIABLE_KEY", "s3cret")
}

fn with(options: &[&str]) -> Options {
    Options { options: options.iter().map(ToString::to_string).collect(), ..application() }
}

fn text(platform: &Platform, path: &str) -> (u16, String) {
    let answer = platform.get(path).send();
    (answer.status, answer.text())
}

fn fetched(platform: &Platform, url: &str) -> String {
    platform.get("/echo/fetch").header("x-url", url).send().text()
}

#[test]
fn routes_are_answered_without_a_component() {
    let platform = Platform::start_with(&application());
    assert_eq!(text(&platform, "/"), (200, "hello\n".to_owned()));
    let gone = platform.request("POST", "/gone").body("x").send();
    assert_eq!((gone.status, gone.text()), (410, String::new()));
    assert_eq!((gone.header("content-type"), gone.header("x-why")), (Some("text/x-gone"), Some("moved")));
    let head = platform.request("HEAD", "/").send();
    assert_eq!((head.status, head.text()), (200, String::new()));
}

#[test]
fn what_spin_answers_itself_is_answered() {
    let platform = Platform::start_with(&application());
    assert_eq!(text(&platform, "/.well-known/spin/health"), (200, "OK".to_owned()));
    let info = platform.get("/.well-known/spin/info").send();
    assert_eq!(info.header("content-type"), Some("application/json"));
    assert_eq!(info.json(), serde_json::json!({ "name": "manifest", "version": "1.2.3" }));
    assert_eq!(platform.get("/.well-known/spin/other").send().status, 404);
}

#[test]
fn guests_see_spins_headers() {
    let platform = Platform::start_with(&application());
    let headers = |path: &str| {
        let answer = platform.get(path).header("host", "example.com").header("spin-path-info", "/forged").send();
        let mut lines: Vec<String> = answer.text().lines().map(str::to_owned).collect();
        lines.retain(|line| !line.starts_with("spin-client-addr: 127.0.0.1:"));
        lines
    };
    assert_eq!(
        headers("/inline/ada/a/b/?c=d"),
        [
            "spin-base-path: /",
            "spin-component-route: /inline/:user",
            "spin-full-url: http://example.com/inline/ada/a/b/?c=d",
            "spin-matched-route: /inline/:user/...",
            "spin-path-info: /a/b/",
            "spin-path-match-user: ada",
            "spin-raw-component-route: /inline/:user/...",
        ]
    );
    let guarded = platform.get("/guarded/x").header("x-word", "sesame").send().text();
    for line in
        ["spin-matched-route: /guarded/...", "spin-raw-component-route: guarded/...", "spin-component-route: guarded"]
    {
        assert!(guarded.lines().any(|shown| shown == line), "{line}: {guarded}");
    }
}

#[test]
fn middleware_stands_before_its_own_routes_alone() {
    let platform = Platform::start_with(&application());
    assert_eq!(platform.get("/echo/env").send().status, 200);
    for path in ["/guarded/env", "/twice/env"] {
        assert_eq!(platform.get(path).send().status, 403, "{path}");
        let let_in = platform.get(path).header("x-word", "sesame").send();
        assert_eq!((let_in.status, let_in.text()), (200, "WHERE=plain\n".to_owned()), "{path}");
    }
    let (_, routes, _) = platform.weft(&["routes"]);
    for id in ["echo-for-guarded ", "echo-for-guarded-twice ", "http-trigger2-component ", "gone "] {
        assert!(routes.contains(id), "{id}: {routes}");
    }
}

#[test]
fn components_ask_each_other_and_their_own_application() {
    let platform = Platform::start_with(&application());
    let back = fetched(&platform, "http://back.spin.internal/a/b?c=d");
    let expected = "200\nspin-base-path: /\nspin-client-addr: 0.0.0.0:0\nspin-component-route: \n\
                    spin-full-url: http://localhost/a/b?c=d\nspin-matched-route: /...\nspin-path-info: /a/b\n\
                    spin-raw-component-route: /...\n";
    assert_eq!(back, expected);
    assert_eq!(fetched(&platform, "http://back.spin.internal/env"), "200\nWHERE=back\n");
    assert_eq!(fetched(&platform, "http://self.alt/gone"), "410\n");
    assert_eq!(fetched(&platform, "http://self.alt/inline/x/env"), "200\nWHERE=inline\n");
    // Not allowed: another component, another host. No trigger has the third; no route leads to the private one.
    for denied in ["http://echo.spin.internal/env", "http://guard.spin.internal/", "http://127.0.0.1:1/"] {
        assert!(fetched(&platform, denied).contains("HttpRequestDenied"), "{denied}");
    }
    let inline = platform.get("/inline/x/fetch").header("x-url", "http://back.spin.internal/").send();
    assert!(inline.text().contains("HttpRequestDenied"), "{}", inline.text());
    assert_eq!(platform.get("/back/env").send().status, 404);
}

#[test]
fn variables_and_environment_come_from_the_command_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("values.toml");
    fs::write(&file, "colour = \"red\"\nanother = \"application's\"\n").expect("a file is written");
    let values = format!("@{}", file.display());
    let platform = Platform::start_with(&with(&["--variable", &values, "--variable", "key=given", "-e", "MORE=2"]));
    assert_eq!(text(&platform, "/echo/variables/shown"), (200, "it is red".to_owned()));
    assert_eq!(text(&platform, "/echo/variables/key"), (200, "given".to_owned()));
    assert_eq!(text(&platform, "/echo/variables/other").0, 502);
    assert_eq!(text(&platform, "/echo/env"), (200, "MORE=2\nWHERE=plain\n".to_owned()));
    assert_eq!(text(&platform, "/inline/x/env"), (200, "MORE=2\nWHERE=inline\n".to_owned()));
}

#[test]
fn a_profile_takes_the_place_of_what_it_names() {
    let platform = Platform::start_with(&with(&["--profile", "loud"]));
    assert_eq!(text(&platform, "/echo/env"), (200, "MORE=1\nWHERE=loud\n".to_owned()));
    assert_eq!(text(&platform, "/inline/x/env"), (200, "WHERE=inline\n".to_owned()));
    let folder = application().manifest.parent().expect("a folder").display().to_string();
    let check = |options: &[&str]| {
        let (status, stdout, _) =
            platform.weft(&[&["check", "--from", &folder, "--variable", "key=x"], options].concat());
        (status.success(), stdout)
    };
    let (fine, said) = check(&["--profile", "loud"]);
    assert!(fine, "{said}");
    let (fine, said) = check(&["--profile", "quiet"]);
    assert!(!fine && said.contains("no component has a profile \"quiet\"\n  help: the profiles are loud"), "{said}");
}

/// A module of WASI preview 1 whose `_start` ends with code 1: `(module (import "wasi_snapshot_preview1" "proc_exit"
/// (func (param i32))) (memory (export "memory") 1) (func (export "_start") (call 0 (i32.const 1))))`.
const MODULE: &[u8] = b"\0asm\x01\0\0\0\x01\x08\x02\x60\x01\x7f\0\x60\0\0\
    \x02\x24\x01\x16wasi_snapshot_preview1\x09proc_exit\0\0\x03\x02\x01\x01\x05\x03\x01\0\x01\
    \x07\x13\x02\x06memory\x02\0\x06_start\0\x01\x0a\x08\x01\x06\0\x41\x01\x10\0\x0b";

#[test]
fn a_module_is_made_a_component_and_a_digest_is_verified() {
    let folder = tempfile::tempdir().expect("a folder");
    let platform = Platform::stopped();
    let run = |source: &str| {
        let text =
            format!("spin_manifest_version = 2\n[application]\nname = \"jobs\"\n[component.job]\nsource = {source}\n");
        let (module, manifest) = (folder.path().join("job.wasm"), folder.path().join("spin.toml"));
        fs::write(module, MODULE).and_then(|()| fs::write(&manifest, text)).expect("files are written");
        let (status, _, stderr) = platform.weft(&["--manifest", &manifest.display().to_string(), "run", "job"]);
        (status.code(), stderr)
    };
    assert_eq!(run("\"job.wasm\""), (Some(1), String::new()));
    let digest = "0".repeat(64);
    let (code, said) = run(&format!("{{ url = \"file:job.wasm\", digest = \"sha256:{digest}\" }}"));
    assert_eq!(code, Some(1));
    assert!(said.contains("spin.toml:5: ") && said.contains("has the digest sha256:"), "{said}");
    let right =
        said.split("has the digest sha256:").nth(1).and_then(|rest| rest.get(..64)).expect("the digest is told");
    assert_eq!(run(&format!("{{ url = \"file:job.wasm\", digest = \"sha256:{right}\" }}")), (Some(1), String::new()));
}
