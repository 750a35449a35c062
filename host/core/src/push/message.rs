//! A message as functions hand it in and as clients get it, and how far a client has seen.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::IgnoredAny;

use super::PushError;

/// The largest data of a message, in bytes.
pub const MAX_DATA_BYTES: usize = 64 * 1024;
/// The longest kind, in bytes.
pub const MAX_KIND_BYTES: usize = 64;
/// The longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 128;

/// A message on its way in, which was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMessage {
    kind: Arc<str>,
    key: Option<Arc<str>>,
    data: Arc<str>,
}

impl NewMessage {
    /// Looks at a message.
    ///
    /// # Errors
    /// [`PushError::Invalid`] or [`PushError::TooLarge`], with what is wrong.
    pub fn new(kind: &str, key: Option<&str>, data: &[u8]) -> Result<Self, PushError> {
        let is_kind = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if !(1..=MAX_KIND_BYTES).contains(&kind.len()) || !kind.bytes().all(is_kind) {
            let message = format!("the kind {kind:?} is not 1 to {MAX_KIND_BYTES} letters, digits, `.`, `-`, `_`");
            return Err(PushError::Invalid(message));
        }
        if let Some(key) = key.filter(|key| !(1..=MAX_KEY_BYTES).contains(&key.len())) {
            return Err(PushError::Invalid(format!("the key has {} bytes, not 1 to {MAX_KEY_BYTES}", key.len())));
        }
        if data.len() > MAX_DATA_BYTES {
            let message = format!("the data has {} bytes; a message has at most {MAX_DATA_BYTES}", data.len());
            return Err(PushError::TooLarge(message));
        }
        let invalid = |error: &dyn fmt::Display| PushError::Invalid(format!("the data is not JSON: {error}"));
        let text = std::str::from_utf8(data).map_err(|error| invalid(&error))?;
        let _: IgnoredAny = serde_json::from_str(text).map_err(|error| invalid(&error))?;
        // Between the parts of JSON, and nowhere else in it, lines may end; an event of a stream is one line.
        let line = text.trim_ascii().replace(['\n', '\r'], " ");
        Ok(Self { kind: kind.into(), key: key.map(Into::into), data: line.into() })
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> &Arc<str> {
        &self.kind
    }

    /// What makes its push repeatable.
    #[must_use]
    pub fn key(&self) -> Option<&Arc<str>> {
        self.key.as_ref()
    }

    /// JSON on one line.
    #[must_use]
    pub fn data(&self) -> &Arc<str> {
        &self.data
    }
}

/// A message on its way to clients.
#[derive(Debug)]
pub struct Message {
    channel: Arc<str>,
    id: u64,
    is_kept: bool,
    members: Box<str>,
}

impl Message {
    /// A message of `channel`, pushed at `time_ms`. `is_kept` says that it is in an inbox, so that clients can mark it
    /// as read by its id.
    #[must_use]
    pub fn new(channel: Arc<str>, id: u64, is_kept: bool, new: &NewMessage, time_ms: u64) -> Self {
        use std::fmt::Write as _;
        let NewMessage { kind, data, .. } = new;
        let mut members = String::with_capacity(channel.len() + kind.len() + data.len() + 112);
        // Neither a channel nor a kind has anything that JSON escapes; writing into a text does not fail.
        let _ = write!(members, "\"type\":\"message\",\"channel\":\"{channel}\",\"kind\":\"{kind}\",");
        if is_kept {
            let _ = write!(members, "\"message\":\"{id}\",");
        }
        let _ = write!(members, "\"time_ms\":{time_ms},\"data\":{data}}}");
        let members = members.into_boxed_str();
        Self { channel, id, is_kept, members }
    }

    /// Its channel.
    #[must_use]
    pub fn channel(&self) -> &Arc<str> {
        &self.channel
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Whether it is in a user's inbox.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// The JSON object that clients get, on one line, without the brace that opens it: the id of each connection's own
    /// comes before.
    #[must_use]
    pub fn members(&self) -> &str {
        &self.members
    }

    /// What it weighs among what is pending or kept, in bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.members.len() + size_of::<Self>()
    }
}

/// How far a client has seen, written as `<channels>-<inbox>`: the id of each message and heartbeat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Among the messages to channels.
    pub channels: u64,
    /// Among its user's messages.
    pub inbox: u64,
}

/// A text that is no [`Cursor`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event id is two numbers with a hyphen between them, as they came")]
pub struct CursorError;

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
            true => text.parse().map_err(|_| CursorError),
            false => Err(CursorError),
        };
        let (channels, inbox) = text.split_once('-').ok_or(CursorError)?;
        Ok(Self { channels: number(channels)?, inbox: number(inbox)? })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.channels, self.inbox)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_is_written() {
        let cursor = Cursor { channels: u64::MAX, inbox: 7 };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for wrong in ["", "1", "1-", "-1", "+1-2", "1-2-3", "1 -2", "99999999999999999999-1"] {
            assert_eq!(wrong.parse::<Cursor>(), Err(CursorError), "{wrong}");
        }
    }

    #[test]
    fn a_message_is_one_line_of_json() {
        let new = NewMessage::new("told", None, b"{\n \"a\":\r\n \"x\\ny\", \"n\": 12345678901234567890 }").unwrap();
        let message = Message::new("user:1".into(), 7, true, &new, 5);
        let text = format!("{{{}", message.members());
        assert!(!text.contains(['\n', '\r']), "{text}");
        assert!(text.contains("12345678901234567890"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&json["message"], &json["data"]["a"]), (&"7".into(), &"x\ny".into()));
        assert_eq!(json["type"], "message");
    }

    #[test]
    fn what_is_wrong_is_told() {
        let refused = |kind: &str, key: Option<&str>, data: &[u8]| NewMessage::new(kind, key, data).unwrap_err();
        assert!(matches!(refused("", None, b"1"), PushError::Invalid(_)));
        assert!(matches!(refused("a b", None, b"1"), PushError::Invalid(_)));
        assert!(matches!(refused("a", Some(""), b"1"), PushError::Invalid(_)));
        assert!(matches!(refused("a", None, b"nonsense"), PushError::Invalid(_)));
        assert!(matches!(refused("a", None, b"1 2"), PushError::Invalid(_)));
        assert!(matches!(refused("a", None, &[0xff]), PushError::Invalid(_)));
        assert!(matches!(refused("a", None, &[b'1'; MAX_DATA_BYTES + 1]), PushError::TooLarge(_)));
    }
}
