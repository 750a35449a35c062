//! JSON: canonical text and fingerprints of inputs, and decoding that names the field at fault. Owns no HTTP.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::ids;

/// Why a text is not the value asked for.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not JSON at all.
    #[error("{0}")]
    Malformed(String),
    /// JSON, but not of this shape.
    #[error("{field}: {message}")]
    Invalid {
        /// Path of the field, such as `payment.token`; empty for the whole value.
        field: String,
        /// What is wrong with it.
        message: String,
    },
}

/// JSON with sorted keys and no spaces: equal values have equal texts.
pub fn canonical<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    // Through `Value`, whose maps are sorted.
    serde_json::to_vec(&serde_json::to_value(value)?)
}

/// SHA-256 of the canonical JSON, in hexadecimal.
pub fn fingerprint<T: Serialize + ?Sized>(value: &T) -> Result<String, serde_json::Error> {
    Ok(ids::hex(&Sha256::digest(canonical(value)?)))
}

/// Decodes a body. Malformed text and a wrong field are told apart.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    // The whole text first: a wrong field before a missing brace is still malformed JSON.
    let value: serde_json::Value =
        serde_json::from_slice(bytes).map_err(|error| DecodeError::Malformed(error.to_string()))?;
    // serde would take an array for a struct, field by field.
    if value.is_array() {
        let message = "invalid type: array, expected an object".to_string();
        return Err(DecodeError::Invalid { field: String::new(), message });
    }
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let message = error.into_inner().to_string();
        DecodeError::Invalid { field: field_of(&path, &message), message }
    })
}

/// The field at fault: serde names a missing or unknown one in its message, not in its path.
fn field_of(path: &str, message: &str) -> String {
    let parent = if path == "." { "" } else { path };
    let named = ["missing field `", "unknown field `"].iter().find_map(|prefix| message.strip_prefix(prefix));
    match named.and_then(|rest| rest.split('`').next()) {
        // serde's path ends in the unknown field already.
        Some(name) if parent == name || parent.ends_with(&format!(".{name}")) => parent.to_string(),
        Some(name) if parent.is_empty() => name.to_string(),
        Some(name) => format!("{parent}.{name}"),
        None => parent.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::{DecodeError, decode, fingerprint};

    #[derive(Debug, serde::Deserialize)]
    #[allow(dead_code)]
    struct Inner {
        token: String,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Outer {
        count: u32,
        payment: Option<Inner>,
    }

    fn field(text: &str) -> String {
        match decode::<Outer>(text.as_bytes()) {
            Err(DecodeError::Invalid { field, .. }) => field,
            other => panic!("expected a wrong field, got {other:?}"),
        }
    }

    #[test]
    fn the_field_at_fault_is_named() {
        assert_eq!(field(r#"{}"#), "count");
        assert_eq!(field(r#"{"count":-1}"#), "count");
        assert_eq!(field(r#"{"count":1,"payment":{}}"#), "payment.token");
        assert_eq!(field(r#"{"count":1,"payment":{"token":7}}"#), "payment.token");
        assert_eq!(field(r#"{"count":1,"cuont":1}"#), "cuont");
        assert_eq!(field(r#"[]"#), "");
    }

    #[test]
    fn malformed_text_is_malformed_even_after_a_wrong_field() {
        assert!(matches!(decode::<Outer>(br#"{"count":"x","#), Err(DecodeError::Malformed(_))));
        assert!(matches!(decode::<Outer>(b""), Err(DecodeError::Malformed(_))));
    }

    #[test]
    fn the_order_of_keys_does_not_change_a_fingerprint() {
        let one: serde_json::Value = serde_json::from_str(r#"{"a":1,"b":{"c":2,"d":3}}"#).unwrap();
        let two: serde_json::Value = serde_json::from_str(r#"{"b":{"d":3,"c":2},"a":1}"#).unwrap();
        assert_eq!(fingerprint(&one).unwrap(), fingerprint(&two).unwrap());
    }
}
