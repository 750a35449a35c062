//! Tests that cannot run here say why and are counted: `scripts/test` prints the reasons and subtracts them from what
//! passed.

use std::io::Write as _;

/// Notes that the running test is skipped. Returns for the test to return.
pub fn skip(reason: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    println!("skipped: {test}: {reason}");
    let Some(list) = std::env::var_os("WEFT_SKIPS") else { return };
    let mut list = std::fs::OpenOptions::new().append(true).create(true).open(list).expect("the list of skips opens");
    // One write, so that lines of tests that run at the same time do not mix.
    list.write_all(format!("{test}: {reason}\n").as_bytes()).expect("the list of skips can be written");
}

/// Whether tests that take minutes are wanted (`scripts/test --long`).
#[must_use]
pub fn long_wanted() -> bool {
    std::env::var_os("WEFT_LONG").is_some()
}
