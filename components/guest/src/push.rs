//! Push to clients that hold a connection of the gateway open: to one user, whose unread messages are kept, or to who has
//! joined a channel.

use serde::Serialize;

use crate::Failure;
use crate::bindings::weft::push::{pusher, types};

pub use crate::bindings::weft::push::types::{Error, Presence, Pushed};

/// Pushes to a user, by the `sub` of the user's tokens. With a key, that of a step or of an event, it is repeatable.
pub async fn to_user<T: Serialize>(user: &str, kind: &str, key: Option<&str>, data: &T) -> Result<Pushed, Error> {
    pusher::to_user(user.to_string(), message(kind, key, data)).await
}

/// Pushes to who has joined a channel, such as `course:42`.
pub async fn to_channel<T: Serialize>(channel: &str, kind: &str, data: &T) -> Result<Pushed, Error> {
    pusher::to_channel(channel.to_string(), message(kind, None, data)).await
}

/// Who is in a channel, or connected as a user (`user:<sub>`).
pub async fn present(channel: &str) -> Result<Presence, Error> {
    pusher::present(channel.to_string()).await
}

fn message<T: Serialize>(kind: &str, key: Option<&str>, data: &T) -> types::Message {
    // A value of ours that does not serialize (a map with keys that are no strings) is a defect; the host refuses the
    // empty data as not JSON, with a clear error.
    let data = serde_json::to_vec(data).unwrap_or_default();
    types::Message { kind: kind.to_string(), key: key.map(ToString::to_string), data }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Unavailable(message) => Self::unknown(message),
            Error::Denied(message)
            | Error::Invalid(message)
            | Error::TooLarge(message)
            | Error::Full(message)
            | Error::Unsupported(message) => Self::not_attempted(message),
        }
    }
}
