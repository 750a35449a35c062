//! A page of which a part is optional, while the function that makes the part fails half of its calls, is slow, or is not
//! there: every user gets the page, the function is hardly called more often than the page is asked for, and the part is back
//! once the fault is lifted. How much and how fast is measured by `scripts/bench failures`.

use serde_json::{Value, json};
use weft_tests::platform::{Options, Platform};
use weft_tests::repository;
use weft_tests::wait::eventually;

const CALLEE: &str = "greeter";

fn start() -> Platform {
    let manifest = repository::root().join("tests/applications/mesh/spin.toml");
    Platform::start_with(&Options { manifest, ..Options::default() })
}

fn weft(platform: &Platform, arguments: &[&str]) -> String {
    let (status, stdout, why) = platform.weft(arguments);
    assert!(status.success(), "weft {arguments:?}: {why}");
    stdout
}

fn callee(platform: &Platform) -> Value {
    let list: Vec<Value> =
        serde_json::from_str(&weft(platform, &["breakers", "list", "--json"])).expect("a list in JSON");
    list.into_iter().find(|entry| entry["component"] == CALLEE).expect("the callee")
}

fn number(entry: &Value, name: &str) -> u64 {
    entry[name].as_u64().unwrap_or_else(|| panic!("{name} of {entry}"))
}

/// How many of so many pages had the part; all of them are served.
fn whole(platform: &Platform, pages: usize) -> usize {
    let page = |_| {
        let page = platform.get("/page?name=Ada").send().expect(200);
        assert_eq!(page["title"], "A page");
        let greeting = &page["greeting"];
        assert!(*greeting == "Hello, Ada!" || greeting.is_null(), "{greeting}");
        usize::from(!greeting.is_null())
    };
    (0..pages).map(page).sum()
}

fn recovers(platform: &Platform) {
    weft(platform, &["chaos", "clear"]);
    eventually("the part is back", || if whole(platform, 3) == 3 { Ok(()) } else { Err(callee(platform)) });
}

#[test]
fn a_page_is_served_while_half_of_the_calls_of_its_part_fail() {
    let platform = start();
    assert_eq!(whole(&platform, 3), 3);
    weft(&platform, &["chaos", "add", "--callee", CALLEE, "--percent", "50", "--abort", "unavailable"]);
    let before = callee(&platform);
    whole(&platform, 60);
    let after = callee(&platform);
    let again = number(&after, "retries") - number(&before, "retries");
    // A fifth, and the few that are free in each ten seconds.
    assert!(again <= 12 + 18, "{after}");
    recovers(&platform);
}

#[test]
fn a_page_is_served_while_its_part_is_slow_or_not_there() {
    let platform = start();
    for fault in [["--delay", "20s"], ["--abort", "unavailable"]] {
        weft(&platform, &[["chaos", "add", "--callee", CALLEE].as_slice(), &fault].concat());
        let before = callee(&platform);
        assert_eq!(whole(&platform, 40), 0, "{fault:?}");
        let after = callee(&platform);
        let count = |name| number(&after, name) - number(&before, name);
        assert!(count("opened") >= 1, "{after}");
        // It opens at the tenth failure; the others are not tried, but for some that look whether it is back.
        assert!(count("refused") > 0 && count("calls") == 40, "{after}");
        recovers(&platform);
    }
    assert_eq!(json!(callee(&platform)["state"]), "closed");
}
