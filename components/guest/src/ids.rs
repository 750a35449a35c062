//! Identifiers: UUIDv7 from the host's clock and random source, and ids derived from names. Those of code between the
//! steps of a saga are the saga's, see [`Saga::uuid`](crate::saga::Saga::uuid).

use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

use crate::bindings::wasi::random::random;
use crate::clock;

/// A new UUIDv7. Not for code between the steps of a saga, which has to get the same one in every run: that is
/// [`Saga::uuid`](crate::saga::Saga::uuid).
pub fn uuid() -> String {
    let mut bytes = [0_u8; 10];
    let (low, high) = (random::get_random_u64().to_be_bytes(), random::get_random_u64().to_be_bytes());
    for (to, from) in bytes.iter_mut().zip(low.into_iter().chain(high)) {
        *to = from;
    }
    Builder::from_unix_timestamp_millis(clock::now_ms(), &bytes).into_uuid().to_string()
}

/// The same UUID (version 8) for the same parts, whenever it is asked for.
pub fn derived(parts: &[&str]) -> String {
    Builder::from_custom_bytes(digest(parts)).into_uuid().to_string()
}

/// The UUIDv7 of an instant that is the same for the same parts.
pub(crate) fn derived_at(epoch_ms: u64, parts: &[&str]) -> String {
    let [bytes @ .., _, _, _, _, _, _] = digest(parts);
    Builder::from_unix_timestamp_millis(epoch_ms, &bytes).into_uuid().to_string()
}

fn digest(parts: &[&str]) -> [u8; 16] {
    let mut hash = Sha256::new();
    for part in parts {
        // The length stands before each part, so that ("ab", "c") and ("a", "bc") differ.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let mut bytes = [0_u8; 16];
    for (to, from) in bytes.iter_mut().zip(hash.finalize()) {
        *to = from;
    }
    bytes
}

/// Whether the text is a UUID in its usual form.
pub fn is_uuid(text: &str) -> bool {
    text.len() == 36 && Uuid::try_parse(text).is_ok()
}

/// Random bytes that nobody can guess.
pub fn random_bytes(count: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(count);
    while bytes.len() < count {
        bytes.extend(random::get_random_bytes((count - bytes.len()) as u64));
    }
    bytes
}

/// As many random bytes as the array holds.
pub fn random_array<const N: usize>() -> [u8; N] {
    let mut array = [0_u8; N];
    for (to, from) in array.iter_mut().zip(random_bytes(N)) {
        *to = from;
    }
    array
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use core::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::{derived, is_uuid};

    #[test]
    fn derived_ids_repeat_and_tell_parts_apart() {
        assert_eq!(derived(&["a", "b"]), derived(&["a", "b"]));
        assert_ne!(derived(&["ab", "c"]), derived(&["a", "bc"]));
        assert!(is_uuid(&derived(&["x"])));
    }

    #[test]
    fn other_spellings_of_a_uuid_are_refused() {
        assert!(is_uuid("0198c0de-0000-7000-8000-000000000001"));
        assert!(!is_uuid("{0198c0de-0000-7000-8000-000000000001}"));
        assert!(!is_uuid("0198c0de00007000800000000000000"));
    }
}
