//! Notes, written with version 4 of Spin's SDK. What it imports is WASI 0.2 and `fermyon:spin@2.0.0`.

extern crate spin_sdk_4 as spin_sdk;

#[path = "../../spin-app-sdk3/src/notes.rs"]
mod notes;
