//! Pages of a user's notifications, newest first.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

/// Items of a page where none are asked for.
pub const LIMIT_DEFAULT: u32 = 20;
/// Items of a page at most.
pub const LIMIT_MAX: u32 = 100;

/// The number of items that a page may have.
///
/// # Errors
/// If the text is no number from 1 to [`LIMIT_MAX`].
pub fn limit(text: Option<&str>) -> Result<u32, String> {
    let Some(text) = text else { return Ok(LIMIT_DEFAULT) };
    text.parse()
        .ok()
        .filter(|limit| (1..=LIMIT_MAX).contains(limit))
        .ok_or_else(|| format!("is not a number from 1 to {LIMIT_MAX}"))
}

/// The cursor that continues after the notification with this id.
#[must_use]
pub fn cursor(last_id: &str) -> Option<String> {
    Uuid::try_parse(last_id).ok().map(|id| URL_SAFE_NO_PAD.encode(id.as_bytes()))
}

/// The id before which a page begins; without a cursor, one that no notification comes after.
///
/// # Errors
/// If the text is no cursor of ours.
pub fn before(cursor: Option<&str>) -> Result<String, String> {
    let Some(cursor) = cursor else { return Ok(Uuid::max().to_string()) };
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
    bytes
        .and_then(|bytes| Uuid::from_slice(&bytes).ok())
        .map(|id| id.to_string())
        .ok_or_else(|| "is not a next_cursor of this list".to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_leads_back_to_its_id(bits: u128) {
            let id = Uuid::from_u128(bits).to_string();
            prop_assert_eq!(before(cursor(&id).as_deref()), Ok(id.clone()));
            prop_assert!(id <= before(None).unwrap());
        }

        #[test]
        fn other_text_is_no_cursor(text in "\\PC{0,21}") {
            prop_assert!(before(Some(&text)).is_err());
        }

        #[test]
        fn a_limit_is_a_number_in_range(number: i64) {
            let expected = u32::try_from(number).ok().filter(|n| (1..=LIMIT_MAX).contains(n));
            prop_assert_eq!(limit(Some(&number.to_string())).ok(), expected);
        }
    }
}
