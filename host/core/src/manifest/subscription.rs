//! Subscriptions of a component to topics, and `[application.tool.weft.messaging]`. Delivery belongs to the messaging
//! capability.

use std::sync::Arc;

use crate::topic::{self, TopicPattern};

use super::names;
use super::section::{Entry, Section};

/// Where a new subscription begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the oldest event that is kept.
    Earliest,
    /// With the next event after it is made.
    Latest,
}

/// Which events wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Those with the same ordering key.
    Key,
    /// None.
    None,
}

/// What a dead letter means for the later events of its ordering key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenDead {
    /// The next one follows.
    Skip,
    /// They wait until the dead letter is replayed with success, or purged.
    HoldKey,
}

/// What happens to an event for which a work queue has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// Its publishing is refused. An event that leaves with a commit is past refusing: it is taken all the same.
    Reject,
    /// It is taken, and the oldest event that waits becomes a dead letter.
    DeadLetterOldest,
}

/// A subscription as a work queue: a bound on what waits, and instances by how much waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkQueue {
    /// Events that may wait: 1 to 10,000,000, 10,000 by default.
    pub max_length: u32,
    /// What happens beyond that; `reject` by default.
    pub overflow: Overflow,
    /// Handlers that run at once when little waits: 1 to 1,000, 2 by default.
    pub min: u32,
    /// Handlers that run at once when much waits: `min` to 1,000, 20 by default.
    pub max: u32,
    /// From so many waiting events on there are more handlers: 1 to 10,000,000, 100 by default.
    pub up_at: u32,
    /// Down from so many waiting events there are fewer: less than `up_at`, 10 by default.
    pub down_at: u32,
}

/// One subscription; its component exports `weft:messaging/handler`, or `batch-handler` if `batch` is greater than 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Unique in its component. With the component's id it names the place in the log that survives restarts.
    pub name: Arc<str>,
    /// Which topics.
    pub topic: TopicPattern,
    /// Subscriptions of one group, of whichever components, share one place in the log: each event goes to one of them.
    pub group: Option<Arc<str>>,
    /// Deliveries of one event before it goes to the dead letters: 1 to 100, 3 by default.
    pub max_attempts: u32,
    /// The pause before the second delivery, in milliseconds, doubled for each further one: 1 to 3,600,000, 1,000 by
    /// default.
    pub base_ms: u32,
    /// The longest pause, in milliseconds: 1 to 86,400,000 and at least `base_ms`, 30,000 by default.
    pub cap_ms: u32,
    /// Calls of the handler at once: 1 to 1,000, 10 by default.
    pub concurrency: u32,
    /// Events that one call of the handler may bring: 1 to 1,000, 1 by default.
    pub batch: u32,
    /// Events that are handed out and not settled, at most: 1 to 100,000, `concurrency` times `batch` by default.
    pub prefetch: u32,
    /// Which events go one after the other; `key` by default.
    pub order: Order,
    /// What a dead letter means for those of its key; `skip` by default.
    pub when_dead: WhenDead,
    /// A topic to which its dead letters are published besides.
    pub dead_letter_topic: Option<Arc<str>>,
    /// How long after its time an event is still delivered, in milliseconds; for ever by default.
    pub ttl_ms: Option<u64>,
    /// If it is a work queue.
    pub queue: Option<WorkQueue>,
    /// Where it begins when it is new; `earliest` by default.
    pub start: Start,
    /// The line it stands on.
    pub line: usize,
}

/// A year.
const MAX_TTL_MS: u64 = 365 * 24 * 3_600 * 1_000;

impl Subscription {
    /// A subscription that says nothing but its name and its topics.
    #[must_use]
    pub fn new(name: Arc<str>, topic: TopicPattern) -> Self {
        Self {
            name,
            topic,
            group: None,
            max_attempts: 3,
            base_ms: 1_000,
            cap_ms: 30_000,
            concurrency: 10,
            batch: 1,
            prefetch: 10,
            order: Order::Key,
            when_dead: WhenDead::Skip,
            dead_letter_topic: None,
            ttl_ms: None,
            queue: None,
            start: Start::Earliest,
            line: 0,
        }
    }

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
        let group = section.string("group");
        if let Some(group) = group.as_ref().filter(|group| !names::is_label(group)) {
            section.report(group.line, format!("{:?} is no name for a group (kebab-case)", &*group.value));
        }
        let start = one_of(&section, "start", &[("earliest", Start::Earliest), ("latest", Start::Latest)]);
        let base_ms = section.number("base_ms", 1..=3_600_000, 1_000);
        let cap_ms = section.number("cap_ms", 1..=86_400_000, base_ms.max(30_000));
        if cap_ms < base_ms {
            section.report(section.line, format!("`cap_ms` ({cap_ms}) is less than `base_ms` ({base_ms})"));
        }
        let max_attempts = section.number("max_attempts", 1..=100, 3);
        let concurrency = section.number("concurrency", 1..=1_000, 10);
        let batch = section.number("batch", 1..=1_000, 1);
        let prefetch = section.number("prefetch", 1..=100_000, (concurrency * batch).min(100_000));
        if prefetch < batch {
            section.report(section.line, format!("`prefetch` ({prefetch}) is less than `batch` ({batch})"));
        }
        let order = one_of(&section, "order", &[("key", Order::Key), ("none", Order::None)]);
        let when_dead = one_of(&section, "when_dead", &[("skip", WhenDead::Skip), ("hold-key", WhenDead::HoldKey)]);
        let (order, when_dead) = (order.unwrap_or(Order::Key), when_dead.unwrap_or(WhenDead::Skip));
        if order == Order::None && when_dead == WhenDead::HoldKey {
            section.report(section.line, "`when_dead = \"hold-key\"` needs `order = \"key\"`");
        }
        let dead_letter_topic = dead_letter_topic(&section, topic.as_ref());
        let ttl_ms = section.get("ttl_ms").and_then(|entry| entry.number(&(1..=MAX_TTL_MS)));
        let queue = section.section("queue").map(WorkQueue::read);
        let line = section.line;
        section.finish();
        Some(Self {
            group: group.map(|group| group.value),
            max_attempts,
            base_ms,
            cap_ms,
            concurrency,
            batch,
            prefetch,
            order,
            when_dead,
            dead_letter_topic,
            ttl_ms,
            queue,
            start: start.unwrap_or(Start::Earliest),
            line,
            ..Self::new(name?.value, topic?)
        })
    }

    /// Whether the two may be of one group: they differ in nothing but their names and how many calls they take at once.
    #[must_use]
    pub fn shares_a_place_with(&self, other: &Self) -> bool {
        let like = Self {
            name: other.name.clone(),
            concurrency: other.concurrency,
            prefetch: other.prefetch,
            line: other.line,
            ..self.clone()
        };
        like == *other
    }
}

/// The value that the string behind `key` stands for.
pub(super) fn one_of<T: Copy>(section: &Section<'_>, key: &'static str, values: &[(&str, T)]) -> Option<T> {
    let written = section.string(key)?;
    let found = values.iter().find(|(name, _)| **name == *written.value).map(|(_, value)| *value);
    if found.is_none() {
        let names: Vec<String> = values.iter().map(|(name, _)| format!("{name:?}")).collect();
        section.report(written.line, format!("`{key}` is {}, not {:?}", names.join(" or "), &*written.value));
    }
    found
}

fn dead_letter_topic(section: &Section<'_>, topic: Option<&TopicPattern>) -> Option<Arc<str>> {
    let written = section.string("dead_letter_topic")?;
    if let Err(error) = topic::check_topic(&written.value) {
        section.report(written.line, format!("{:?} is no topic: {error}", &*written.value));
    } else if topic.is_some_and(|topic| topic.matches(&written.value)) {
        section.report(
            written.line,
            "the subscription would get its own dead letters: `topic` covers `dead_letter_topic`",
        );
    }
    Some(written.value)
}

impl Default for WorkQueue {
    fn default() -> Self {
        Self { max_length: 10_000, overflow: Overflow::Reject, min: 2, max: 20, up_at: 100, down_at: 10 }
    }
}

impl WorkQueue {
    fn read(section: Section<'_>) -> Self {
        let default = Self::default();
        let overflow = [("reject", Overflow::Reject), ("dead-letter-oldest", Overflow::DeadLetterOldest)];
        let min = section.number("min", 1..=1_000, default.min);
        let queue = Self {
            max_length: section.number("max_length", 1..=10_000_000, default.max_length),
            overflow: one_of(&section, "overflow", &overflow).unwrap_or(default.overflow),
            min,
            max: section.number("max", 1..=1_000, default.max.max(min)),
            up_at: section.number("up_at", 1..=10_000_000, default.up_at),
            down_at: section.number("down_at", 0..=10_000_000, default.down_at),
        };
        if queue.max < queue.min {
            section.report(section.line, format!("`max` ({}) is less than `min` ({})", queue.max, queue.min));
        }
        if queue.down_at >= queue.up_at {
            section
                .report(section.line, format!("`down_at` ({}) is not below `up_at` ({})", queue.down_at, queue.up_at));
        }
        section.finish();
        queue
    }
}

/// `[application.tool.weft.messaging]`: how the message log is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessagingSettings {
    /// How long events are kept at least, in days: 1 to 3,650, 7 by default. What a subscription still needs stays.
    pub retention_days: u32,
    /// How large the log may grow before older events go, in MiB: 64 to 100,000,000; without a bound by default. What a
    /// subscription still needs stays.
    pub retention_mib: Option<u32>,
    /// How long the id of an event is known, in seconds: 1 to 604,800, 120 by default.
    pub dedup_window_s: u32,
    /// How many ids are known at most: 1,000 to 100,000,000, 500,000 by default. The newest 32,768 are known whatever
    /// their age.
    pub dedup_ids: u32,
}

impl Default for MessagingSettings {
    fn default() -> Self {
        Self { retention_days: 7, retention_mib: None, dedup_window_s: 120, dedup_ids: 500_000 }
    }
}

impl MessagingSettings {
    pub(super) fn read(section: Section<'_>) -> Self {
        let default = Self::default();
        let settings = Self {
            retention_days: section.number("retention_days", 1..=3_650, default.retention_days),
            retention_mib: section.get("retention_mib").and_then(|entry| entry.number(&(64..=100_000_000))),
            dedup_window_s: section.number("dedup_window_s", 1..=604_800, default.dedup_window_s),
            dedup_ids: section.number("dedup_ids", 1_000..=100_000_000, default.dedup_ids),
        };
        section.finish();
        settings
    }
}
