//! Tests that cannot run here say why, in the one form that `scripts/test` collects, lists and counts.

/// Notes that the running test is skipped. Returns for the test to return.
pub fn skip(reason: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    println!("SKIPPED: {test}: {reason}");
}

/// Whether tests that take minutes are wanted (`scripts/test --long`).
#[must_use]
pub fn long_wanted() -> bool {
    std::env::var_os("WEFT_LONG").is_some()
}
