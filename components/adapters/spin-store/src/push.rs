//! `weft:push/pusher`, which a closed form does not have: Spin holds no connections open for it. Each call says so.

use crate::SpinStore;
use crate::bindings::exports::weft::push::pusher as wit;
use crate::bindings::exports::weft::push::pusher::{Error, Message, Presence, Pushed};

impl wit::Guest for SpinStore {
    async fn to_user(_user: String, _message: Message) -> Result<Pushed, Error> {
        Err(unsupported())
    }

    async fn to_channel(_channel: String, _message: Message) -> Result<Pushed, Error> {
        Err(unsupported())
    }

    async fn present(_channel: String) -> Result<Presence, Error> {
        Err(unsupported())
    }
}

fn unsupported() -> Error {
    Error::Unsupported("a closed form pushes to nobody: push is Weft's gateway's".to_owned())
}
