//! All tests of the gateway from outside, in one program, so that the gateway and its client are linked once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod access_log;
mod common;
mod edge;
mod https;
mod idempotency;
mod limits;
mod overload;
mod probes;
mod rate_limits;
mod reload;
mod requests;
mod tokens;
mod transform;
