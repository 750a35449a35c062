//! Topics of the messaging capability and the patterns that grant and subscribe to them. Delivery belongs to the
//! capability.

use std::fmt;
use std::str::FromStr;

/// The longest topic or pattern, in bytes.
pub const MAX_TOPIC_BYTES: usize = 255;

/// Why a text is no topic or no pattern. Client fault; trying again does not help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// Longer than [`MAX_TOPIC_BYTES`].
    #[error("a topic has at most {MAX_TOPIC_BYTES} bytes")]
    TooLong,
    /// Empty, or a dot at either end or next to another.
    #[error("a topic is made of words separated by single dots, such as `enrollment.completed`")]
    EmptyWord,
    /// A character that no word has.
    #[error("{0:?} may not stand in a topic: a word is made of letters, digits, `-` and `_`")]
    Character(char),
    /// A wildcard beside other characters of a word.
    #[error("`*` and `#` stand for whole words, as in `enrollment.*`")]
    PartialWildcard,
}

/// A pattern over topics: words separated by `.`, where `*` stands for one word and `#` for any number, also none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TopicPattern {
    text: Box<str>,
    words: Box<[Word]>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Word {
    Literal(Box<str>),
    One,
    Any,
}

/// Whether `topic` can be published to: words of letters, digits, `-` and `_`, separated by single dots.
///
/// # Errors
/// What is wrong with it.
pub fn check_topic(topic: &str) -> Result<(), TopicError> {
    if topic.len() > MAX_TOPIC_BYTES {
        return Err(TopicError::TooLong);
    }
    topic.split('.').try_for_each(check_word)
}

fn check_word(word: &str) -> Result<(), TopicError> {
    if word.is_empty() {
        return Err(TopicError::EmptyWord);
    }
    match word.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))) {
        Some(found) => Err(TopicError::Character(found)),
        None => Ok(()),
    }
}

impl TopicPattern {
    /// Whether the pattern covers `topic`.
    #[must_use]
    pub fn matches(&self, topic: &str) -> bool {
        if check_topic(topic).is_err() {
            return false;
        }
        // `reached[i]`: the first `i` words of the pattern can stand for the words of the topic seen so far. It bounds
        // the work by pattern times topic, where backtracking over several `#` would be exponential.
        let mut reached = self.start();
        for word in topic.split('.') {
            reached = self.step(&reached, word);
        }
        reached.last().copied().unwrap_or(false)
    }

    /// The states before the first word: everything a leading run of `#` can skip.
    fn start(&self) -> Vec<bool> {
        let mut reached = Vec::with_capacity(self.words.len() + 1);
        let mut open = true;
        reached.push(open);
        for word in &self.words {
            open = open && *word == Word::Any;
            reached.push(open);
        }
        reached
    }

    fn step(&self, reached: &[bool], word: &str) -> Vec<bool> {
        let mut next = Vec::with_capacity(reached.len());
        next.push(false);
        let mut previous = false;
        for (pattern, (before, here)) in self.words.iter().zip(reached.iter().zip(reached.iter().skip(1))) {
            let open = match pattern {
                Word::Literal(literal) => *before && **literal == *word,
                Word::One => *before,
                // It takes this word after having begun earlier or beginning now, or takes none at all.
                Word::Any => *before || *here || previous,
            };
            next.push(open);
            previous = open;
        }
        next
    }

    /// The pattern as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for TopicPattern {
    type Err = TopicError;

    fn from_str(text: &str) -> Result<Self, TopicError> {
        if text.len() > MAX_TOPIC_BYTES {
            return Err(TopicError::TooLong);
        }
        let word = |word: &str| match word {
            "*" => Ok(Word::One),
            "#" => Ok(Word::Any),
            _ if word.contains(['*', '#']) => Err(TopicError::PartialWildcard),
            _ => check_word(word).map(|()| Word::Literal(word.into())),
        };
        let words = text.split('.').map(word).collect::<Result<_, _>>()?;
        Ok(Self { text: text.into(), words })
    }
}

impl fmt::Display for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn matches_as_documented() {
        let rows = [
            ("enrollment.*", "enrollment.completed", true),
            ("enrollment.*", "enrollment", false),
            ("enrollment.*", "enrollment.a.b", false),
            ("enrollment.#", "enrollment", true),
            ("enrollment.#", "enrollment.a.b", true),
            ("enrollment.#", "enrollments.a", false),
            ("#", "a", true),
            ("#", "a.b.c", true),
            ("*", "a", true),
            ("*", "a.b", false),
            ("#.failed", "failed", true),
            ("#.failed", "a.b.failed", true),
            ("#.failed", "a.failed.b", false),
            ("a.#.b.#.c", "a.b.c", true),
            ("a.#.b.#.c", "a.x.b.y.z.c", true),
            ("a.#.b.#.c", "a.x.y.c", false),
            ("#.#", "a", true),
            ("#.*", "a", true),
            ("order.created", "order.created", true),
            ("order.created", "order.Created", false),
            ("#", "", false),
            ("#", "a..b", false),
            ("#", "a.*", false),
        ];
        for (pattern, topic, expected) in rows {
            let parsed: TopicPattern = pattern.parse().unwrap();
            assert_eq!(parsed.matches(topic), expected, "{pattern} over {topic:?}");
        }
    }

    #[test]
    fn refuses_what_is_no_pattern() {
        let long = "a".repeat(MAX_TOPIC_BYTES + 1);
        let rows = [
            ("", TopicError::EmptyWord),
            ("a.", TopicError::EmptyWord),
            (".a", TopicError::EmptyWord),
            ("a b", TopicError::Character(' ')),
            ("a*.b", TopicError::PartialWildcard),
            ("##", TopicError::PartialWildcard),
            (long.as_str(), TopicError::TooLong),
        ];
        for (pattern, expected) in rows {
            assert_eq!(pattern.parse::<TopicPattern>().unwrap_err(), expected, "{pattern:?}");
        }
    }

    /// The definition, without regard to cost.
    fn naive(pattern: &[&str], topic: &[&str]) -> bool {
        match (pattern.split_first(), topic.split_first()) {
            (None, None) => true,
            (Some((&"#", rest)), None) => naive(rest, topic),
            (Some((&"#", rest)), Some((_, tail))) => naive(rest, topic) || naive(pattern, tail),
            (Some((&"*", rest)), Some((_, tail))) => naive(rest, tail),
            (Some((word, rest)), Some((first, tail))) => word == first && naive(rest, tail),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(
            pattern in prop::collection::vec(prop::sample::select(vec!["a", "b", "*", "#"]), 1..7),
            topic in prop::collection::vec(prop::sample::select(vec!["a", "b"]), 1..8),
        ) {
            let parsed: TopicPattern = pattern.join(".").parse().unwrap();
            prop_assert_eq!(parsed.matches(&topic.join(".")), naive(&pattern, &topic));
        }

        #[test]
        fn any_text_is_a_pattern_or_an_error(text in ".{0,40}", topic in ".{0,40}") {
            if let Ok(pattern) = text.parse::<TopicPattern>() {
                prop_assert_eq!(pattern.as_str(), text.as_str());
                let _ = pattern.matches(&topic);
            }
        }
    }
}
