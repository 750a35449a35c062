//! How a saga's answer stands in its journal: `{"ok": value}` or `{"error": value}`.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Failure;

/// The recorded answer of a durable function.
#[derive(Debug, Serialize, Deserialize)]
pub enum Answer<T, E> {
    /// It succeeded.
    #[serde(rename = "ok")]
    Ok(T),
    /// It failed, and its compensations have run.
    #[serde(rename = "error")]
    Error(E),
}

pub(super) fn encode<T: Serialize, E: Serialize>(outcome: Result<T, E>) -> Result<Vec<u8>, Failure> {
    let answer = match outcome {
        Ok(value) => Answer::Ok(value),
        Err(error) => Answer::Error(error),
    };
    serde_json::to_vec(&answer).map_err(|error| Failure::unknown(format!("the answer cannot be coded: {error}")))
}

pub(super) fn decode<T: DeserializeOwned, E: DeserializeOwned>(bytes: &[u8]) -> Result<Result<T, E>, Failure> {
    match serde_json::from_slice(bytes) {
        Ok(Answer::Ok(value)) => Ok(Ok(value)),
        Ok(Answer::Error(error)) => Ok(Err(error)),
        Err(error) => Err(Failure::unknown(format!("the recorded answer cannot be decoded: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::{decode, encode};

    #[test]
    fn answers_come_back_as_they_were() {
        for outcome in [Ok(7_u32), Err("full".to_string())] {
            let bytes = encode(outcome.clone()).unwrap();
            assert_eq!(decode::<u32, String>(&bytes).unwrap(), outcome);
        }
        assert_eq!(encode(Ok::<(), String>(())).unwrap(), br#"{"ok":null}"#);
        assert_eq!(decode::<(), String>(br#"{"ok":null}"#).unwrap(), Ok(()));
        assert!(decode::<u32, String>(b"{}").is_err());
    }
}
