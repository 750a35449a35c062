//! Who is connected, and what goes to whom: all that happens under the one lock of a hub, so that ids ascend in the order
//! in which messages are handed on.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use weft_core::push::{
    ClientStatus, CloseReason, Cursor, Cut, Message, NewConnection, NewMessage, Presence, PushBounds, PushError,
    PushStatus, PushTotals, Pushed, USER,
};

use super::PushOptions;
use super::channels::{self, Channels};
use super::mailbox::{Item, Mailbox, Offered};

/// How many connections that were cut are remembered.
const CUTS: usize = 100;

#[derive(Debug)]
pub(super) struct State {
    options: PushOptions,
    channels: Channels,
    users: HashMap<Arc<str>, Vec<Arc<Mailbox>>>,
    connections: usize,
    last_connection: u64,
    /// The id of the last message to a channel.
    head: u64,
    /// The id of the last message to a user.
    inbox_head: u64,
    totals: PushTotals,
    cut: VecDeque<Cut>,
    is_closed: bool,
}

/// A connection that has joined.
pub(super) struct Joined {
    pub mailbox: Arc<Mailbox>,
    /// What it has joined, besides its user's.
    pub channels: Vec<Arc<str>>,
    pub cursor: Cursor,
    /// What it has not seen of its channels.
    pub backlog: VecDeque<Arc<Message>>,
    /// Channels of which something that it has not seen is gone.
    pub gaps: Vec<Arc<str>>,
    /// Messages to its user from here on come by themselves.
    pub inbox_head: u64,
    pub presence: Vec<(Arc<str>, Presence)>,
}

impl State {
    /// Nothing is known of ids before `first_id`, and messages up to `inbox_head` are nobody's news.
    pub fn new(options: PushOptions, first_id: u64, inbox_head: u64) -> Self {
        Self {
            options,
            channels: Channels::new(first_id),
            users: HashMap::new(),
            connections: 0,
            last_connection: 0,
            head: first_id,
            inbox_head,
            totals: PushTotals::default(),
            cut: VecDeque::new(),
            is_closed: false,
        }
    }

    /// Keeps and lets in so much from now on.
    pub fn set_bounds(&mut self, bounds: PushBounds) {
        self.options = self.options.clone().bounded(bounds);
    }

    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// What somebody has seen who has got everything so far.
    pub fn now(&self) -> Cursor {
        Cursor { channels: self.head, inbox: self.inbox_head }
    }

    pub fn join(&mut self, new: NewConnection, now_ms: u64) -> Result<Joined, PushError> {
        self.admit(&new)?;
        self.last_connection += 1;
        let id = self.last_connection;
        let mailbox = Mailbox::new(id, new.user.clone(), new.transport, now_ms, self.options.pending_bytes);
        let mailbox = Arc::new(mailbox);
        self.channels.sweep(now_ms, &self.options);
        let seen = new.resume.map_or(self.head, |cursor| cursor.channels);
        // An id beyond ours is of a data directory that is gone.
        let (is_foreign, seen) = (seen > self.head, seen.min(self.head));
        let mut joined = Joined {
            mailbox: mailbox.clone(),
            channels: Vec::with_capacity(new.channels.len()),
            cursor: Cursor { channels: seen, inbox: self.inbox_head },
            backlog: VecDeque::new(),
            gaps: Vec::new(),
            inbox_head: self.inbox_head,
            presence: Vec::with_capacity(new.channels.len()),
        };
        let mut backlog = Vec::new();
        for name in &new.channels {
            let missed = self.channels.missed(name, seen);
            let Some(name) = self.channels.enter(name, &mailbox, &self.options) else {
                joined.channels.iter().for_each(|joined| self.channels.leave(joined, &mailbox));
                return Err(too_many_channels());
            };
            if joined.channels.contains(&name) {
                continue;
            }
            backlog.extend(missed.messages);
            if missed.is_gap || is_foreign {
                joined.gaps.push(name.clone());
            }
            joined.presence.push((name.clone(), self.channels.presence(&name)));
            joined.channels.push(name);
        }
        backlog.sort_unstable_by_key(|message| message.id());
        joined.backlog = backlog.into();
        self.users.entry(new.user).or_default().push(mailbox);
        self.connections += 1;
        self.totals.connected += 1;
        Ok(joined)
    }

    fn admit(&self, new: &NewConnection) -> Result<(), PushError> {
        if self.is_closed {
            return Err(PushError::Closing);
        }
        let options = &self.options;
        if self.connections >= options.connections {
            return Err(PushError::TooMany(format!("there are {} connections already", self.connections)));
        }
        if self.users.get(&new.user).is_some_and(|own| own.len() >= options.connections_per_user) {
            let message = format!("a user has at most {} connections", options.connections_per_user);
            return Err(PushError::TooManyOfUser(message));
        }
        if new.channels.len() > options.channels_per_connection {
            return Err(too_many_of_connection(options));
        }
        new.channels.iter().try_for_each(|name| channels::check(name))
    }

    /// Notes that a connection went on, and whether there was a gap.
    pub fn note_resumed(&mut self, has_gap: bool) {
        self.totals.resumed += 1;
        self.totals.gaps += u64::from(has_gap);
    }

    pub fn leave(&mut self, mailbox: &Mailbox, channels: &[Arc<str>]) {
        channels.iter().for_each(|name| self.channels.leave(name, mailbox));
        let Some(own) = self.users.get_mut(&mailbox.user) else { return };
        let before = own.len();
        own.retain(|other| other.id != mailbox.id);
        self.connections -= before - own.len();
        if own.is_empty() {
            self.users.remove(&mailbox.user);
        }
    }

    /// Lets a connection that is in `joined` already into one more channel. The name as it is kept.
    pub fn subscribe(
        &mut self,
        mailbox: &Arc<Mailbox>,
        name: &str,
        joined: usize,
    ) -> Result<(Arc<str>, Presence), PushError> {
        if self.is_closed {
            return Err(PushError::Closing);
        }
        channels::check(name)?;
        if joined >= self.options.channels_per_connection {
            return Err(too_many_of_connection(&self.options));
        }
        let name = self.channels.enter(name, mailbox, &self.options).ok_or_else(too_many_channels)?;
        let presence = self.channels.presence(&name);
        Ok((name, presence))
    }

    pub fn unsubscribe(&mut self, mailbox: &Mailbox, name: &str) {
        self.channels.leave(name, mailbox);
    }

    pub fn presence(&self, channel: &str) -> Presence {
        let Some(user) = channel.strip_prefix(USER) else { return self.channels.presence(channel) };
        let connections = self.users.get(user).map_or(0, Vec::len);
        Presence { connections: u32::try_from(connections).unwrap_or(u32::MAX), users: u32::from(connections > 0) }
    }

    pub fn push_to_channel(&mut self, name: &str, new: &NewMessage, now_ms: u64) -> Result<Pushed, PushError> {
        if self.is_closed {
            return Err(PushError::Closing);
        }
        self.head += 1;
        let id = self.head;
        let make = |name| Message::new(name, id, false, new, now_ms);
        let (message, members) = self.channels.add(name, id, now_ms, &self.options, make);
        let handed = hand(members, &|| Item::Message(message.clone()), now_ms);
        Ok(Pushed { id, connections: self.handed(handed) })
    }

    /// Hands on a message that is durable with this id. Answers to how many.
    pub fn push_to_user(&mut self, user: &str, id: u64, message: &Arc<Message>, now_ms: u64) -> u32 {
        self.inbox_head = id;
        let own = self.users.get(user).into_iter().flatten();
        let handed = hand(own, &|| Item::Message(message.clone()), now_ms);
        self.handed(handed)
    }

    /// Tells a user's connections something that is no message.
    pub fn tell(&mut self, user: &str, item: &dyn Fn() -> Item, now_ms: u64) {
        let own = self.users.get(user).into_iter().flatten();
        let (_, cut) = hand(own, item, now_ms);
        self.note_cut(cut);
    }

    fn handed(&mut self, (reached, cut): (u32, Vec<Cut>)) -> u32 {
        self.totals.pushed += 1;
        self.totals.delivered += u64::from(reached);
        self.note_cut(cut);
        reached
    }

    fn note_cut(&mut self, cut: Vec<Cut>) {
        for one in cut {
            tracing::debug!(user = &*one.user, connection = one.id, "cut a slow push connection");
            self.totals.cut += 1;
            self.cut.push_front(one);
        }
        self.cut.truncate(CUTS);
    }

    pub fn close(&mut self) {
        self.is_closed = true;
        self.users.values().flatten().for_each(|mailbox| mailbox.close(CloseReason::GoingAway));
    }

    pub fn status(&mut self, entries: usize, now_ms: u64) -> PushStatus {
        self.channels.sweep(now_ms, &self.options);
        let memberships = self.channels.memberships();
        let client = |mailbox: &Arc<Mailbox>| ClientStatus {
            id: mailbox.id,
            user: mailbox.user.clone(),
            transport: mailbox.transport.into(),
            channels: memberships.get(&mailbox.id).copied().unwrap_or_default(),
            pending_bytes: mailbox.pending_bytes(),
            since_ms: mailbox.since_ms,
        };
        let mut clients: Vec<ClientStatus> = self.users.values().flatten().map(client).collect();
        clients.sort_by_key(|client| (std::cmp::Reverse(client.pending_bytes), client.id));
        clients.truncate(entries);
        let (kept, kept_bytes) = self.channels.kept();
        PushStatus {
            connections: self.connections,
            users: self.users.len(),
            channels: self.channels.len(),
            kept,
            kept_bytes,
            totals: self.totals,
            busiest: self.channels.busiest(entries),
            clients,
            cut: self.cut.iter().take(entries).cloned().collect(),
        }
    }
}

/// Offers something to some connections. To how many, and which were cut by it.
fn hand<'a>(to: impl Iterator<Item = &'a Arc<Mailbox>>, item: &dyn Fn() -> Item, now_ms: u64) -> (u32, Vec<Cut>) {
    let (mut reached, mut cut) = (0, Vec::new());
    for mailbox in to {
        match mailbox.offer(item()) {
            Offered::Taken => reached += 1,
            Offered::Ended => {}
            Offered::Cut(pending_bytes) => cut.push(Cut {
                id: mailbox.id,
                user: mailbox.user.clone(),
                transport: mailbox.transport.into(),
                pending_bytes,
                at_ms: now_ms,
            }),
        }
    }
    (reached, cut)
}

fn too_many_channels() -> PushError {
    PushError::TooMany("there are as many channels as there may be".to_owned())
}

fn too_many_of_connection(options: &PushOptions) -> PushError {
    PushError::TooMany(format!("a connection is in at most {} channels", options.channels_per_connection))
}
