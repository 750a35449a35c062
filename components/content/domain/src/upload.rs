//! What may be uploaded. Whether anything can be made of the text is processing's business.

use crate::Invalid;

/// The longest text, in bytes. With its escapes it still fits into a saga's input.
pub const TEXT_MAX_BYTES: usize = 400_000;
const TITLE_MAX_CHARS: usize = 200;

/// What content is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A text to read.
    Article,
    /// Something to watch; its text is what is said in it.
    Video,
}

impl Kind {
    /// The name of the kind.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Article => "article",
            Self::Video => "video",
        }
    }

    /// The kind of that name.
    ///
    /// # Errors
    /// If there is none.
    pub fn parse(name: &str) -> Result<Self, Invalid> {
        match name {
            "article" => Ok(Self::Article),
            "video" => Ok(Self::Video),
            _ => Err(Invalid::new("kind", "has to be \"article\" or \"video\"")),
        }
    }
}

/// Checks all fields of an upload. Answers the title without space around it, and the kind.
///
/// # Errors
/// The first field that is not acceptable.
pub fn check(title: &str, kind: &str, text: &str) -> Result<(String, Kind), Invalid> {
    let title = title_of(title)?;
    let kind = Kind::parse(kind)?;
    if text.trim().is_empty() {
        return Err(Invalid::new("text", "is empty"));
    }
    if text.len() > TEXT_MAX_BYTES {
        return Err(Invalid::new("text", format!("is longer than {TEXT_MAX_BYTES} bytes")));
    }
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err(Invalid::new("text", "has a control character other than line breaks and tabs"));
    }
    Ok((title, kind))
}

fn title_of(given: &str) -> Result<String, Invalid> {
    let title = given.trim();
    if title.is_empty() {
        return Err(Invalid::new("title", "is empty"));
    }
    if title.chars().count() > TITLE_MAX_CHARS {
        return Err(Invalid::new("title", format!("is longer than {TITLE_MAX_CHARS} characters")));
    }
    if title.chars().any(char::is_control) {
        return Err(Invalid::new("title", "has a control character"));
    }
    Ok(title.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(title: &str, kind: &str, text: &str) -> &'static str {
        check(title, kind, text).unwrap_err().field
    }

    #[test]
    fn each_field_is_named_when_it_is_wrong() {
        assert_eq!(check(" Parsing ", "video", "a\n\tb"), Ok(("Parsing".into(), Kind::Video)));
        assert_eq!(refused(" ", "article", "text"), "title");
        assert_eq!(refused("a\nb", "article", "text"), "title");
        assert_eq!(refused(&"x".repeat(201), "article", "text"), "title");
        assert_eq!(refused("title", "podcast", "text"), "kind");
        assert_eq!(refused("title", "article", " \n"), "text");
        assert_eq!(refused("title", "article", "a\0b"), "text");
        assert_eq!(refused("title", "article", &"x".repeat(TEXT_MAX_BYTES + 1)), "text");
    }

    proptest! {
        #[test]
        fn what_is_accepted_at_most_doubles_as_json(text in "(\\PC|[\x00-\x1f\"\\\\]){0,40}") {
            if check("title", "article", &text).is_ok() {
                prop_assert!(serde_json::to_string(&text).unwrap().len() <= 2 * text.len() + 2);
            }
        }
    }
}
