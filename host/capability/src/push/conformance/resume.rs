//! Going on after a break: what was missed comes, in order, each once, or a gap is told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use weft_core::push::{Cursor, Delivery, Opened, PushHub, Which};

use super::{Bounds, Harness, connect, is_quiet, message, next, next_message};

/// What a start knows nothing of.
const NOTHING: Cursor = Cursor { channels: 0, inbox: 0 };

fn names(channels: &[Arc<str>]) -> Vec<&str> {
    channels.iter().map(|name| &**name).collect()
}

pub(super) async fn unread_outlive_a_restart(harness: &dyn Harness) {
    let hub = harness.open();
    let mut ada = connect(&*hub, "ada", &["course:1"], None).await;
    let first = hub.to_user("ada", message("first")).await.unwrap();
    let seen = next_message(&mut ada).await.2;
    drop(ada);
    hub.to_user("ada", message("second")).await.unwrap();
    hub.to_channel("course:1", message("lost")).unwrap();
    drop(hub);

    let hub = harness.open();
    let mut ada = connect(&*hub, "ada", &["course:1"], Some(seen)).await;
    assert_eq!(ada.unread, 2);
    let Delivery::Gap(channels) = next(&mut ada).await else { panic!("no gap") };
    assert_eq!(names(&channels), ["course:1"], "the inbox has none");
    assert_eq!(next_message(&mut ada).await.1, "second");
    let id = hub.to_channel("course:1", message("third")).unwrap().id;
    assert!(id > seen.channels, "ids ascend over restarts");
    assert_eq!(next_message(&mut ada).await.1, "third");
    assert_eq!(hub.mark_read("ada", Which::These(vec![first.id])).await, Ok(1));
    drop((hub, ada));

    let hub = harness.open();
    assert_eq!(connect(&*hub, "ada", &[], None).await.unread, 1);
}

pub(super) async fn a_gap_is_told(harness: &dyn Harness) {
    let hub = harness.open();
    let mut ada = connect(&*hub, "ada", &["busy:1", "quiet:1"], None).await;
    hub.to_channel("busy:1", message("seen")).unwrap();
    let seen = next_message(&mut ada).await.2;
    drop(ada);
    for number in 0..=Bounds::RING {
        hub.to_channel("busy:1", message(&number.to_string())).unwrap();
    }
    let mut ada = connect(&*hub, "ada", &["busy:1", "quiet:1"], Some(seen)).await;
    let Delivery::Gap(channels) = next(&mut ada).await else { panic!("no gap") };
    assert_eq!(names(&channels), ["busy:1"]);
    for number in 1..=Bounds::RING {
        assert_eq!(next_message(&mut ada).await.1, number.to_string(), "what is kept comes");
    }
    assert!(is_quiet(&mut ada));
    let seen = ada.connection.cursor();
    drop(ada);
    hub.to_channel("busy:1", message("old")).unwrap();
    harness.clock().advance(Duration::from_secs(Bounds::RETENTION_S + 1));
    let mut ada = connect(&*hub, "ada", &["busy:1"], Some(seen)).await;
    assert!(matches!(next(&mut ada).await, Delivery::Gap(_)));
    assert!(is_quiet(&mut ada));
    let foreign = Cursor { channels: u64::MAX, inbox: u64::MAX };
    let mut ada = connect(&*hub, "ada", &["quiet:1"], Some(foreign)).await;
    let Delivery::Gap(channels) = next(&mut ada).await else { panic!("no gap") };
    assert_eq!(names(&channels), ["quiet:1", "user:ada"]);
}

pub(super) async fn an_old_inbox_has_a_gap(harness: &dyn Harness) {
    let hub = harness.open();
    let mut ada = connect(&*hub, "ada", &[], None).await;
    hub.to_user("ada", message("seen")).await.unwrap();
    let seen = next_message(&mut ada).await.2;
    drop(ada);
    for number in 0..=Bounds::INBOX {
        hub.to_user("ada", message(&number.to_string())).await.unwrap();
    }
    let mut ada = connect(&*hub, "ada", &[], Some(seen)).await;
    assert_eq!(ada.unread, Bounds::INBOX as u64);
    let Delivery::Gap(channels) = next(&mut ada).await else { panic!("no gap") };
    assert_eq!(names(&channels), ["user:ada"]);
    for number in 1..=Bounds::INBOX {
        assert_eq!(next_message(&mut ada).await.1, number.to_string());
    }
    let seen = ada.connection.cursor();
    drop(ada);
    hub.to_user("ada", message("old")).await.unwrap();
    harness.clock().advance(Duration::from_secs(Bounds::INBOX_RETENTION_S + 100));
    hub.to_user("bob", message("new")).await.unwrap();
    let mut ada = connect(&*hub, "ada", &[], Some(seen)).await;
    assert_eq!(ada.unread, 0);
    assert!(matches!(next(&mut ada).await, Delivery::Gap(_)));
    assert!(is_quiet(&mut ada));
}

/// One client that comes and goes while messages are pushed, some are read, and time passes. It gets each message of its
/// channels and its inbox once, in the order of each, unless a gap of that channel was told, or the message was read.
pub(super) async fn exactly_what_was_missed(harness: &dyn Harness, seed: u64) {
    let hub = harness.open();
    let mut run = Run { hub: &*hub, random: seed, model: Model::default(), cursor: NOTHING };
    // So that the first time nothing is missed.
    let mut client = Some(connect(run.hub, "ada", &["a", "b"], None).await);
    // Half of the runs are too short and too quiet for anything to be given up.
    let is_wild = seed % 2 == 1;
    for step in 0..if is_wild { 160 } else { 14 } {
        match run.below(10) {
            0..3 => run.push_to_channel(step),
            3..5 => run.push_to_user(step.to_string()).await,
            5 => run.read().await,
            6 if is_wild => harness.clock().advance(Duration::from_secs(Bounds::RETENTION_S / 8)),
            6 | 7 => {
                if let Some(leaving) = client.take() {
                    let most = run.below(6);
                    run.take(leaving, most).await;
                }
            }
            _ => {
                if client.is_none() {
                    client = Some(connect(run.hub, "ada", &["a", "b"], Some(run.cursor)).await);
                }
            }
        }
    }
    let client = match client {
        Some(client) => client,
        None => connect(run.hub, "ada", &["a", "b"], Some(run.cursor)).await,
    };
    run.take(client, usize::MAX).await;
    assert!(is_wild || !run.model.had_gap, "a gap where nothing was given up");
    assert_eq!(hub.status(10).connections, 0);
}

struct Run<'h> {
    hub: &'h dyn PushHub,
    random: u64,
    model: Model,
    cursor: Cursor,
}

impl Run<'_> {
    /// A number below `bound`, by a generator that is good enough for this (Knuth's MMIX).
    fn below(&mut self, bound: usize) -> usize {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.random >> 33).unwrap() % bound
    }

    fn push_to_channel(&mut self, step: usize) {
        let channel = ["a", "b", "of others"][self.below(3)].replace(' ', "-");
        self.hub.to_channel(&channel, message(&step.to_string())).unwrap();
        self.model.pushed.entry(channel).or_default().push(step.to_string());
    }

    async fn push_to_user(&mut self, text: String) {
        let id = self.hub.to_user("ada", message(&text)).await.unwrap().id;
        self.model.pushed.entry("user:ada".to_owned()).or_default().push(text);
        self.model.ids.push(id);
    }

    async fn read(&mut self) {
        let count = self.model.ids.len();
        if count > 0 {
            let place = self.below(count);
            self.hub.mark_read("ada", Which::These(vec![self.model.ids[place]])).await.unwrap();
            self.model.read.push(place);
        }
    }

    /// Takes up to so many messages and leaves. With a last message in each of its channels, it is known when all have
    /// come, whatever has to be read of a file for that.
    async fn take(&mut self, mut client: Opened, most: usize) {
        let mut seen = client.cursor;
        // No two messages have the same text, so that none is taken for another.
        let last = format!("last of {}", self.model.ids.len());
        self.hub.to_channel("a", message(&last)).unwrap();
        self.model.pushed.entry("a".to_owned()).or_default().push(last.clone());
        self.push_to_user(last).await;
        let mut open = vec!["a", "user:ada"];
        let mut taken = 0;
        while taken < most && !open.is_empty() {
            match next(&mut client).await {
                Delivery::Gap(channels) => self.model.note_gaps(&channels),
                Delivery::Read(_) => {}
                Delivery::Message { cursor, message } => {
                    let json: serde_json::Value = serde_json::from_str(&format!("{{{}", message.members())).unwrap();
                    let channel: &str = message.channel();
                    if self.model.came(channel, json["data"]["text"].as_str().unwrap()) {
                        open.retain(|other| *other != channel);
                    }
                    seen = cursor;
                    taken += 1;
                }
                Delivery::Closed(reason) => panic!("{reason:?}"),
            }
        }
        // A heartbeat would have said the first; the last message said the second.
        self.cursor = if self.below(2) == 0 { client.connection.cursor() } else { seen };
    }
}

/// What was pushed, and what of it has come.
#[derive(Default)]
struct Model {
    pushed: BTreeMap<String, Vec<String>>,
    /// How many of each have come, or are known not to come.
    passed: BTreeMap<String, usize>,
    /// By channel, how many of its messages were pushed when a gap was told: of those some may be gone.
    gaps: BTreeMap<String, usize>,
    had_gap: bool,
    ids: Vec<u64>,
    /// Which of the user's messages were read.
    read: Vec<usize>,
}

impl Model {
    fn note_gaps(&mut self, channels: &[Arc<str>]) {
        for channel in channels {
            let pushed = self.pushed.get(&**channel).map_or(0, Vec::len);
            self.gaps.insert(channel.to_string(), pushed);
        }
        self.had_gap = true;
    }

    /// Looks at a message that has come. Whether it is the last of its channel.
    fn came(&mut self, channel: &str, text: &str) -> bool {
        let pushed = &self.pushed[channel];
        let passed = self.passed.entry(channel.to_owned()).or_default();
        let ahead = pushed[*passed..].iter().position(|other| other == text);
        let ahead = ahead.unwrap_or_else(|| panic!("{text:?} of {channel} comes twice, or too late"));
        let is_excused = |place: &usize| {
            self.gaps.get(channel).is_some_and(|told| place < told)
                || (channel == "user:ada" && self.read.contains(place))
        };
        if let Some(place) = (*passed..*passed + ahead).find(|place| !is_excused(place)) {
            panic!("{:?} of {channel} is missing before {text:?}", pushed[place]);
        }
        *passed += ahead + 1;
        *passed == pushed.len()
    }
}
