//! What a search finds: the words of the query, anywhere in a course's code, title or description.

use crate::Invalid;

const QUERY_MAX_CHARS: usize = 100;

/// The text of a course that queries are matched with.
#[must_use]
pub fn text(code: &str, title: &str, description: &str) -> String {
    format!("{code}\n{title}\n{description}").to_lowercase()
}

/// The pattern for `LIKE ... ESCAPE '\'` on [`text`]; `None` finds everything.
///
/// # Errors
/// If the words are too long.
pub fn pattern(query: Option<&str>) -> Result<Option<String>, Invalid> {
    let Some(words) = query.map(str::trim).filter(|words| !words.is_empty()) else { return Ok(None) };
    if words.chars().count() > QUERY_MAX_CHARS {
        return Err(Invalid::new("query", format!("is longer than {QUERY_MAX_CHARS} characters")));
    }
    if words.contains('\0') {
        return Err(Invalid::new("query", "has a NUL character"));
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
        assert!(pattern(Some("a\0")).is_err());
    }
}
