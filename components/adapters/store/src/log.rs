//! The message log: every event that leaves, in commit order, written in the transaction of whatever it tells of. Owns its
//! rows and publishing; who reads it is the business of subscriptions and projections.

use crate::bindings::weft::messaging::types::Error as PublishError;
use crate::bindings::weft::sql::types::{Error, OutgoingEvent, Value};
use crate::check;
use crate::connection::{Connection, Platform, int, maybe_int, maybe_text, new_id, text};
use crate::error::describe;
use crate::store::Store;
use crate::topic::check_topic;

/// Largest data of an event that is published, in bytes.
const DATA_BYTES: usize = 256 * 1024;
/// Longest id, type, subject, ordering key, correlation id and dataschema of one, in bytes each.
const NAME_BYTES: usize = 255;
/// Longest delay and longest time to live, in milliseconds: 30 days and a year.
pub(crate) const DELAY_MS: u64 = 30 * 24 * 3_600 * 1_000;
const TTL_MS: u64 = 365 * 24 * 3_600 * 1_000;
const DEFAULT_PRIORITY: u8 = 4;
const MOST_PRIORITY: u8 = 9;
/// The most events that are published together.
const TOGETHER: usize = 1_000;

/// An event that is published by itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outgoing {
    /// Its id, if it has one.
    pub id: Option<String>,
    /// All else, as of an event that leaves with a commit.
    pub event: OutgoingEvent,
}

#[expect(clippy::derivable_impls, reason = "the type is generated")]
impl Default for OutgoingEvent {
    fn default() -> Self {
        Self {
            topic: String::new(),
            type_: String::new(),
            subject: None,
            ordering_key: None,
            correlation_id: None,
            delay_ms: None,
            ttl_ms: None,
            priority: None,
            dataschema: None,
            data: Vec::new(),
        }
    }
}

impl<C: Connection, P: Platform> Store<C, P> {
    /// Publishes events together: all of them or none. Answers their ids.
    ///
    /// # Errors
    /// `invalid` for what is not an event; `unavailable` if the database does not answer.
    pub fn publish(&mut self, events: &[Outgoing]) -> Result<Vec<String>, PublishError> {
        if events.len() > TOGETHER {
            let count = events.len();
            return Err(PublishError::Invalid(format!(
                "{count} events are published together; at most {TOGETHER} may be"
            )));
        }
        events.iter().try_for_each(valid).map_err(PublishError::Invalid)?;
        let unavailable = |error: Error| PublishError::Unavailable(describe(&error));
        self.enter().map_err(unavailable)?;
        let source = format!("/{}", self.settings.component);
        let published = self.write(|store| {
            let now_ms = store.platform.now_ms();
            let each = events.iter().map(|Outgoing { id, event }| {
                let id = id.clone().unwrap_or_else(|| new_id(&store.platform));
                store.put_message(&id, &source, now_ms, event)?;
                Ok(id)
            });
            each.collect::<Result<Vec<_>, Error>>()
        });
        published.map_err(unavailable)
    }

    /// Puts the events of a commit into the log.
    pub(crate) fn put_events(&self, owner: &str, now_ms: u64, events: &[OutgoingEvent]) -> Result<(), Error> {
        let source = format!("/{owner}");
        events.iter().try_for_each(|event| self.put_message(&new_id(&self.platform), &source, now_ms, event))
    }

    /// Puts one event into the log, unless its id is there already under its topic.
    pub(crate) fn put_message(&self, id: &str, source: &str, now_ms: u64, event: &OutgoingEvent) -> Result<(), Error> {
        let insert = "INSERT INTO weft_log (id, source, topic, type, subject, ordering_key, correlation_id, dataschema, \
                      time_ms, delay_ms, ttl_ms, priority, data) \
                      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) ON CONFLICT (topic, id) DO NOTHING";
        let values = [
            text(id),
            text(source),
            text(&*event.topic),
            text(&*event.type_),
            maybe_text(event.subject.as_ref()),
            maybe_text(event.ordering_key.as_ref()),
            maybe_text(event.correlation_id.as_ref()),
            maybe_text(event.dataschema.as_ref()),
            int(now_ms),
            maybe_int(event.delay_ms.map(|delay_ms| delay_ms.min(DELAY_MS))),
            maybe_int(event.ttl_ms),
            int(event.priority.unwrap_or(DEFAULT_PRIORITY).min(MOST_PRIORITY).into()),
            Value::Blob(event.data.clone()),
        ];
        self.run(insert, &values).map(drop)
    }
}

fn valid(outgoing: &Outgoing) -> Result<(), String> {
    let Outgoing { id, event } = outgoing;
    check_topic(&event.topic)?;
    let texts = [
        ("id", id.as_ref()),
        ("type", Some(&event.type_)),
        ("subject", event.subject.as_ref()),
        ("ordering key", event.ordering_key.as_ref()),
        ("correlation id", event.correlation_id.as_ref()),
        ("dataschema", event.dataschema.as_ref()),
    ];
    for (field, text) in texts {
        let bytes = text.map_or(1, String::len);
        if bytes == 0 || bytes > NAME_BYTES {
            return Err(format!("the event's {field} has {bytes} bytes; 1 to {NAME_BYTES} are allowed"));
        }
    }
    let numbers = [
        ("delay in milliseconds", event.delay_ms.unwrap_or_default(), DELAY_MS),
        ("time to live in milliseconds", event.ttl_ms.unwrap_or_default(), TTL_MS),
        ("priority", event.priority.unwrap_or_default().into(), MOST_PRIORITY.into()),
    ];
    if let Some((field, value, limit)) = numbers.into_iter().find(|(_, value, limit)| value > limit) {
        return Err(format!("the event's {field} is {value}; at most {limit} is allowed"));
    }
    if event.data.len() > DATA_BYTES {
        return Err(format!("the event's data has {} bytes; at most {DATA_BYTES} are allowed", event.data.len()));
    }
    check::json(&event.data).map_err(|error| format!("the event's data is not JSON: {error}"))
}
