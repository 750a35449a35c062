//! What a search for content finds: content whose terms hold every word of the query.

use std::collections::BTreeSet;

use crate::Invalid;
use crate::processing::terms_of;

const QUERY_MAX_CHARS: usize = 100;

/// The terms that are looked for, each once; none finds everything.
///
/// # Errors
/// If the query is too long, or says something and has no word that could be a term.
pub fn terms(query: Option<&str>) -> Result<BTreeSet<String>, Invalid> {
    let Some(query) = query.map(str::trim).filter(|query| !query.is_empty()) else { return Ok(BTreeSet::new()) };
    if query.chars().count() > QUERY_MAX_CHARS {
        return Err(Invalid::new("query", format!("is longer than {QUERY_MAX_CHARS} characters")));
    }
    let terms: BTreeSet<String> = terms_of(query).collect();
    if terms.is_empty() {
        return Err(Invalid::new("query", "has no word of three letters or more"));
    }
    Ok(terms)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::processing::process;
    use crate::upload::Kind;

    #[test]
    fn without_words_everything_is_found() {
        assert_eq!(terms(None), Ok(BTreeSet::new()));
        assert_eq!(terms(Some("  ")), Ok(BTreeSet::new()));
        assert!(terms(Some("a !")).is_err());
        assert!(terms(Some(&"x".repeat(101))).is_err());
    }

    proptest! {
        #[test]
        fn each_term_of_a_text_is_one_of_a_query(text in "\\PC{1,90}") {
            let Ok(summary) = process(Kind::Article, &text) else { return Ok(()) };
            for term in summary.terms {
                prop_assert!(terms(Some(&term.term)).unwrap().contains(&term.term), "{:?}", term.term);
            }
        }
    }
}
