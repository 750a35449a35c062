//! Reading the log of events as a history: from where, which ones, and a page of them.

use weft_core::topic::TopicPattern;

use super::Event;

/// A place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadFrom {
    /// The oldest event that is kept.
    Earliest,
    /// After the newest event.
    Latest,
    /// The event at this position, or the next one that is kept.
    Position(u64),
    /// The first event of this time or later, in milliseconds since the Unix epoch. Events come roughly by time, so one
    /// that is a little older may follow.
    TimeMs(u64),
}

/// Which events; all without any restriction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Of topics that this covers.
    pub topic: Option<TopicPattern>,
    /// Of this CloudEvents type.
    pub kind: Option<String>,
    /// Of this CloudEvents subject.
    pub subject: Option<String>,
    /// That belong to this operation.
    pub correlation_id: Option<String>,
    /// Of this time or later, in milliseconds since the Unix epoch.
    pub since_ms: Option<u64>,
    /// Before this time, in milliseconds since the Unix epoch.
    pub until_ms: Option<u64>,
}

impl EventFilter {
    /// Whether the filter lets an event through.
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| wanted.as_deref().is_none_or(|one| Some(one) == found);
        self.since_ms.is_none_or(|since_ms| event.time_ms >= since_ms)
            && self.until_ms.is_none_or(|until_ms| event.time_ms < until_ms)
            && is(&self.kind, Some(&event.kind))
            && is(&self.subject, event.subject.as_deref())
            && is(&self.correlation_id, event.correlation_id.as_deref())
            && self.topic.as_ref().is_none_or(|topic| topic.matches(&event.topic))
    }
}

/// Some events of a history. A page may have few events or none before the end: one call looks at so much and no more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventPage {
    /// Events with their positions, in the order that was asked for.
    pub events: Vec<(u64, Event)>,
    /// Where to read on: from this position forward, or before it backward.
    pub next: u64,
    /// There was nothing more at the time.
    pub end: bool,
}
