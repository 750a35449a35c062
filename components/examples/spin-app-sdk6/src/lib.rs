//! Notes, written with version 6 of Spin's SDK. What it imports is the release candidate of WASI 0.3 of March 2026.

extern crate spin_sdk_6 as spin_sdk;

#[path = "../../spin-app/src/notes.rs"]
mod notes;
