//! An event: its limits and its CloudEvents form. Its bytes in the message log are made elsewhere.

use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

use weft_core::topic::{TopicError, check_topic};

use crate::outbox::OutboxEvent;

/// Largest data of an event, in bytes.
pub const MAX_DATA_BYTES: usize = 256 * 1_024;
/// Longest id, type, subject, ordering key and correlation id, in bytes each.
pub const MAX_ID_BYTES: usize = 255;

/// Longest delay and longest time to live of an event, in milliseconds: 30 days and a year.
const MAX_DELAY_MS: u64 = 30 * 24 * 3_600 * 1_000;
const MAX_TTL_MS: u64 = 365 * 24 * 3_600 * 1_000;
/// The priority of an event that names none.
pub const DEFAULT_PRIORITY: u8 = 4;
const MAX_PRIORITY: u8 = 9;

/// When and how soon an event is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handling {
    /// No sooner than so many milliseconds after its time.
    pub delay_ms: Option<u64>,
    /// No later than so many milliseconds after its time.
    pub ttl_ms: Option<u64>,
    /// 0 to 9; a higher one goes first among the events that are ready.
    pub priority: u8,
}

impl Default for Handling {
    fn default() -> Self {
        Self { delay_ms: None, ttl_ms: None, priority: DEFAULT_PRIORITY }
    }
}

/// A CloudEvents 1.0 event whose data is JSON.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Event {
    /// Unique in its source.
    pub id: String,
    /// `/<context>/<owner>` or `/<component>`.
    pub source: String,
    /// CloudEvents `type`.
    #[serde(rename = "type")]
    pub kind: String,
    /// CloudEvents `subject`.
    #[serde(default)]
    pub subject: Option<String>,
    /// Milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// The topic.
    pub topic: String,
    /// Events with the same key are delivered in order.
    #[serde(default)]
    pub ordering_key: Option<String>,
    /// Carried through the whole of one business operation.
    #[serde(default)]
    pub correlation_id: Option<String>,
    /// W3C trace context of whoever published it.
    #[serde(default)]
    pub traceparent: Option<String>,
    /// CloudEvents `dataschema`: the version of its schema, `/schemas/<type>/<version>`.
    #[serde(skip)]
    pub dataschema: Option<String>,
    /// Delay, time to live, priority.
    #[serde(skip)]
    pub handling: Handling,
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
    /// The data is not as its schema wants it.
    #[error("{0}")]
    Schema(String),
    /// Delay, time to live or priority pass their limits.
    #[error("the event's {field} is {value}; at most {limit} is allowed")]
    Handling {
        /// Which.
        field: &'static str,
        /// Its value.
        value: u64,
        /// Its limit.
        limit: u64,
    },
    /// More events than one call may bring.
    #[error("{count} events are published together; at most {limit} may be")]
    TooMany {
        /// How many.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// The bytes in the log are not an event that this version knows.
    #[error("not an event of a known form: {0}")]
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
            ("dataschema", self.dataschema.as_ref()),
        ];
        for (field, text) in texts {
            let bytes = text.map_or(1, String::len);
            if bytes == 0 || bytes > MAX_ID_BYTES {
                return Err(EventError::Length { field, bytes });
            }
        }
        let Handling { delay_ms, ttl_ms, priority } = self.handling;
        let numbers = [
            ("delay in milliseconds", delay_ms.unwrap_or_default(), MAX_DELAY_MS),
            ("time to live in milliseconds", ttl_ms.unwrap_or_default(), MAX_TTL_MS),
            ("priority", priority.into(), MAX_PRIORITY.into()),
        ];
        if let Some((field, value, limit)) = numbers.into_iter().find(|(_, value, limit)| value > limit) {
            return Err(EventError::Handling { field, value, limit });
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
            dataschema: event.dataschema,
            handling: Handling {
                // It is committed and past refusing.
                delay_ms: event.delay_ms.map(|delay_ms| delay_ms.min(MAX_DELAY_MS)),
                ttl_ms: event.ttl_ms,
                priority: event.priority.unwrap_or(DEFAULT_PRIORITY).min(MAX_PRIORITY),
            },
            data: event.data.into(),
        }
    }
}

/// RFC 3339 in UTC with milliseconds.
#[must_use]
pub(crate) fn rfc3339(time_ms: u64) -> String {
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
    put("dataschema", event.dataschema.as_deref());
    json.insert("data".to_owned(), serde_json::from_slice(&event.data).unwrap_or_default());
    Value::Object(json)
}

#[cfg(test)]
impl Event {
    /// An event for tests.
    pub(crate) fn sample() -> Self {
        Self {
            id: "018f".to_owned(),
            source: "/courses/seats".to_owned(),
            kind: "SeatReserved".to_owned(),
            subject: Some("course/1".to_owned()),
            time_ms: 1_700_000_000_123,
            topic: "seat.reserved".to_owned(),
            ordering_key: Some("1".to_owned()),
            correlation_id: None,
            traceparent: None,
            dataschema: None,
            handling: Handling::default(),
            data: Bytes::from_static(br#"{"left": 3}"#),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_form_is_that_of_cloudevents() {
        let expected = serde_json::json!({
            "specversion": "1.0", "id": "018f", "source": "/courses/seats", "type": "SeatReserved",
            "subject": "course/1", "time": "2023-11-14T22:13:20.123Z", "topic": "seat.reserved", "partitionkey": "1",
            "datacontenttype": "application/json", "data": {"left": 3},
        });
        assert_eq!(to_cloudevent_json(&Event::sample()), expected);
    }

    #[test]
    fn limits_are_kept() {
        let refused = |change: &dyn Fn(&mut Event)| {
            let mut event = Event::sample();
            change(&mut event);
            event.check().unwrap_err()
        };
        assert_eq!(Event::sample().check(), Ok(()));
        assert!(matches!(refused(&|event| event.topic = "a..b".to_owned()), EventError::Topic { .. }));
        assert!(matches!(refused(&|event| event.id = String::new()), EventError::Length { field: "id", bytes: 0 }));
        assert!(matches!(refused(&|event| event.subject = Some("x".repeat(256))), EventError::Length { .. }));
        assert!(matches!(refused(&|event| event.data = Bytes::from_static(b"{")), EventError::NotJson(_)));
        let large = Bytes::from(format!("\"{}\"", "x".repeat(MAX_DATA_BYTES)));
        assert!(matches!(refused(&|event| event.data = large.clone()), EventError::DataTooLarge(_)));
        assert!(matches!(refused(&|event| event.handling.priority = 10), EventError::Handling { .. }));
        assert!(matches!(refused(&|event| event.handling.delay_ms = Some(u64::MAX)), EventError::Handling { .. }));
    }
}
