//! An event: its limits, its CloudEvents form, and its bytes in the message log.

use std::fmt::Write as _;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use weft_core::topic::{TopicError, check_topic};

use crate::outbox::OutboxEvent;

/// Largest data of an event, in bytes.
pub const MAX_DATA_BYTES: usize = 256 * 1_024;
/// Longest id, type, subject, ordering key and correlation id, in bytes each.
pub const MAX_ID_BYTES: usize = 255;

/// The version of [`encode`]'s bytes.
pub(super) const VERSION: u8 = 1;

/// A CloudEvents 1.0 event whose data is JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Unique in its source.
    pub id: String,
    /// `/<context>/<owner>` or `/<component>`.
    pub source: String,
    /// CloudEvents `type`.
    #[serde(rename = "type")]
    pub kind: String,
    /// CloudEvents `subject`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// The topic.
    pub topic: String,
    /// Events with the same key are delivered in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ordering_key: Option<String>,
    /// Carried through the whole of one business operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// W3C trace context of whoever published it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// JSON.
    #[serde(skip)]
    pub data: Bytes,
}

/// Why something is not an event. Client fault; trying again does not help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// The topic cannot be published to.
    #[error("{topic:?} is not a topic: {error}")]
    Topic {
        /// The topic.
        topic: String,
        /// What is wrong with it.
        error: TopicError,
    },
    /// A text passes its limit, or is empty and may not be.
    #[error("the event's {field} has {bytes} bytes; 1 to {MAX_ID_BYTES} are allowed")]
    Length {
        /// Which text.
        field: &'static str,
        /// Its length.
        bytes: usize,
    },
    /// The data passes its limit.
    #[error("the event's data has {0} bytes; at most {MAX_DATA_BYTES} are allowed")]
    DataTooLarge(usize),
    /// The data is not JSON.
    #[error("the event's data is not JSON: {0}")]
    NotJson(String),
    /// The bytes in the log are not an event that this version knows.
    #[error("not an event in form {VERSION}: {0}")]
    Undecodable(String),
}

impl Event {
    /// Refuses an event that passes a limit.
    ///
    /// # Errors
    /// [`EventError`] says what is wrong.
    pub fn check(&self) -> Result<(), EventError> {
        check_topic(&self.topic).map_err(|error| EventError::Topic { topic: self.topic.clone(), error })?;
        let texts = [
            ("id", Some(&self.id)),
            ("type", Some(&self.kind)),
            ("subject", self.subject.as_ref()),
            ("ordering key", self.ordering_key.as_ref()),
            ("correlation id", self.correlation_id.as_ref()),
        ];
        for (field, text) in texts {
            let bytes = text.map_or(1, String::len);
            if bytes == 0 || bytes > MAX_ID_BYTES {
                return Err(EventError::Length { field, bytes });
            }
        }
        if self.data.len() > MAX_DATA_BYTES {
            return Err(EventError::DataTooLarge(self.data.len()));
        }
        serde_json::from_slice::<serde::de::IgnoredAny>(&self.data)
            .map(|_| ())
            .map_err(|error| EventError::NotJson(error.to_string()))
    }
}

impl From<OutboxEvent> for Event {
    fn from(event: OutboxEvent) -> Self {
        Self {
            id: event.id,
            source: event.source,
            kind: event.kind,
            subject: event.subject,
            time_ms: event.time_ms,
            topic: event.topic,
            ordering_key: event.ordering_key,
            correlation_id: event.correlation_id,
            traceparent: event.traceparent,
            data: event.data.into(),
        }
    }
}

/// RFC 3339 in UTC with milliseconds.
#[must_use]
pub(super) fn rfc3339(time_ms: u64) -> String {
    let time = i64::try_from(time_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    format!("{:.3}", time.unwrap_or(Timestamp::MAX))
}

/// The JSON form of CloudEvents 1.0. Topic, ordering key (`partitionkey`), correlation id and trace context are
/// extension attributes. Data that is not JSON, which no check lets through, is shown as null.
#[must_use]
pub fn to_cloudevent_json(event: &Event) -> Value {
    let mut json = Map::new();
    let mut put = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            json.insert(name.to_owned(), Value::String(value.to_owned()));
        }
    };
    put("specversion", Some("1.0"));
    put("id", Some(&event.id));
    put("source", Some(&event.source));
    put("type", Some(&event.kind));
    put("subject", event.subject.as_deref());
    put("time", Some(&rfc3339(event.time_ms)));
    put("topic", Some(&event.topic));
    put("partitionkey", event.ordering_key.as_deref());
    put("correlationid", event.correlation_id.as_deref());
    put("traceparent", event.traceparent.as_deref());
    put("datacontenttype", Some("application/json"));
    json.insert("data".to_owned(), serde_json::from_slice(&event.data).unwrap_or_default());
    Value::Object(json)
}

/// The bytes of an event in the log: length of the attributes (u32, little-endian), the attributes as JSON, the data
/// as it is.
pub(super) fn encode(event: &Event) -> Result<Vec<u8>, EventError> {
    let failed = |text: &str| EventError::Undecodable(text.to_owned());
    let attributes = serde_json::to_vec(event).map_err(|error| EventError::Undecodable(error.to_string()))?;
    let length = u32::try_from(attributes.len()).map_err(|_| failed("its attributes are too long"))?;
    let mut bytes = Vec::with_capacity(4 + attributes.len() + event.data.len());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&attributes);
    bytes.extend_from_slice(&event.data);
    Ok(bytes)
}

/// The event of these bytes.
pub(super) fn decode(version: u8, bytes: Bytes) -> Result<Event, EventError> {
    let failed = |text: String| EventError::Undecodable(text);
    if version != VERSION {
        return Err(failed(format!("it is of form {version}; use the version of the host that wrote it")));
    }
    let length = bytes.first_chunk::<4>().map(|length| u32::from_le_bytes(*length));
    let end = length.and_then(|length| usize::try_from(length).ok()?.checked_add(4));
    let attributes = end.and_then(|end| bytes.get(4..end));
    let (Some(end), Some(attributes)) = (end, attributes) else { return Err(failed("it is cut short".to_owned())) };
    let mut event: Event = serde_json::from_slice(attributes).map_err(|error| failed(error.to_string()))?;
    event.data = bytes.slice(end..);
    Ok(event)
}

/// What an event is known by when the same one is published again.
pub(super) fn identity(event: &Event) -> String {
    let mut identity = String::with_capacity(event.source.len() + event.id.len() + 4);
    // The length keeps source and id apart, whatever characters they have. Writing to a String cannot fail.
    let _ = write!(identity, "{}:{}{}", event.source.len(), event.source, event.id);
    identity
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        Event {
            id: "018f".to_owned(),
            source: "/courses/seats".to_owned(),
            kind: "SeatReserved".to_owned(),
            subject: Some("course/1".to_owned()),
            time_ms: 1_700_000_000_123,
            topic: "seat.reserved".to_owned(),
            ordering_key: Some("1".to_owned()),
            correlation_id: None,
            traceparent: None,
            data: Bytes::from_static(br#"{"left": 3}"#),
        }
    }

    #[test]
    fn the_bytes_of_an_event_do_not_change() {
        let golden = include_bytes!("golden/event-v1.bin");
        assert_eq!(encode(&event()).unwrap(), golden);
        assert_eq!(decode(1, Bytes::from_static(golden)).unwrap(), event());
        assert!(matches!(decode(2, Bytes::from_static(golden)), Err(EventError::Undecodable(_))));
        for cut in 0..golden.len() - event().data.len() {
            assert!(decode(1, Bytes::from_static(&golden[..cut])).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn the_json_form_is_that_of_cloudevents() {
        let expected = serde_json::json!({
            "specversion": "1.0", "id": "018f", "source": "/courses/seats", "type": "SeatReserved",
            "subject": "course/1", "time": "2023-11-14T22:13:20.123Z", "topic": "seat.reserved", "partitionkey": "1",
            "datacontenttype": "application/json", "data": {"left": 3},
        });
        assert_eq!(to_cloudevent_json(&event()), expected);
    }

    #[test]
    fn limits_are_kept() {
        let refused = |change: &dyn Fn(&mut Event)| {
            let mut event = event();
            change(&mut event);
            event.check().unwrap_err()
        };
        assert_eq!(event().check(), Ok(()));
        assert!(matches!(refused(&|event| event.topic = "a..b".to_owned()), EventError::Topic { .. }));
        assert!(matches!(refused(&|event| event.id = String::new()), EventError::Length { field: "id", bytes: 0 }));
        assert!(matches!(refused(&|event| event.subject = Some("x".repeat(256))), EventError::Length { .. }));
        assert!(matches!(refused(&|event| event.data = Bytes::from_static(b"{")), EventError::NotJson(_)));
        let large = Bytes::from(format!("\"{}\"", "x".repeat(MAX_DATA_BYTES)));
        assert!(matches!(refused(&|event| event.data = large.clone()), EventError::DataTooLarge(_)));
    }

    #[test]
    fn source_and_id_are_kept_apart() {
        let of = |source: &str, id: &str| identity(&Event { id: id.to_owned(), source: source.to_owned(), ..event() });
        assert_ne!(of("/a", "b"), of("/ab", ""));
        assert_ne!(of("/a", "1"), of("/b", "1"));
    }
}
