//! Subscriptions of a component to topics. Delivery belongs to the messaging capability.

use std::sync::Arc;

use crate::topic::TopicPattern;

use super::names;
use super::section::Entry;

/// Where a new subscription begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the oldest event that is kept.
    Earliest,
    /// With the next event after it is made.
    Latest,
}

/// One subscription; its component exports `weft:messaging/handler`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Unique in its component. With the component's id it names the place in the log that survives restarts.
    pub name: Arc<str>,
    /// Which topics.
    pub topic: TopicPattern,
    /// Deliveries of one event before it goes to the dead letters: 1 to 100, 3 by default.
    pub max_attempts: u32,
    /// The pause before the second delivery, in milliseconds, doubled for each further one: 1 to 3,600,000, 1,000 by
    /// default.
    pub base_ms: u32,
    /// The longest pause, in milliseconds: 1 to 86,400,000 and at least `base_ms`, 30,000 by default.
    pub cap_ms: u32,
    /// Deliveries at once: 1 to 1,000, 10 by default. Events with one ordering key go one after the other all the same.
    pub concurrency: u32,
    /// Where it begins when it is new; `earliest` by default.
    pub start: Start,
    /// The line it stands on.
    pub line: usize,
}

impl Subscription {
    pub(super) fn read(entry: Entry<'_>) -> Option<Self> {
        let section = entry.section()?;
        let name = section.required_string("name");
        if let Some(name) = name.as_ref().filter(|name| !names::is_label(name)) {
            section.report(name.line, format!("{:?} is no name for a subscription (kebab-case)", &*name.value));
        }
        let topic = section.required_string("topic").and_then(|topic| match topic.parse() {
            Ok(pattern) => Some(pattern),
            Err(error) => {
                section.report(topic.line, format!("{:?} is no pattern of topics: {error}", &*topic.value));
                None
            }
        });
        let start = match section.string("start") {
            None => Start::Earliest,
            Some(start) => match &*start.value {
                "earliest" => Start::Earliest,
                "latest" => Start::Latest,
                other => {
                    section.report(start.line, format!("`start` is \"earliest\" or \"latest\", not {other:?}"));
                    Start::Earliest
                }
            },
        };
        let base_ms = section.number("base_ms", 1..=3_600_000, 1_000);
        let cap_ms = section.number("cap_ms", 1..=86_400_000, base_ms.max(30_000));
        if cap_ms < base_ms {
            section.report(section.line, format!("`cap_ms` ({cap_ms}) is less than `base_ms` ({base_ms})"));
        }
        let max_attempts = section.number("max_attempts", 1..=100, 3);
        let concurrency = section.number("concurrency", 1..=1_000, 10);
        let line = section.line;
        section.finish();
        Some(Self { name: name?.value, topic: topic?, max_attempts, base_ms, cap_ms, concurrency, start, line })
    }
}
