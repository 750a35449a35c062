//! Notes, written with version 3 of Spin's SDK. What it imports is WASI 0.2 and `fermyon:spin@2.0.0`.

extern crate spin_sdk_3 as spin_sdk;

mod notes;
