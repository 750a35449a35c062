//! Channels: who is in each, and its last messages, kept within bounds of each channel and of all together.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use weft_core::push::{ChannelStatus, Message, Presence, PushError, USER, check_channel};

use super::PushOptions;
use super::mailbox::Mailbox;

/// Whether a function may push to it as a channel, and a client join it.
pub(super) fn check(name: &str) -> Result<(), PushError> {
    check_channel(name).map_err(|error| PushError::Invalid(error.to_string()))?;
    if name.starts_with(USER) {
        return Err(PushError::Invalid(format!("{name:?} is a user's: each has it by itself, and an inbox behind it")));
    }
    Ok(())
}

#[derive(Debug, Default)]
struct Channel {
    members: HashMap<u64, Arc<Mailbox>>,
    users: HashMap<Arc<str>, u32>,
    ring: VecDeque<Arc<Message>>,
    ring_bytes: usize,
    /// Messages up to this id may be gone.
    lost: u64,
}

/// One message that is kept.
#[derive(Debug)]
struct Kept {
    channel: Arc<str>,
    id: u64,
    time_ms: u64,
}

/// All channels.
#[derive(Debug)]
pub(super) struct Channels {
    channels: HashMap<Arc<str>, Channel>,
    /// Messages in all rings, the oldest first; some may be gone from their ring already.
    kept: VecDeque<Kept>,
    kept_messages: usize,
    kept_bytes: usize,
    /// Messages up to this id may be gone of channels that are not here.
    floor: u64,
}

/// What of a channel somebody has not seen.
pub(super) struct Missed {
    pub messages: Vec<Arc<Message>>,
    pub is_gap: bool,
}

impl Channels {
    /// Of messages up to `floor` nothing is known.
    pub fn new(floor: u64) -> Self {
        Self { channels: HashMap::new(), kept: VecDeque::new(), kept_messages: 0, kept_bytes: 0, floor }
    }

    pub fn len(&self) -> usize {
        self.channels.len()
    }

    /// Messages that are kept, and their bytes.
    pub fn kept(&self) -> (usize, usize) {
        (self.kept_messages, self.kept_bytes)
    }

    /// Lets a connection in. Its name as it is kept; `None` if there are too many channels.
    pub fn enter(&mut self, name: &str, mailbox: &Arc<Mailbox>, options: &PushOptions) -> Option<Arc<str>> {
        let name = self.open(name, options)?;
        let channel = self.channels.get_mut(&name)?;
        if channel.members.insert(mailbox.id, mailbox.clone()).is_none() {
            *channel.users.entry(mailbox.user.clone()).or_default() += 1;
        }
        Some(name)
    }

    pub fn leave(&mut self, name: &str, mailbox: &Mailbox) {
        let Some(channel) = self.channels.get_mut(name) else { return };
        if channel.members.remove(&mailbox.id).is_some()
            && let Some(count) = channel.users.get_mut(&mailbox.user)
        {
            *count -= 1;
            if *count == 0 {
                channel.users.remove(&mailbox.user);
            }
        }
        self.drop_unused(name);
    }

    /// The channel's name as it is kept. Makes the channel if it is not there and there is room.
    fn open(&mut self, name: &str, options: &PushOptions) -> Option<Arc<str>> {
        if let Some((kept, _)) = self.channels.get_key_value(name) {
            return Some(kept.clone());
        }
        if self.channels.len() >= options.channels {
            return None;
        }
        let name: Arc<str> = name.into();
        self.channels.insert(name.clone(), Channel { lost: self.floor, ..Channel::default() });
        Some(name)
    }

    fn drop_unused(&mut self, name: &str) {
        let is_unused = |channel: &Channel| channel.members.is_empty() && channel.ring.is_empty();
        if self.channels.get(name).is_some_and(is_unused)
            && let Some(channel) = self.channels.remove(name)
        {
            self.floor = self.floor.max(channel.lost);
        }
    }

    /// Keeps the message with this id that `make` makes for the channel's name. Who is in the channel gets it.
    pub fn add(
        &mut self,
        name: &str,
        id: u64,
        time_ms: u64,
        options: &PushOptions,
        make: impl FnOnce(Arc<str>) -> Message,
    ) -> (Arc<Message>, impl Iterator<Item = &Arc<Mailbox>>) {
        let message = match self.open(name, options) {
            Some(name) => {
                let message = Arc::new(make(name.clone()));
                self.keep(name, message.clone(), time_ms, options);
                message
            }
            None => {
                // It cannot be kept for anybody who joins later.
                self.floor = id;
                Arc::new(make(name.into()))
            }
        };
        debug_assert_eq!(message.id(), id);
        self.sweep(time_ms, options);
        (message, self.channels.get(name).into_iter().flat_map(|channel| channel.members.values()))
    }

    fn keep(&mut self, name: Arc<str>, message: Arc<Message>, time_ms: u64, options: &PushOptions) {
        let Some(channel) = self.channels.get_mut(&name) else { return };
        channel.ring_bytes += message.weight();
        self.kept_bytes += message.weight();
        self.kept_messages += 1;
        self.kept.push_back(Kept { channel: name.clone(), id: message.id(), time_ms });
        channel.ring.push_back(message);
        while channel.ring.len() > options.ring || channel.ring_bytes > options.ring_bytes {
            let Some(freed) = forget_oldest(channel) else { break };
            self.kept_bytes = self.kept_bytes.saturating_sub(freed);
            self.kept_messages = self.kept_messages.saturating_sub(1);
        }
    }

    /// Gives up what is too old, and the oldest of what is too much.
    pub fn sweep(&mut self, now_ms: u64, options: &PushOptions) {
        let retention_ms = u64::try_from(options.retention.as_millis()).unwrap_or(u64::MAX);
        let is_over = |kept: &Kept, all: usize, bytes: usize| {
            kept.time_ms.saturating_add(retention_ms) < now_ms || all > options.kept || bytes > options.kept_bytes
        };
        while self.kept.front().is_some_and(|kept| is_over(kept, self.kept.len(), self.kept_bytes)) {
            let Some(kept) = self.kept.pop_front() else { break };
            let Some(channel) = self.channels.get_mut(&kept.channel) else { continue };
            if channel.ring.front().is_some_and(|front| front.id() == kept.id)
                && let Some(freed) = forget_oldest(channel)
            {
                self.kept_bytes = self.kept_bytes.saturating_sub(freed);
                self.kept_messages = self.kept_messages.saturating_sub(1);
            }
            self.drop_unused(&kept.channel);
        }
    }

    /// What of a channel somebody has not seen who has seen everything up to `seen`.
    pub fn missed(&self, name: &str, seen: u64) -> Missed {
        let Some(channel) = self.channels.get(name) else {
            return Missed { messages: Vec::new(), is_gap: seen < self.floor };
        };
        let from = channel.ring.partition_point(|message| message.id() <= seen);
        Missed { messages: channel.ring.range(from..).cloned().collect(), is_gap: seen < channel.lost }
    }

    pub fn presence(&self, name: &str) -> Presence {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        self.channels.get(name).map_or_else(Presence::default, |channel| Presence {
            connections: count(channel.members.len()),
            users: count(channel.users.len()),
        })
    }

    /// In how many channels each connection is.
    pub fn memberships(&self) -> BTreeMap<u64, usize> {
        let mut memberships = BTreeMap::new();
        for id in self.channels.values().flat_map(|channel| channel.members.keys()) {
            *memberships.entry(*id).or_default() += 1;
        }
        memberships
    }

    /// Those with most connections.
    pub fn busiest(&self, entries: usize) -> Vec<ChannelStatus> {
        let status = |(name, channel): (&Arc<str>, &Channel)| {
            let Presence { connections, users } = self.presence(name);
            ChannelStatus { name: name.clone(), connections, users, kept: channel.ring.len() }
        };
        let mut all: Vec<ChannelStatus> = self.channels.iter().map(status).collect();
        all.sort_by(|a, b| b.connections.cmp(&a.connections).then_with(|| a.name.cmp(&b.name)));
        all.truncate(entries);
        all
    }
}

/// Gives up the oldest message of a ring. Answers what it weighed.
fn forget_oldest(channel: &mut Channel) -> Option<usize> {
    let message = channel.ring.pop_front()?;
    channel.lost = message.id();
    channel.ring_bytes = channel.ring_bytes.saturating_sub(message.weight());
    Some(message.weight())
}
