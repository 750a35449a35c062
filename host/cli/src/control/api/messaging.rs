//! Events, subscriptions and dead letters as the control socket shows them, and what can be done to them by hand.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use weft_capability::messaging::{DeadLetter, Event, SubscriptionStatus, to_cloudevent_json};

/// An event of the log: an entry of `GET /v1/events`, a line of `GET /v1/events/tail`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct EventEntry {
    /// Its place in the log.
    pub position: u64,
    /// CloudEvents 1.0 in JSON.
    pub event: Value,
}

/// `GET /v1/events`: newest first. There may be few or none on a page before the end.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct EventList {
    /// One page.
    pub items: Vec<EventEntry>,
    /// Ask for what comes `before` this on the next page.
    pub next: u64,
    /// Whether this was the last page.
    pub end: bool,
}

/// An event to publish. The names are those of CloudEvents, so that what was read can be published again; attributes that
/// are made anew (`specversion`, `time`, `datacontenttype`, `traceparent`) are taken and passed over.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NewEvent {
    /// Unique in its source; a UUIDv7 is made without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `/weft-cli` without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Where it goes.
    pub topic: String,
    /// CloudEvents `type`.
    #[serde(rename = "type")]
    pub kind: String,
    /// CloudEvents `subject`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Events with the same key are delivered in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitionkey: Option<String>,
    /// Carried through the whole of one business operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlationid: Option<String>,
    /// The version of its schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataschema: Option<String>,
    /// Delivered no sooner than so many milliseconds from now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// Delivered no later than so many milliseconds from now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
    /// 0 to 9; a higher one goes first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u8>,
    /// What it says.
    #[serde(default)]
    pub data: Value,
    /// Passed over.
    #[serde(default, skip_serializing)]
    pub specversion: Option<Value>,
    /// Passed over.
    #[serde(default, skip_serializing)]
    pub time: Option<Value>,
    /// Passed over.
    #[serde(default, skip_serializing)]
    pub datacontenttype: Option<Value>,
    /// Passed over.
    #[serde(default, skip_serializing)]
    pub traceparent: Option<Value>,
}

/// `POST /v1/events`: publishes events in this order, all or none of them if one is refused.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Publish {
    /// Who publishes.
    pub actor: String,
    /// At most 1,000.
    pub events: Vec<NewEvent>,
}

/// What [`Publish`] is answered with: the events are durable.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Published {
    /// In the order of the events.
    pub ids: Vec<String>,
}

/// One entry of `GET /v1/subscriptions`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct SubscriptionEntry {
    /// `<component>/<name>`, or `@<group>`.
    pub id: String,
    /// `<component>/<name>` of everyone who takes part.
    pub members: Vec<String>,
    /// `running`, `paused` or `stopped`.
    pub status: String,
    /// Why it is stopped.
    pub error: Option<String>,
    /// Events that are not settled, about.
    pub lag: u64,
    /// Of those, events that are set aside: delayed, or held by a dead letter of their key.
    pub parked: u64,
    /// Deliveries that run.
    pub in_flight: u64,
    /// Calls of the handler that may run at once.
    pub instances: u64,
    /// Deliveries that succeeded since the host started.
    pub delivered: u64,
    /// Deliveries that did not, since the host started.
    pub failed: u64,
}

/// `POST /v1/subscriptions/{pause|resume|seek}`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SubscriptionOrder {
    /// Who orders it.
    pub actor: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// Its id.
    pub subscription: String,
    /// For `seek`: `earliest`, `latest`, a position, or a time in RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// One entry of `GET /v1/dead-letters`, and `GET /v1/dead-letters/{id}`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct DeadLetterEntry {
    /// Its number.
    pub id: i64,
    /// The subscription that gave it up.
    pub subscription: String,
    /// Why the last delivery failed.
    pub error: String,
    /// How many deliveries were attempted.
    pub attempts: u32,
    /// The digest of the component that was called last.
    pub digest: Option<String>,
    /// W3C trace context of the last delivery.
    pub traceparent: String,
    /// Milliseconds since the Unix epoch.
    pub failed_at_ms: u64,
    /// Whether it is being delivered again.
    pub replaying: bool,
    /// CloudEvents 1.0 in JSON; without its data in a list.
    pub event: Value,
}

/// `POST /v1/dead-letters/{edit|replay|purge}`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DeadLetterOrder {
    /// Who orders it.
    pub actor: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// Only those of this subscription.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription: Option<String>,
    /// Only this one; `edit` needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<i64>,
    /// For `edit`: what the event says from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

/// How many dead letters, or subscriptions, an order has reached.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Reached {
    /// How many.
    pub count: usize,
}

impl EventEntry {
    /// An event at its place.
    #[must_use]
    pub fn new(position: u64, event: &Event) -> Self {
        Self { position, event: to_cloudevent_json(event) }
    }
}

impl From<&SubscriptionStatus> for SubscriptionEntry {
    fn from(status: &SubscriptionStatus) -> Self {
        let word = match (status.paused, &status.stopped) {
            (true, _) => "paused",
            (false, Some(_)) => "stopped",
            (false, None) => "running",
        };
        Self {
            id: status.id.to_string(),
            members: status.members.iter().map(ToString::to_string).collect(),
            status: word.to_owned(),
            error: status.stopped.clone(),
            lag: status.lag,
            parked: status.parked,
            in_flight: status.in_flight,
            instances: status.instances,
            delivered: status.delivered,
            failed: status.failed,
        }
    }
}

impl DeadLetterEntry {
    /// A dead letter; `with_data` as `GET /v1/dead-letters/{id}` shows it.
    #[must_use]
    pub fn new(letter: &DeadLetter, with_data: bool) -> Self {
        let mut event = to_cloudevent_json(&letter.event);
        if let (false, Some(event)) = (with_data, event.as_object_mut()) {
            event.remove("data");
        }
        Self {
            id: letter.id,
            subscription: letter.subscription.to_string(),
            error: letter.error.clone(),
            attempts: letter.attempts,
            digest: letter.digest.as_deref().map(ToOwned::to_owned),
            traceparent: letter.traceparent.clone(),
            failed_at_ms: letter.failed_at_ms,
            replaying: letter.replaying,
            event,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_read_can_be_published_again() {
        let read = json!({
            "specversion": "1.0", "id": "1", "source": "/a", "type": "t", "time": "2026-01-01T00:00:00Z", "topic": "a.b",
            "partitionkey": "k", "datacontenttype": "application/json", "data": {"x": 1},
        });
        let event: NewEvent = serde_json::from_value(read).unwrap();
        assert_eq!(
            (event.id.as_deref(), event.partitionkey.as_deref(), &event.data["x"]),
            (Some("1"), Some("k"), &json!(1))
        );
        let written = serde_json::to_value(&event).unwrap();
        assert!(written.get("time").is_none() && written["topic"] == "a.b", "{written}");
        let misspelt = json!({ "topic": "a", "type": "t", "prioritty": 1 });
        assert!(serde_json::from_value::<NewEvent>(misspelt).unwrap_err().to_string().contains("prioritty"));
    }
}
