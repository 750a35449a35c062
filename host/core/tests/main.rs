//! All tests of manifests, in one program.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod manifest;
mod mutated_manifests;
mod spin_manifest;
