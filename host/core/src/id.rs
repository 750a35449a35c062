//! Ids: UUIDv7 for things, hex for traces. Content digests are SHA-256 in lower-case hex.

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// A new UUIDv7 (RFC 9562), ordered by the time of its making.
#[must_use]
pub fn new_id() -> String {
    Uuid::now_v7().to_string()
}

/// A new trace id: 32 lower-case hex digits.
#[must_use]
pub fn new_trace_id() -> String {
    Uuid::new_v4().simple().to_string()
}

/// A new span id: 16 lower-case hex digits.
#[must_use]
pub fn new_span_id() -> String {
    let id = Uuid::new_v4().simple().to_string();
    id.get(..16).unwrap_or_default().to_owned()
}

/// The SHA-256 of `bytes` in lower-case hex.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Lower-case hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}
