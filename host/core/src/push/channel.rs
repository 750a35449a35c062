//! Names of channels, and patterns that grant them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The longest name of a channel, or pattern of names, in bytes.
pub const MAX_CHANNEL_BYTES: usize = 160;
/// What the name of a user's own channel begins with.
pub const USER: &str = "user:";
/// What a pattern ends with that stands for more names than one.
const ANY: char = '*';

/// Why a text is no channel or no pattern. Client fault; trying again does not help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// Empty, or longer than [`MAX_CHANNEL_BYTES`].
    #[error("a channel has 1 to {MAX_CHANNEL_BYTES} bytes")]
    Length,
    /// A character that no channel has.
    #[error(
        "{0:?} may not stand in a channel: it is made of visible ASCII without `*`, `,`, `{{`, `}}`, `\"` and `\\`, \
         such as `course:42`"
    )]
    Character(char),
}

/// Whether `name` is one of a channel.
///
/// # Errors
/// What is wrong with it.
pub fn check_channel(name: &str) -> Result<(), ChannelError> {
    if name.is_empty() || name.len() > MAX_CHANNEL_BYTES {
        return Err(ChannelError::Length);
    }
    match name.chars().find(|&found| !is_allowed(found)) {
        Some(found) => Err(ChannelError::Character(found)),
        None => Ok(()),
    }
}

fn is_allowed(character: char) -> bool {
    character.is_ascii_graphic() && !matches!(character, ANY | ',' | '{' | '}' | '"' | '\\')
}

/// The channel of one user.
///
/// # Errors
/// If the user's id cannot stand in one.
pub fn user_channel(user: &str) -> Result<Arc<str>, ChannelError> {
    let name = format!("{USER}{user}");
    check_channel(&name)?;
    if user.is_empty() { Err(ChannelError::Length) } else { Ok(name.into()) }
}

/// One channel, or with `*` at its end all whose names go on from there, as in `course:*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelPattern {
    start: Arc<str>,
    is_open: bool,
}

impl ChannelPattern {
    /// Whether it covers this channel.
    #[must_use]
    pub fn matches(&self, channel: &str) -> bool {
        match channel.strip_prefix(&*self.start) {
            // A star stands for something.
            Some(rest) => rest.is_empty() != self.is_open,
            None => false,
        }
    }
}

impl FromStr for ChannelPattern {
    type Err = ChannelError;

    fn from_str(text: &str) -> Result<Self, ChannelError> {
        let (start, is_open) = text.strip_suffix(ANY).map_or((text, false), |start| (start, true));
        if !(is_open && start.is_empty()) {
            check_channel(start)?;
        }
        Ok(Self { start: start.into(), is_open })
    }
}

impl fmt::Display for ChannelPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = if self.is_open { "*" } else { "" };
        write!(f, "{}{end}", self.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_covers_one_or_all_that_go_on() {
        let covers = |pattern: &str, name: &str| pattern.parse::<ChannelPattern>().unwrap().matches(name);
        for (pattern, name, expected) in [
            ("course:1", "course:1", true),
            ("course:1", "course:12", false),
            ("course:*", "course:1", true),
            ("course:*", "course:", false),
            ("course:*", "courses", false),
            ("*", "anything", true),
        ] {
            assert_eq!(covers(pattern, name), expected, "{pattern} {name}");
        }
        for wrong in ["", "a*b", "*a", "a,b", "a b", "ä", "{sub}", "a\"b"] {
            assert!(wrong.parse::<ChannelPattern>().is_err(), "{wrong}");
        }
        assert_eq!("course:*".parse::<ChannelPattern>().unwrap().to_string(), "course:*");
    }

    #[test]
    fn a_users_channel_has_a_user() {
        assert_eq!(&*user_channel("auth0|7").unwrap(), "user:auth0|7");
        assert!(user_channel("").is_err());
        assert!(user_channel("a b").is_err());
        assert!(user_channel(&"a".repeat(MAX_CHANNEL_BYTES)).is_err());
    }
}
