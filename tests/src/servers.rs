//! Real servers for tests: `scripts/test` starts them on private ports and says where they are. A test whose server is
//! not there skips itself.

use crate::skip::skip;

fn address(variable: &str, server: &str) -> Option<String> {
    let found = std::env::var(variable).ok().filter(|address| !address.is_empty());
    if found.is_none() {
        skip(&format!("no {server} server; scripts/test starts one and says where in {variable}"));
    }
    found
}

/// `redis://127.0.0.1:<port>`; without it, the running test is noted as skipped.
#[must_use]
pub fn redis() -> Option<String> {
    address("WEFT_TEST_REDIS", "Redis")
}

/// `mqtt://127.0.0.1:<port>`; without it, the running test is noted as skipped.
#[must_use]
pub fn mqtt() -> Option<String> {
    address("WEFT_TEST_MQTT", "MQTT")
}

/// `postgres://127.0.0.1:<port>/postgres?user=weft`; without it, the running test is noted as skipped.
#[must_use]
pub fn postgres() -> Option<String> {
    address("WEFT_TEST_POSTGRES", "PostgreSQL")
}
