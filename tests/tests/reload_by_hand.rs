//! `weft reload` and SIGHUP: what is refused, with file and line, and leaves everything as it is; what only a start takes up; files of keys
//! that change; and what the host tells of the manifest that runs.

use std::path::{Path, PathBuf};
use std::process::Command;

use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::EncodePrivateKey as _;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use weft_tests::isolation::component;
use weft_tests::platform::{Options, Platform};
use weft_tests::repository;
use weft_tests::tokens::Token;
use weft_tests::wait::eventually;

/// The line of the manifest that names the file of the key.
const KEY_LINE: usize = 6;

struct Bench {
    platform: Platform,
    folder: TempDir,
}

impl Bench {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        replace(&folder.path().join("key.pem"), &pem(1));
        std::fs::write(folder.path().join("spin.toml"), text()).expect("the manifest is written");
        let options = Options { manifest: folder.path().join("spin.toml"), ..Options::default() };
        Self { platform: Platform::start_with(&options), folder }
    }

    fn manifest(&self) -> PathBuf {
        self.folder.path().join("spin.toml")
    }

    fn write(&self, text: &str) {
        std::fs::write(self.manifest(), text).expect("the manifest is written");
    }

    /// What `weft reload --json` says, and whether it was done.
    fn reload(&self) -> (bool, Value) {
        let (status, said, why) = self.platform.weft(&["reload", "--json", "--reason", "tested"]);
        (status.success(), serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}{why}")))
    }

    fn status(&self) -> Value {
        let (_, said, why) = self.platform.weft(&["reload", "--status", "--json"]);
        serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}{why}"))
    }

    fn get(&self, path: &str) -> u16 {
        self.platform.get(path).send().status
    }

    /// With a token that the key of this number has signed.
    fn with_token(&self, number: u8) -> u16 {
        let token = Token::default().encode(&pem(number));
        self.platform.get("/mine").token(&token).send().status
    }
}

fn text() -> String {
    format!(
        r#"spin_manifest_version = 2
[application]
name = "reloaded"
[application.tool.weft.auth]
issuer = "education-platform"
keys = [{{ pem = "key.pem" }}]
audience = "microservices"
[application.tool.weft.routes]
"GET /hello" = {{ component = "hello", public = true }}
"GET /mine" = "hello"
[[trigger.http]]
route = "/hello"
component = "hello"
[[trigger.http]]
route = "/mine"
component = "hello"
[component.hello]
source = {:?}
[component.hello.tool.weft]
"#,
        component("hello")
    )
}

fn moved() -> String {
    text().replace("/hello", "/moved")
}

fn pem(number: u8) -> String {
    SigningKey::from_bytes(&[number; 32]).to_pkcs8_pem(LineEnding::LF).expect("a key").to_string()
}

fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).expect("a file");
    std::fs::rename(new, path).expect("a file can be moved");
}

#[test]
fn a_manifest_that_is_refused_changes_nothing_and_says_where() {
    let bench = Bench::start();
    let before = bench.status();
    assert_eq!(before["last_error"], Value::Null);
    let wrong_key = moved().replace("[component.hello]", "[component.hello]\nnonsense = 1");
    let no_file = moved().replace("example_hello.wasm", "nowhere.wasm");
    let wrong_value = moved().replace("public = true", "public = true, deadline_ms = 0");
    for (text, line) in [(wrong_key, 18), (no_file, 18), (wrong_value, 9)] {
        bench.write(&text);
        let (done, said) = bench.reload();
        let found = &said["diagnostics"][0];
        assert!(!done && found["line"] == line, "line {line}: {said}");
        assert!(found["file"].as_str().is_some_and(|file| file.ends_with("spin.toml")), "{said}");
        assert_eq!((bench.get("/hello"), bench.get("/moved")), (200, 404), "the old routes");
        let status = bench.status();
        assert_eq!(status["digest"], before["digest"]);
        assert!(status["last_error"]["message"].as_str().is_some_and(|text| text.contains("spin.toml:")), "{status}");
    }
    bench.write(&moved());
    let (done, said) = bench.reload();
    assert!(done, "{said}");
    assert_eq!((bench.get("/hello"), bench.get("/moved")), (404, 200));
    let status = bench.status();
    assert_eq!((&status["digest"], &status["last_error"]), (&said["digest"], &Value::Null));
    assert_ne!(status["digest"], before["digest"]);
    let (_, audit, _) = bench.platform.weft(&["audit", "--json"]);
    let entries: Vec<Value> = audit.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let of_reloads: Vec<_> = entries.iter().filter(|entry| entry["action"] == "reload").collect();
    assert_eq!(of_reloads.len(), 4, "{audit}");
    assert!(of_reloads.iter().all(|entry| entry["reason"] == "tested"), "{audit}");
    assert_eq!(of_reloads.iter().filter(|entry| entry["outcome"] == "done").count(), 1, "{audit}");
}

#[test]
fn sighup_takes_up_the_manifest_and_never_ends_the_host() {
    let bench = Bench::start();
    bench.write("nonsense");
    bench.platform.signal(Signal::HUP);
    eventually("it is refused", || {
        let status = bench.status();
        if status["last_error"].is_null() { Err(status) } else { Ok(()) }
    });
    assert_eq!(bench.get("/hello"), 200);
    bench.write(&moved());
    bench.platform.signal(Signal::HUP);
    eventually("it is taken up", || if bench.get("/moved") == 200 { Ok(()) } else { Err(bench.platform.log()) });
    eventually("and told", || if bench.status()["last_error"].is_null() { Ok(()) } else { Err(bench.status()) });
}

#[test]
fn what_only_a_start_takes_up_is_told_or_refused() {
    let bench = Bench::start();
    bench.write(&format!("{}[application.tool.weft.messaging]\nretention_days = 3\n", moved()));
    let (done, said) = bench.reload();
    assert!(done && said["needs_restart"][0].as_str().is_some_and(|what| what.contains("messaging")), "{said}");
    assert_eq!(bench.get("/moved"), 200);
    bench.write(&format!("{}[application.tool.weft.contexts]\nnew = {{}}\n", text()));
    let (done, said) = bench.reload();
    assert!(
        !done && said["diagnostics"][0]["message"].as_str().is_some_and(|why| why.contains("needs a restart")),
        "{said}"
    );
    assert_eq!((bench.get("/moved"), bench.get("/hello")), (200, 404));
}

#[test]
fn keys_are_read_again_when_their_files_change() {
    let bench = Bench::start();
    let key = bench.folder.path().join("key.pem");
    assert_eq!((bench.with_token(1), bench.with_token(2)), (200, 401));
    replace(&key, &pem(2));
    eventually("the new key", || if bench.with_token(2) == 200 { Ok(()) } else { Err(bench.platform.log()) });
    assert_eq!(bench.with_token(1), 401, "also a token that was verified before");

    replace(&key, "nonsense");
    let place = format!("spin.toml:{KEY_LINE}: ");
    eventually("the broken one is told", || {
        let log = bench.platform.log();
        let told = log.lines().any(|line| line.contains("new keys for tokens are not taken") && line.contains(&place));
        if told { Ok(()) } else { Err(log) }
    });
    assert_eq!(bench.with_token(2), 200, "the old one stays");
    let (done, said) = bench.reload();
    assert!(!done && said["diagnostics"][0]["line"] == KEY_LINE, "{said}");
    assert_eq!(bench.with_token(2), 200);
    let mut command = Command::new(repository::weft());
    let checked = command.arg("check").arg("--manifest").arg(bench.manifest()).output().expect("weft runs");
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(!checked.status.success() && said.contains(&place), "{said}");
}

#[test]
fn check_names_a_url_that_cannot_be_used_for_shared_limits() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    replace(&folder.path().join("key.pem"), &pem(1));
    let text = text().replace(
        "[application.tool.weft.routes]",
        "[application.tool.weft.gateway]\nshared_limits = \"limits\"\n[variables]\nlimits = { default = \"nonsense\" }\n\
         [application.tool.weft.routes]",
    );
    let manifest = folder.path().join("spin.toml");
    std::fs::write(&manifest, text).expect("the manifest is written");
    let checked = Command::new(repository::weft()).arg("check").arg("--manifest").arg(&manifest).output();
    let said = String::from_utf8_lossy(&checked.expect("weft runs").stdout).into_owned();
    assert!(said.contains("spin.toml:9: variable `limits`: "), "{said}");
}
