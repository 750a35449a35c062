//! Topics and the patterns that subscribe to them, as under Weft: words separated by `.`, where `*` stands for one word
//! and `#` for any number, also none.

/// The longest topic or pattern, in bytes.
const MAX_BYTES: usize = 255;

/// Whether `topic` can be published to: words of letters, digits, `-` and `_`, separated by single dots.
///
/// # Errors
/// What is wrong with it.
pub fn check_topic(topic: &str) -> Result<(), String> {
    if topic.len() > MAX_BYTES {
        return Err(format!("a topic has at most {MAX_BYTES} bytes"));
    }
    topic.split('.').try_for_each(|word| {
        if word.is_empty() {
            return Err(format!(
                "{topic:?} is not a topic: it is made of words separated by single dots, such as `enrollment.completed`"
            ));
        }
        match word.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))) {
            Some(found) => Err(format!("{found:?} may not stand in a topic: a word is letters, digits, `-` and `_`")),
            None => Ok(()),
        }
    })
}

/// A pattern over topics. What is no pattern matches nothing: `weft check` has refused it before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPattern {
    words: Vec<Word>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    Literal(String),
    One,
    Any,
}

impl TopicPattern {
    /// The pattern that a text says.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let word = |word: &str| match word {
            "*" => Word::One,
            "#" => Word::Any,
            _ => Word::Literal(word.to_owned()),
        };
        Self { words: text.split('.').map(word).collect() }
    }

    /// Whether the pattern covers `topic`.
    #[must_use]
    pub fn matches(&self, topic: &str) -> bool {
        if check_topic(topic).is_err() {
            return false;
        }
        // `reached[i]`: the first `i` words of the pattern can stand for the words of the topic seen so far. It bounds
        // the work by pattern times topic.
        let mut open = true;
        let mut reached = vec![true];
        reached.extend(self.words.iter().map(|word| {
            open = open && *word == Word::Any;
            open
        }));
        for word in topic.split('.') {
            reached = self.step(&reached, word);
        }
        reached.last().copied().unwrap_or(false)
    }

    fn step(&self, reached: &[bool], word: &str) -> Vec<bool> {
        let mut next = vec![false];
        let mut previous = false;
        for (pattern, (before, here)) in self.words.iter().zip(reached.iter().zip(reached.iter().skip(1))) {
            previous = match pattern {
                Word::Literal(literal) => *before && literal == word,
                Word::One => *before,
                // It takes this word after having begun earlier or beginning now, or takes none at all.
                Word::Any => *before || *here || previous,
            };
            next.push(previous);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stand_for_whole_words() {
        for (pattern, topic, matches) in [
            ("identity.registered", "identity.registered", true),
            ("identity.*", "identity.registered", true),
            ("identity.*", "identity", false),
            ("identity.*", "identity.a.b", false),
            ("#", "a.b.c", true),
            ("a.#", "a", true),
            ("a.#", "a.b.c", true),
            ("a.#.z", "a.z", true),
            ("a.#.z", "a.b.c.z", true),
            ("a.#.z", "a.b.c", false),
            ("*.b", "a.b", true),
            ("#.#.b", "b", true),
            ("#", "not a topic", false),
        ] {
            assert_eq!(TopicPattern::new(pattern).matches(topic), matches, "{pattern} {topic}");
        }
    }

    /// The plain definition, which may take exponential time.
    fn plain(pattern: &[&str], topic: &[&str]) -> bool {
        match (pattern.split_first(), topic.split_first()) {
            (None, _) => topic.is_empty(),
            (Some((&"#", rest)), None) => plain(rest, topic),
            (Some((&"#", rest)), Some((_, behind))) => plain(rest, topic) || plain(pattern, behind),
            (Some((word, rest)), Some((first, behind))) => (*word == "*" || word == first) && plain(rest, behind),
            (Some(_), None) => false,
        }
    }

    proptest::proptest! {
        #[test]
        fn matching_is_what_the_definition_says(
            pattern in proptest::collection::vec(proptest::sample::select(vec!["a", "b", "*", "#"]), 1..6),
            topic in proptest::collection::vec(proptest::sample::select(vec!["a", "b"]), 1..6),
        ) {
            let found = TopicPattern::new(&pattern.join(".")).matches(&topic.join("."));
            proptest::prop_assert_eq!(found, plain(&pattern, &topic));
        }
    }
}
