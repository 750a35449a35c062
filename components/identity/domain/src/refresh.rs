//! What a refresh token is: 32 random bytes that the client holds and whose digest alone is stored. Each is good for
//! one use; all that come from one login are a family, which ends as soon as one of them is used twice.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// How long a refresh token is good for, in milliseconds.
pub const LIFETIME_MS: i64 = 7 * 24 * 60 * 60 * 1000;

/// The token as the client gets it.
#[must_use]
pub fn encode(random: &[u8; 32]) -> String {
    URL_SAFE_NO_PAD.encode(random)
}

/// What is stored of the token, in hexadecimal; `None` if the text cannot be one of ours. No salt: 256 random bits
/// cannot be guessed.
#[must_use]
pub fn digest(token: &str) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok().filter(|bytes| bytes.len() == 32)?;
    Some(hex(&Sha256::digest(bytes)))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is known of a stored token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// It has been exchanged for another one.
    pub used: bool,
    /// Its family has ended.
    pub family_ended: bool,
    /// Milliseconds since the Unix epoch.
    pub expires_at_ms: i64,
}

/// What to do with a token that a client shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Exchange it.
    Rotate,
    /// It was used before, so somebody has a copy: end the family.
    EndFamily,
    /// It is worth nothing.
    Refuse,
}

/// Judges a stored token.
#[must_use]
pub fn judge(stored: Stored, now_ms: i64) -> Verdict {
    match stored {
        Stored { family_ended: true, .. } => Verdict::Refuse,
        Stored { used: true, .. } => Verdict::EndFamily,
        Stored { expires_at_ms, .. } if expires_at_ms <= now_ms => Verdict::Refuse,
        _ => Verdict::Rotate,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_token_is_found_again_by_its_digest_and_does_not_show_in_it(random: [u8; 32]) {
            let token = encode(&random);
            let stored = digest(&token).unwrap();
            prop_assert_eq!(stored.len(), 64);
            prop_assert_eq!(digest(&token), Some(stored.clone()));
            prop_assert_ne!(stored, hex(&random));
        }

        #[test]
        fn other_text_is_no_token(text in "\\PC{0,42}") {
            prop_assert_eq!(digest(&text), None);
        }

        #[test]
        fn only_an_unused_live_token_rotates(used: bool, family_ended: bool, expires_at_ms: i64, now_ms: i64) {
            let verdict = judge(Stored { used, family_ended, expires_at_ms }, now_ms);
            prop_assert_eq!(verdict == Verdict::Rotate, !used && !family_ended && now_ms < expires_at_ms);
            prop_assert_eq!(verdict == Verdict::EndFamily, used && !family_ended);
        }
    }
}
