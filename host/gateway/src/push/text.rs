//! What clients are told, as JSON, and as an event of a stream.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;
use weft_core::push::{CloseReason, Cursor, Message, Opened, Presence, ReadNotice, Which};

/// How long a client of Server-Sent Events waits before it connects again, in milliseconds.
const RETRY_MS: u32 = 2_000;

/// One thing that a client is told.
#[derive(Debug)]
pub(super) struct Told {
    event: &'static str,
    /// What to go on from after it.
    id: Option<Cursor>,
    members: Members,
}

/// A JSON object without the brace that opens it.
#[derive(Debug)]
enum Members {
    Shared(Arc<Message>),
    Own(String),
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The token is at its end or void.
    Unauthorized,
    Slow,
    GoingAway,
    Failed,
    /// The client says too much, or what is not understood.
    TooManyMessages,
    NotText,
    TooLarge,
    /// The client does not answer.
    Silent,
}

impl From<CloseReason> for Ending {
    fn from(reason: CloseReason) -> Self {
        match reason {
            CloseReason::Slow => Self::Slow,
            CloseReason::GoingAway => Self::GoingAway,
            CloseReason::Failed => Self::Failed,
        }
    }
}

impl Ending {
    /// The code of a WebSocket (RFC 6455 section 7.4; from 4000 on our own, after the statuses of HTTP), and why.
    pub fn code_and_reason(self) -> (u16, &'static str) {
        match self {
            Self::Unauthorized => (4401, "unauthorized"),
            Self::Slow => (4408, "too-slow"),
            Self::TooManyMessages => (4429, "too-many-messages"),
            Self::GoingAway => (1001, "going-away"),
            Self::NotText => (1003, "text-only"),
            Self::TooLarge => (1009, "too-large"),
            Self::Failed => (1011, "failed"),
            Self::Silent => (4410, "silent"),
        }
    }
}

impl Told {
    fn new(event: &'static str, id: Option<Cursor>, value: &impl Serialize) -> Self {
        // Values of ours have string keys, so they are always JSON.
        let object = serde_json::to_string(value).unwrap_or_default();
        Self { event, id, members: Members::Own(object.strip_prefix('{').unwrap_or_default().to_owned()) }
    }

    pub fn welcome(opened: &Opened, user: &str, heartbeat_s: u64, ends_at_s: Option<u64>, resumed: bool) -> Self {
        let value = json!({
            "type": "welcome",
            "connection": opened.id.to_string(),
            "user": user,
            "unread": opened.unread,
            "channels": presences(&opened.presence),
            "heartbeat_s": heartbeat_s,
            "ends_at_s": ends_at_s,
            "resumed": resumed,
        });
        Self::new("welcome", Some(opened.cursor), &value)
    }

    pub fn message(id: Cursor, message: Arc<Message>) -> Self {
        Self { event: "message", id: Some(id), members: Members::Shared(message) }
    }

    pub fn gap(channels: &[Arc<str>]) -> Self {
        Self::new("gap", None, &json!({ "type": "gap", "channels": channels }))
    }

    pub fn read(notice: &ReadNotice) -> Self {
        let value = match &notice.which {
            Which::These(ids) => {
                let ids: Vec<String> = ids.iter().map(u64::to_string).collect();
                json!({ "type": "read", "ids": ids, "unread": notice.unread })
            }
            Which::Through(id) => json!({ "type": "read", "through": id.to_string(), "unread": notice.unread }),
        };
        Self::new("read", None, &value)
    }

    pub fn heartbeat(id: Cursor) -> Self {
        Self::new("heartbeat", Some(id), &json!({ "type": "heartbeat" }))
    }

    pub fn closed(ending: Ending) -> Self {
        let (code, reason) = ending.code_and_reason();
        Self::new("closed", None, &json!({ "type": "closed", "code": code, "reason": reason }))
    }

    /// That what a client has asked for is done, with what there is to say of it.
    pub fn done(of: &str, id: Option<Cursor>, more: serde_json::Value) -> Self {
        let mut value = json!({ "type": "done", "of": of });
        if let (Some(value), serde_json::Value::Object(more)) = (value.as_object_mut(), more) {
            value.extend(more);
        }
        Self::new("done", id, &value)
    }

    pub fn pong() -> Self {
        Self::new("pong", None, &json!({ "type": "pong" }))
    }

    pub fn error(of: &str, code: &str, detail: &str) -> Self {
        Self::new("error", None, &json!({ "type": "error", "of": of, "code": code, "detail": detail }))
    }

    fn members(&self) -> &str {
        match &self.members {
            Members::Shared(message) => message.members(),
            Members::Own(members) => members,
        }
    }

    /// One JSON object on one line.
    pub fn json(&self) -> String {
        match self.id {
            Some(id) => format!("{{\"id\":\"{id}\",{}", self.members()),
            None => format!("{{{}", self.members()),
        }
    }

    /// The same as an event of a stream.
    pub fn write_event(&self, out: &mut Vec<u8>) {
        if self.event == "heartbeat" {
            // No event for the page; the browser notes the id all the same.
            if let Some(id) = self.id {
                out.extend_from_slice(format!(": heartbeat\nid: {id}\n\n").as_bytes());
            }
            return;
        }
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(self.event.as_bytes());
        if let Some(id) = self.id {
            out.extend_from_slice(format!("\nid: {id}").as_bytes());
        }
        if self.event == "welcome" || self.event == "closed" {
            out.extend_from_slice(format!("\nretry: {RETRY_MS}").as_bytes());
        }
        out.extend_from_slice(b"\ndata: ");
        out.extend_from_slice(self.json().as_bytes());
        out.extend_from_slice(b"\n\n");
    }
}

/// Who is in some channels.
pub(super) fn presences(channels: &[(Arc<str>, Presence)]) -> serde_json::Value {
    let one = |(name, presence): &(Arc<str>, Presence)| json!({ "name": &**name, "connections": presence.connections, "users": presence.users });
    channels.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use weft_core::push::NewMessage;

    use super::*;

    #[test]
    fn an_event_is_what_the_standard_reads() {
        let new = NewMessage::new("told", None, b"{\"a\":\n1}").unwrap();
        let message = Arc::new(Message::new("course:1".into(), 7, false, &new, 5));
        let told = Told::message(Cursor { channels: 7, inbox: 3 }, message);
        let mut out = Vec::new();
        told.write_event(&mut out);
        let text = String::from_utf8(out).unwrap();
        let data = text.strip_prefix("event: message\nid: 7-3\ndata: ").unwrap().strip_suffix("\n\n").unwrap();
        let json: serde_json::Value = serde_json::from_str(data).unwrap();
        assert_eq!((&json["id"], &json["channel"], &json["data"]["a"]), (&"7-3".into(), &"course:1".into(), &1.into()));
        assert_eq!(told.json(), data);
        let mut out = Vec::new();
        Told::heartbeat(Cursor { channels: 1, inbox: 2 }).write_event(&mut out);
        assert_eq!(out, b": heartbeat\nid: 1-2\n\n");
        for told in [Told::pong(), Told::gap(&["a".into()]), Told::done("read", None, json!({ "unread": 1 }))] {
            assert!(serde_json::from_str::<serde_json::Value>(&told.json()).unwrap().is_object());
        }
    }
}
