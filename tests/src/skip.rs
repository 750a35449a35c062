//! Tests that cannot run here say why, in the one form that `scripts/test` collects, lists and counts.

use crate::repository;

/// Notes that the running test is skipped. Returns for the test to return.
pub fn skip(reason: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    println!("SKIPPED: {test}: {reason}");
}

/// Whether the component of that file name is there; if not, notes that the running test is skipped. Components of
/// languages whose tools are missing on this machine are not.
#[must_use]
pub fn without(component: &str) -> bool {
    let file = repository::root().join(format!("components/target/wasm32-wasip2/release/{component}.wasm"));
    let absent = !file.is_file();
    if absent {
        skip(&format!("{component}.wasm is not built; scripts/build-languages says why"));
    }
    absent
}

/// Whether tests that take minutes are wanted (`scripts/test --long`).
#[must_use]
pub fn long_wanted() -> bool {
    std::env::var_os("WEFT_LONG").is_some()
}
