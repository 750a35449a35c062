//! Components that know nothing of Weft: one of WASI 0.2, and a plain application of Spin.

use serde_json::json;
use weft_tests::isolation::{probe, start};
use weft_tests::platform::{Options, Platform};
use weft_tests::repository;

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

fn notes() -> Options {
    let manifest = repository::root().join("components/examples/spin-app/spin.toml");
    Options { manifest, ..Options::default() }.env("SPIN_VARIABLE_GREETING", "Servus")
}

#[test]
fn an_application_of_spin_runs_unchanged() {
    let mut platform = Platform::start_with(&notes());
    assert_eq!(platform.get("/notes/milk").send().status, 404);
    assert_eq!(platform.request("PUT", "/notes/milk").body("buy some").send().status, 201);
    assert_eq!(platform.request("PUT", "/notes/milk").body("buy more").send().status, 201);
    let note = platform.get("/notes/milk").send();
    assert_eq!((note.status, note.text()), (200, "Servus! buy more (written 2 times)\n".to_owned()));
    assert_eq!(note.header("content-type"), Some("text/plain"));
    platform.kill();
    platform.run(&notes()).expect("the host starts on what it left");
    assert_eq!(platform.get("/notes/milk").send().text(), "Servus! buy more (written 2 times)\n");
    assert!(platform.stop().success());
}
