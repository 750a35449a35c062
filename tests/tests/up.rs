//! `weft up` as an operator sees it: what it says, how it ends, and what it refuses.

use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

use rustix::process::Signal;
use weft_tests::platform::{ADMIN_EMAIL, ADMIN_PASSWORD, Options, Platform};
use weft_tests::repository;
use weft_tests::wait::eventually;

/// Runs `weft` to its end with these arguments.
fn weft(arguments: &[&str]) -> Output {
    Command::new(repository::weft())
        .args(arguments)
        .current_dir(repository::root())
        .stdin(Stdio::null())
        .output()
        .expect("weft can be started")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn it_says_where_it_is_and_who_may_enter() {
    let mut platform = Platform::start();
    // What it prints goes on after the address.
    let log = eventually("three commands to try", || {
        let log = platform.log();
        let commands = log.lines().skip_while(|line| *line != "try:").filter(|line| line.starts_with("  "));
        if commands.count() >= 3 { Ok(log) } else { Err(log) }
    });
    assert!(log.contains(platform.url()), "no address: {log}");
    assert!(log.contains(ADMIN_EMAIL), "no admin account: {log}");
    assert!(!log.contains(ADMIN_PASSWORD), "a password that was given is not repeated: {log}");
    assert!(platform.stop().success());
}

#[test]
fn interrupt_ends_it_in_good_order() {
    let mut platform = Platform::start();
    platform.signal(Signal::INT);
    assert!(platform.wait().success());
}

#[test]
fn a_password_is_made_up_once() {
    let options = Options::default().env("SPIN_VARIABLE_ADMIN_PASSWORD", "");
    let mut platform = Platform::start_with(&options);
    let says_password = |log: &str| log.lines().any(|line| line.contains(ADMIN_EMAIL) && line.contains("password"));
    assert!(says_password(&platform.log()), "{}", platform.log());
    assert!(platform.stop().success());
    let before = platform.log().len();
    platform.run(&options).expect("the host starts again");
    assert!(!says_password(&platform.log()[before..]), "{}", platform.log());
}

#[test]
fn the_signing_key_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let platform = Platform::start();
    let key = std::fs::metadata(platform.data().join("jwt_private_key.pem")).expect("the key is there");
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let data = tempfile::tempdir().expect("a temporary folder");
    let output = weft(&["up", "--listen", &address, "--data", &data.path().to_string_lossy()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(&address), "{}", stderr(&output));
}

#[test]
fn a_data_directory_in_use_is_named() {
    let platform = Platform::start();
    let data = platform.data().to_string_lossy();
    let output = weft(&["up", "--listen", "127.0.0.1:0", "--data", &data]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains(&*data) && said.contains("in use"), "{said}");
    // And the host that has it goes on.
    assert_eq!(platform.get("/livez").send().status, 200);
}

#[test]
fn a_manifest_that_is_not_there_is_named() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let output = weft(&["up", "--manifest", "no-such.toml", "--data", &data.path().to_string_lossy()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("no-such.toml"), "{}", stderr(&output));
}

#[test]
fn a_line_that_makes_no_sense_ends_with_2() {
    for arguments in [&["up", "--listen", "nowhere"][..], &["fly"], &["up", "--no-such-option"]] {
        let output = weft(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn the_platforms_manifest_is_in_order() {
    let output = weft(&["check"]);
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn listings_have_json() {
    let platform = Platform::start();
    for listing in [&["routes", "--json"][..], &["saga", "list", "--json"]] {
        let (status, stdout, stderr) = platform.weft(listing);
        assert!(status.success(), "{listing:?}: {stderr}");
        let parsed: Result<serde_json::Value, _> = serde_json::from_str(&stdout);
        assert!(parsed.is_ok(), "{listing:?}: {stdout}");
    }
}

#[test]
fn what_was_answered_is_there_after_a_kill() {
    let mut platform = Platform::start();
    let ada = weft_tests::people::register(&platform, "ada", "student");
    platform.kill();
    platform.run(&Options::default()).expect("the host starts on what it left");
    let again = weft_tests::people::log_in(&platform, &ada.email, weft_tests::people::PASSWORD);
    assert_eq!(again.id, ada.id);
    // The key is the same as well, so that tokens outlive the host.
    assert_eq!(platform.get("/api/users/me").token(&ada.token).send().status, 200);
}

#[test]
fn a_saved_source_is_built_and_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let built = repository::root().join("components/target/wasm32-wasip2/release");
    let choose = |file: &str| {
        std::fs::write(folder.path().join("which.txt"), built.join(file).display().to_string()).expect("it is saved");
    };
    choose("example_hello_p2.wasm");
    std::fs::copy(built.join("example_hello_p2.wasm"), folder.path().join("served.wasm")).expect("a component");
    let manifest = folder.path().join("spin.toml");
    let text = "spin_manifest_version = 2\n[application]\nname = \"watched\"\n\
                [[trigger.http]]\nroute = \"/...\"\ncomponent = \"c\"\n\
                [component.c]\nsource = \"served.wasm\"\nkey_value_stores = [\"default\"]\n\
                [component.c.build]\ncommand = 'cp \"$(cat which.txt)\" served.wasm'\nwatch = [\"which.txt\"]\n";
    std::fs::write(&manifest, text).expect("the manifest is written");
    let options = Options { manifest, options: vec!["--watch".to_owned()], ..Options::default() };
    let platform = Platform::start_with(&options);
    assert_eq!(platform.get("/a").send().text(), "{\"message\":\"Hello, world!\"}");
    choose("example_incoming_handler.wasm");
    let changed = eventually("what was saved is served", || {
        let text = platform.get("/a").send().text();
        if text.contains("Hello") { Err(text) } else { Ok(text) }
    });
    assert_eq!(changed, "/a was asked for 1 times\n");
}
