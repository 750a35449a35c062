//! What processing makes of a text: its length, an excerpt, and the terms by which it is found. Knows no language: words
//! are those of Unicode (UAX 29), and no list of words is left out.

use std::collections::BTreeMap;
use std::fmt;

use unicode_segmentation::UnicodeSegmentation;

use crate::upload::Kind;

/// The most words of one text.
pub const WORDS_MAX: usize = 50_000;
/// How many terms a text is found by.
pub const TERMS_MAX: usize = 20;
/// The longest excerpt, without what says that more follows.
pub const EXCERPT_MAX_CHARS: usize = 200;
/// Shorter words are mostly grammar, in the languages whose words have several letters.
const TERM_MIN_CHARS: usize = 3;
/// Longer words are addresses and codes that nobody searches for.
const TERM_MAX_CHARS: usize = 64;
const READ_PER_MINUTE: usize = 200;
const SAID_PER_MINUTE: usize = 150;

/// What a text comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// 1 to [`WORDS_MAX`].
    pub words: u32,
    /// To read it or to hear it said; a minute begun is a minute.
    pub minutes: u32,
    /// The beginning, on one line, cut between words.
    pub excerpt: String,
    /// The most frequent first, those as frequent as each other by their letters.
    pub terms: Vec<Term>,
}

/// A word and how often it stands in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// In lower case.
    pub term: String,
    /// At least 1.
    pub occurrences: u32,
}

/// Why nothing can be made of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// It has marks and spaces alone.
    NoWords,
    /// It has more than [`WORDS_MAX`] words.
    TooLong,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoWords => f.write_str("the text has no words"),
            Self::TooLong => write!(f, "the text has more than {WORDS_MAX} words"),
        }
    }
}

impl std::error::Error for Unusable {}

/// Processes a text.
///
/// # Errors
/// If nothing can be made of it; it will be so whenever it is tried.
pub fn process(kind: Kind, text: &str) -> Result<Summary, Unusable> {
    let words = text.unicode_words().count();
    if words == 0 {
        return Err(Unusable::NoWords);
    }
    if words > WORDS_MAX {
        return Err(Unusable::TooLong);
    }
    let per_minute = match kind {
        Kind::Article => READ_PER_MINUTE,
        Kind::Video => SAID_PER_MINUTE,
    };
    Ok(Summary {
        words: count(words),
        minutes: count(words.div_ceil(per_minute)),
        excerpt: excerpt(text),
        terms: terms(text),
    })
}

/// The words of a text as they are searched for; those that no search looks for are left out.
pub(crate) fn terms_of(text: &str) -> impl Iterator<Item = String> + '_ {
    // A narrow space joins words for Unicode; whoever types a word does not type it.
    text.unicode_words().map(|word| word.trim().to_lowercase()).filter(|word| {
        let chars = word.chars().count();
        // In scripts without letters a word of one sign says as much as a long one elsewhere.
        let long_enough = chars >= TERM_MIN_CHARS || !word.is_ascii() && word.chars().all(is_unspaced);
        long_enough && chars <= TERM_MAX_CHARS
    })
}

/// Whether the character is of a script that writes no spaces between words and has a sign for a word: Han and kana.
fn is_unspaced(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{20000}'..='\u{323af}')
}

fn terms(text: &str) -> Vec<Term> {
    let mut counted: BTreeMap<String, u32> = BTreeMap::new();
    for term in terms_of(text) {
        *counted.entry(term).or_default() += 1;
    }
    let mut terms: Vec<Term> = counted.into_iter().map(|(term, occurrences)| Term { term, occurrences }).collect();
    // Stable: those as frequent as each other stay in the order of their letters.
    terms.sort_by_key(|term| std::cmp::Reverse(term.occurrences));
    terms.truncate(TERMS_MAX);
    terms
}

/// The first words, up to the limit. A first word past it is cut.
fn excerpt(text: &str) -> String {
    let mut excerpt = String::new();
    let mut chars = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        let needed = length + usize::from(chars > 0);
        if chars + needed > EXCERPT_MAX_CHARS {
            if chars == 0 {
                excerpt.extend(word.chars().take(EXCERPT_MAX_CHARS));
            }
            excerpt.push('…');
            break;
        }
        if chars > 0 {
            excerpt.push(' ');
        }
        excerpt.push_str(word);
        chars += needed;
    }
    excerpt
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(text: &str) -> Vec<String> {
        process(Kind::Article, text).unwrap().terms.into_iter().map(|term| term.term).collect()
    }

    #[test]
    fn a_text_is_counted_and_found_by_its_terms() {
        let summary = process(Kind::Article, "A parser parses. The PARSER doesn't guess:\n a parser knows.").unwrap();
        assert_eq!((summary.words, summary.minutes), (10, 1));
        assert_eq!(summary.excerpt, "A parser parses. The PARSER doesn't guess: a parser knows.");
        assert_eq!(summary.terms.first(), Some(&Term { term: "parser".into(), occurrences: 3 }));
    }

    #[test]
    fn no_language_is_left_out() {
        assert_eq!(found("Übung macht den Meister, ÜBUNG!"), ["übung", "den", "macht", "meister"]);
        assert_eq!(found("Разбор текста и разбор"), ["разбор", "текста"]);
        assert!(found("編訳").contains(&"編".to_owned()));
    }

    #[test]
    fn what_has_no_words_or_too_many_is_refused() {
        assert_eq!(process(Kind::Article, " ?! — … "), Err(Unusable::NoWords));
        assert_eq!(process(Kind::Video, ""), Err(Unusable::NoWords));
        let long = "word ".repeat(WORDS_MAX);
        assert_eq!(process(Kind::Article, &long).unwrap().minutes, 250);
        assert_eq!(process(Kind::Article, &format!("{long}more")), Err(Unusable::TooLong));
    }

    #[test]
    fn an_excerpt_is_cut_between_words() {
        let excerpt = excerpt(&"four ".repeat(100));
        assert_eq!(excerpt.chars().count(), EXCERPT_MAX_CHARS);
        assert!(excerpt.ends_with("four…"));
        assert_eq!(super::excerpt(&"x".repeat(201)).chars().count(), EXCERPT_MAX_CHARS + 1);
    }

    proptest! {
        #[test]
        fn what_is_made_of_a_text_holds(text in "(?s).{0,600}") {
            let Ok(summary) = process(Kind::Article, &text) else { return Ok(()) };
            prop_assert!(summary.minutes >= 1 && summary.minutes <= summary.words);
            prop_assert!(summary.excerpt.chars().count() <= EXCERPT_MAX_CHARS + 1);
            prop_assert!(!summary.excerpt.contains('\n'));
            prop_assert!(summary.terms.len() <= TERMS_MAX);
            for pair in summary.terms.windows(2) {
                let key = |term: &Term| (std::cmp::Reverse(term.occurrences), term.term.clone());
                prop_assert!(key(&pair[0]) < key(&pair[1]), "{pair:?}");
            }
            let occurrences: u32 = summary.terms.iter().map(|term| term.occurrences).sum();
            prop_assert!(occurrences <= summary.words);
        }

        #[test]
        fn an_excerpt_is_the_beginning(words in prop::collection::vec("\\w{1,12}", 1..80), space in "[ \n\t]{1,3}") {
            let line = words.join(" ");
            let excerpt = excerpt(&words.join(&space));
            match excerpt.strip_suffix('…') {
                Some(beginning) => prop_assert!(line.starts_with(beginning) && line.len() > beginning.len()),
                None => prop_assert_eq!(excerpt, line),
            }
        }

        #[test]
        fn order_and_case_do_not_matter_to_terms(words in prop::collection::vec("[a-d]{3,4}", 1..40)) {
            let mut turned = words.clone();
            turned.reverse();
            prop_assert_eq!(terms(&words.join(" ")), terms(&turned.join(", ").to_uppercase()));
        }
    }
}
