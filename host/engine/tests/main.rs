//! All tests of the engine from outside, in one program, so that wasmtime is linked once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod gathered;
mod harness;
mod imports;
mod limits;
mod mutated_components;
mod mutated_values;
mod values;
