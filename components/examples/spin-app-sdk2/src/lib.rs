//! Notes, written with version 2 of Spin's SDK. What it imports is WASI 0.2.0-rc-2023-10-18 and `fermyon:spin@2.0.0`.

extern crate spin_sdk_2 as spin_sdk;

#[path = "../../spin-app-sdk3/src/notes.rs"]
mod notes;
