//! Pages of a list: how many items, where the next page begins, and what a search finds.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use crate::Invalid;

/// Items of a page where none are asked for.
pub const LIMIT_DEFAULT: u32 = 20;
/// Items of a page at most.
pub const LIMIT_MAX: u32 = 100;
const QUERY_MAX_CHARS: usize = 100;

/// The number of items that a page may have.
///
/// # Errors
/// If the text is no number from 1 to [`LIMIT_MAX`].
pub fn limit(text: Option<&str>) -> Result<u32, Invalid> {
    let Some(text) = text else { return Ok(LIMIT_DEFAULT) };
    text.parse()
        .ok()
        .filter(|limit| (1..=LIMIT_MAX).contains(limit))
        .ok_or_else(|| Invalid::new("limit", format!("is not a number from 1 to {LIMIT_MAX}")))
}

/// The cursor that continues after the item with this id. It says nothing of the item that the list did not.
#[must_use]
pub fn cursor(last_id: &str) -> Option<String> {
    Uuid::try_parse(last_id).ok().map(|id| URL_SAFE_NO_PAD.encode(id.as_bytes()))
}

/// The id after which a page begins.
///
/// # Errors
/// If the text is no cursor of ours.
pub fn after(cursor: &str) -> Result<String, Invalid> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
    bytes
        .and_then(|bytes| Uuid::from_slice(&bytes).ok())
        .map(|id| id.to_string())
        .ok_or_else(|| Invalid::new("cursor", "is not a next_cursor of this list"))
}

/// The pattern for `LIKE ... ESCAPE '\'` that finds the words anywhere, in lower case; `None` finds everything.
///
/// # Errors
/// If the words are too long.
pub fn pattern(query: Option<&str>) -> Result<Option<String>, Invalid> {
    let Some(words) = query.map(str::trim).filter(|words| !words.is_empty()) else { return Ok(None) };
    if words.chars().count() > QUERY_MAX_CHARS || words.contains('\0') {
        return Err(Invalid::new("query", format!("is longer than {QUERY_MAX_CHARS} characters")));
    }
    let mut pattern = String::from("%");
    for c in words.to_lowercase().chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    Ok(Some(pattern))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_leads_back_to_its_id(bits: u128) {
            let id = Uuid::from_u128(bits).to_string();
            prop_assert_eq!(after(&cursor(&id).unwrap()), Ok(id));
        }

        #[test]
        fn other_text_is_no_cursor(text in "\\PC{0,21}") {
            prop_assert_eq!(after(&text).map_err(|e| e.field), Err("cursor".to_owned()));
        }

        #[test]
        fn a_limit_is_a_number_in_range(number: i64) {
            let expected = u32::try_from(number).ok().filter(|n| (1..=LIMIT_MAX).contains(n));
            prop_assert_eq!(limit(Some(&number.to_string())).ok(), expected);
        }

        #[test]
        fn nothing_in_a_query_is_a_wildcard(words in "[a-z%_\\\\]{1,20}") {
            let pattern = pattern(Some(&words)).unwrap().unwrap();
            let inner = pattern.strip_prefix('%').and_then(|rest| rest.strip_suffix('%')).unwrap();
            let (mut literal, mut escaped) = (String::new(), false);
            for c in inner.chars() {
                prop_assert!(escaped || (c != '%' && c != '_'), "{pattern}");
                escaped = c == '\\' && !escaped;
                if !escaped {
                    literal.push(c);
                }
            }
            prop_assert_eq!(literal, words);
        }
    }

    #[test]
    fn without_words_everything_is_found() {
        assert_eq!(pattern(None), Ok(None));
        assert_eq!(pattern(Some("  ")), Ok(None));
        assert_eq!(pattern(Some(" Data ")), Ok(Some("%data%".to_owned())));
        assert!(pattern(Some(&"x".repeat(101))).is_err());
    }
}
