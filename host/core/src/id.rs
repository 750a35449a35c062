//! Ids: UUIDv7 for things, hex for traces. Content digests are SHA-256 in lower-case hex.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// A new UUIDv7 (RFC 9562), ordered by the time of its making.
#[must_use]
pub fn new_id() -> String {
    Uuid::now_v7().to_string()
}

/// A new trace id: 32 lower-case hex digits.
#[must_use]
pub fn new_trace_id() -> Arc<str> {
    let mut digits = Uuid::encode_buffer();
    Arc::from(&*Uuid::new_v4().simple().encode_lower(&mut digits))
}

/// A new span id: 16 lower-case hex digits.
#[must_use]
pub fn new_span_id() -> Arc<str> {
    let mut digits = Uuid::encode_buffer();
    let id = Uuid::new_v4().simple().encode_lower(&mut digits);
    // Its first half: a nibble of it is the version, the rest is random.
    id.get(..16).unwrap_or_default().into()
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
