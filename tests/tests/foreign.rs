//! Components that know nothing of Weft: one of WASI 0.2, and a plain application of Spin.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use weft_tests::isolation::{assert_problem, probe, start};
use weft_tests::platform::{Options, Platform};
use weft_tests::repository;
use weft_tests::skip;

#[test]
fn a_component_of_wasi_0_2_is_served() {
    let mut platform = start();
    for visits in 1..=3 {
        let answer = platform.get("/visits/here").send();
        assert_eq!((answer.status, answer.text()), (200, format!("/visits/here was asked for {visits} times\n")));
    }
    // What it keeps by `wasi:keyvalue` is the store that others reach by `spin:key-value`, and outlives the host.
    assert_eq!(
        probe(&platform, &json!({ "key_value": { "store": "default", "key": "/visits/there" } })),
        json!({ "Ok": "/visits/there" })
    );
    platform.kill();
    platform.run(&weft_tests::isolation::options()).expect("the host starts on what it left");
    assert_eq!(platform.get("/visits/here").send().text(), "/visits/here was asked for 4 times\n");
}

/// The notes application, built with a released SDK of Spin each: the same requests are answered alike.
macro_rules! built_with {
    ($($(#[$doc:meta])* $name:ident: $application:literal;)*) => {$(
        $(#[$doc])*
        #[test]
        fn $name() {
            keeps_notes(&manifest($application));
        }
    )*};
}

built_with! {
    /// Rust, version 2: a snapshot of WASI 0.2 and `fermyon:spin@2.0.0`.
    spin_sdk_2_for_rust_runs_unchanged: "spin-app-sdk2";
    /// Rust, version 3: WASI 0.2 and `fermyon:spin@2.0.0`.
    spin_sdk_3_for_rust_runs_unchanged: "spin-app-sdk3";
    /// Rust, version 4.
    spin_sdk_4_for_rust_runs_unchanged: "spin-app-sdk4";
    /// Rust, version 5.
    spin_sdk_5_for_rust_runs_unchanged: "spin-app-sdk5";
    /// Rust, version 6: the release candidate of WASI 0.3 and Spin's interfaces of version 3.
    spin_sdk_6_for_rust_runs_unchanged: "spin-app-sdk6";
    /// Rust, version 7: WASI 0.3 and Spin's interfaces of version 3.
    spin_sdk_7_for_rust_runs_unchanged: "spin-app";
}

/// As that version is used itself: it makes a module of WASI preview 1, which is made a component when it is loaded.
#[test]
fn a_module_of_spin_sdk_2_for_rust_runs_unchanged() {
    let built = |target: &str| format!("target/{target}/release/example_spin_app_sdk2.wasm");
    let module = repository::root().join("components").join(built("wasm32-wasip1"));
    if !module.is_file() {
        return skip::skip("the module is not built: the Rust target wasm32-wasip1 was not there");
    }
    let text = fs::read_to_string(manifest("spin-app-sdk2")).expect("the manifest");
    let component = format!("../../{}", built("wasm32-wasip2"));
    assert!(text.contains(&component), "{text}");
    let folder = tempfile::tempdir().expect("a folder");
    let manifest = folder.path().join("spin.toml");
    fs::write(&manifest, text.replace(&component, &module.display().to_string())).expect("a manifest");
    keeps_notes(&manifest);
}

/// Built by `@spinframework/build-tools`: WASI 0.2 and `fermyon:spin@2.0.0`.
#[test]
fn spin_for_javascript_runs_unchanged() {
    if !skip::without("example_spin_app_js") {
        keeps_notes(&manifest("spin-app-js"));
    }
}

/// Version 5 of `spin-sdk`: it imports all of Spin's world, whatever the application uses.
#[test]
fn spin_sdk_5_for_python_runs_unchanged() {
    if !skip::without("example_spin_app_python") {
        keeps_notes(&manifest("spin-app-python"));
    }
}

/// Method, path and body; status and body of the answer.
type Exchange = (&'static str, &'static str, &'static str, u16, &'static str);

const EXCHANGES: [Exchange; 9] = [
    ("GET", "/notes/milk", "", 404, "no note milk\n"),
    ("PUT", "/notes/milk", "buy some", 201, ""),
    ("GET", "/notes/milk", "", 200, "Servus! buy some (written 1 times)\n"),
    ("PUT", "/notes/milk", "buy more", 201, ""),
    ("GET", "/notes/milk", "", 200, "Servus! buy more (written 2 times)\n"),
    ("PUT", "/notes/tee-1", "grün 🍵", 201, ""),
    ("GET", "/notes/tee-1", "", 200, "Servus! grün 🍵 (written 1 times)\n"),
    ("PUT", "/notes/empty", "", 201, ""),
    ("GET", "/notes/empty", "", 200, "Servus!  (written 1 times)\n"),
];

fn manifest(application: &str) -> PathBuf {
    repository::root().join(format!("components/examples/{application}/spin.toml"))
}

fn keeps_notes(manifest: &Path) {
    let options =
        Options { manifest: manifest.to_owned(), ..Options::default() }.env("SPIN_VARIABLE_GREETING", "Servus");
    let mut platform = Platform::start_with(&options);
    for (method, path, body, status, answer) in EXCHANGES {
        let answered = platform.request(method, path).body(body).send();
        assert_eq!((answered.status, answered.text()), (status, answer.to_owned()), "{method} {path}");
        assert_eq!(answered.header("content-type"), Some("text/plain"), "{method} {path}");
    }
    platform.kill();
    platform.run(&options).expect("the host starts on what it left");
    assert_eq!(platform.get("/notes/milk").send().text(), "Servus! buy more (written 2 times)\n");
    assert!(platform.stop().success());
}

#[test]
fn stores_are_filled_before_the_first_request() {
    let folder = tempfile::tempdir().unwrap();
    let tables = folder.path().join("tables.sql");
    fs::write(
        &tables,
        "CREATE TABLE notes (id INTEGER PRIMARY KEY, name TEXT NOT NULL, text BLOB NOT NULL);\n\
         INSERT INTO notes (name, text) VALUES ('milk', 'one; two');",
    )
    .unwrap();
    let manifest = manifest("spin-app");
    let with = |sqlite: &str| {
        let manifest = manifest.clone();
        let tables = format!("@{}", tables.display());
        let options = ["--key-value", "milk=buy = 2", "--sqlite", &tables, "--sqlite", sqlite].map(str::to_owned);
        Options { manifest, options: options.to_vec(), ..Options::default() }.env("SPIN_VARIABLE_GREETING", "Servus")
    };
    let platform = Platform::start_with(&with("INSERT INTO notes (name, text) VALUES ('milk', 'two')"));
    assert_eq!(platform.get("/notes/milk").send().text(), "Servus! buy = 2 (written 2 times)\n");
    let wrong = "INSERT INTO nowhere VALUES (1)";
    let (status, _, said) = Platform::stopped().weft(&[
        "--manifest",
        &manifest.display().to_string(),
        "up",
        "--listen",
        "127.0.0.1:0",
        "--sqlite",
        wrong,
    ]);
    assert!(!status.success());
    assert!(said.contains("--sqlite INSERT INTO nowhere"), "{said}");
    assert!(said.contains("no such table: nowhere"), "{said}");
}

#[test]
fn stores_without_a_path_are_empty_at_each_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("runtime-config.toml");
    fs::write(&file, "[key_value_store.default]\ntype = \"spin\"\n[sqlite_database.default]\ntype = \"spin\"\n")
        .unwrap();
    let options = vec!["--runtime-config-file".to_owned(), file.display().to_string()];
    let options = Options { manifest: manifest("spin-app"), options, ..Options::default() };
    let options = options.env("SPIN_VARIABLE_GREETING", "Servus");
    let mut platform = Platform::start_with(&options);
    assert_eq!(platform.request("PUT", "/notes/milk").body("buy some").send().status, 201);
    assert_eq!(platform.get("/notes/milk").send().text(), "Servus! buy some (written 1 times)\n");
    platform.kill();
    platform.run(&options).expect("the host starts on what it left");
    assert_eq!(platform.get("/notes/milk").send().status, 404);
    assert_eq!(platform.request("PUT", "/notes/milk").body("buy more").send().status, 201);
    assert_eq!(platform.get("/notes/milk").send().text(), "Servus! buy more (written 1 times)\n");
}

fn parts() -> Options {
    Options { manifest: repository::root().join("tests/applications/spin/spin.toml"), ..Options::default() }
}

#[test]
fn dependencies_have_what_they_inherit_and_nothing_else() {
    let platform = Platform::start_with(&parts());
    let keep = |path: &str| {
        let answer = platform.request("PUT", path).body("text").send();
        (answer.status, answer.text())
    };
    assert_eq!(keep("/open/x"), (201, "kept 1 times\n".to_owned()));
    assert_eq!(keep("/open/x"), (201, "kept 2 times\n".to_owned()));
    let (status, why) = keep("/closed/x");
    assert_eq!(status, 403);
    assert!(why.contains("AccessDenied"), "{why}");
}

#[test]
fn files_and_environment_of_spin_are_there_and_no_more() {
    let platform = Platform::start_with(&parts());
    let get = |path: &str| {
        let answer = platform.get(path).send();
        (answer.status, answer.text())
    };
    assert_eq!(get("/open/pages/one.txt"), (200, "a page\n".to_owned()));
    assert_eq!(get("/open/other/one.txt"), (200, "a page\n".to_owned()));
    assert_eq!(get("/open/env"), (200, "COLOUR=green\n".to_owned()));
    for hidden in ["/open/pages/two.key", "/open/spin.toml", "/closed/pages/one.txt"] {
        assert_eq!(get(hidden).0, 404, "{hidden}");
    }
}

#[test]
fn a_component_of_spin_is_bounded_and_keeps_what_spin_grants() {
    let platform = Platform::start_with(&parts());
    let get = |path: &str| {
        let answer = platform.get(path).send();
        (answer.status, answer.text())
    };
    assert_eq!(get("/bounded/pages/one.txt"), (200, "a page\n".to_owned()));
    assert_eq!(get("/bounded/env"), (200, "COLOUR=blue\n".to_owned()));
    for times in 1..=2 {
        let kept = platform.request("PUT", "/bounded/x").body("text").send();
        assert_eq!((kept.status, kept.text()), (201, format!("kept {times} times\n")));
    }
    assert_problem(&platform.get("/starved/pages/one.txt").send(), 502, "resource-limit-exceeded");
}

#[test]
fn a_command_runs_as_a_job() {
    let mut platform = Platform::start_with(&parts());
    let manifest = parts().manifest.display().to_string();
    let run = |platform: &Platform, input: &str| {
        let (status, stdout, stderr) =
            platform.weft_given(&["--manifest", &manifest, "run", "count", "--", "a", "b"], input);
        (status.code(), stdout, stderr)
    };
    let with_and_without_a_host = |platform: &Platform| {
        assert_eq!(run(platform, "a c b a"), (Some(0), "3\n".to_owned(), String::new()));
        assert_eq!(run(platform, "c d"), (Some(1), String::new(), "none of 2 words\n".to_owned()));
        let (status, _, stderr) = platform.weft_given(&["--manifest", &manifest, "run", "open"], "");
        assert_eq!(status.code(), Some(2), "{stderr}");
        assert!(stderr.contains("component open is no command"), "{stderr}");
    };
    with_and_without_a_host(&platform);
    assert!(platform.stop().success());
    with_and_without_a_host(&platform);
}

#[test]
fn middleware_stands_before_its_component() {
    let platform = Platform::start_with(&parts());
    assert_eq!(platform.get("/guarded/env").send().status, 403);
    assert_eq!(platform.get("/guarded/env").header("x-word", "sesame").send().status, 200);
    let kept = platform.request("PUT", "/guarded/x").header("x-word", "sesame").body("text").send();
    assert_eq!((kept.status, kept.text()), (201, "kept 1 times\n".to_owned()));
}
