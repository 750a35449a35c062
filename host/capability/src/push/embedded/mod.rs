//! The embedded hub: connections and channels in memory, inboxes of users in one SQLite file.
//!
//! Ids of messages to channels ascend over restarts too, since each start begins far above the one before: a client that
//! comes back after one is told of a gap, and is never given something in the place of something else.

mod channels;
mod connection;
mod inbox;
mod mailbox;
mod state;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;

use weft_core::push::{
    MAX_MARKED, Message, NewConnection, NewMessage, Opened, Presence, PushBounds, PushError, PushHub, PushStatus,
    Pushed, ReadNotice, Which, user_channel,
};
use weft_core::{Clock, Failure};

use connection::Connection;
use inbox::{Inbox, Inserted};
use mailbox::Item;
use state::State;

/// How much the hub keeps and lets in.
#[derive(Clone, Debug)]
pub struct PushOptions {
    /// Connections at once.
    pub connections: usize,
    /// Connections of one user at once.
    pub connections_per_user: usize,
    /// Channels of one connection, its user's apart.
    pub channels_per_connection: usize,
    /// What may be pending for one connection, in bytes.
    pub pending_bytes: usize,
    /// Channels that somebody is in or of which messages are kept.
    pub channels: usize,
    /// Messages of one channel that are kept.
    pub ring: usize,
    /// The same, in bytes.
    pub ring_bytes: usize,
    /// Messages of all channels that are kept.
    pub kept: usize,
    /// The same, in bytes.
    pub kept_bytes: usize,
    /// How long they are kept.
    pub retention: Duration,
    /// Unread messages of one user that are kept.
    pub inbox: usize,
    /// How long they are kept.
    pub inbox_retention: Duration,
    /// All inboxes together, in bytes.
    pub inbox_bytes: u64,
}

impl Default for PushOptions {
    fn default() -> Self {
        Self {
            connections: 10_000,
            connections_per_user: 16,
            channels_per_connection: 32,
            pending_bytes: 256 << 10,
            channels: 20_000,
            ring: 256,
            ring_bytes: 1 << 20,
            kept: 65_536,
            kept_bytes: 64 << 20,
            retention: Duration::from_mins(10),
            inbox: 1_000,
            inbox_retention: Duration::from_hours(30 * 24),
            inbox_bytes: 1 << 30,
        }
    }
}

impl PushOptions {
    /// The same with the operator's bounds.
    #[must_use]
    pub fn bounded(self, bounds: PushBounds) -> Self {
        let PushBounds { connections, connections_per_user, channels_per_connection, pending_bytes, .. } = bounds;
        let PushBounds { retention, inbox, inbox_retention, .. } = bounds;
        Self {
            connections,
            connections_per_user,
            channels_per_connection,
            pending_bytes,
            retention,
            inbox,
            inbox_retention,
            ..self
        }
    }
}

/// A hub on one machine.
#[derive(Debug)]
pub struct Embedded {
    state: Arc<Mutex<State>>,
    inbox: Arc<Inbox>,
    clock: Arc<dyn Clock>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Embedded {
    /// Opens or creates the inboxes in the file at `path`. The caller holds the data directory's lock.
    ///
    /// # Errors
    /// The file cannot be opened, or is none of inboxes.
    pub fn open(path: &Path, clock: Arc<dyn Clock>, options: PushOptions) -> Result<Self, Failure> {
        let (inbox, opened) = Inbox::open(path, clock.now_ms(), &options)?;
        let state = State::new(options, opened.first_id, opened.inbox_head);
        Ok(Self { state: Arc::new(Mutex::new(state)), inbox: Arc::new(inbox), clock })
    }

    async fn open_connection(&self, new: NewConnection) -> Result<Opened, PushError> {
        user_channel(&new.user).map_err(|error| PushError::Invalid(format!("the user's channel: {error}")))?;
        let resumes = new.resume;
        let joined = lock(&self.state).join(new, self.clock.now_ms())?;
        let (id, user, mut gaps, mut cursor) =
            (joined.mailbox.id, joined.mailbox.user.clone(), joined.gaps, joined.cursor);
        // From here on whatever ends this leaves the hub.
        let mut connection = Connection::new(self.state.clone(), self.inbox.clone(), joined.mailbox, joined.channels);
        let standing = self.inbox.standing(user.clone(), joined.inbox_head).await?;
        if let Some(seen) = resumes {
            // Ids beyond ours are of a data directory that is gone.
            cursor.inbox = if seen.inbox > joined.inbox_head { 0 } else { seen.inbox };
            if seen.inbox > joined.inbox_head || seen.inbox < standing.lost_through {
                // Looked at before already.
                gaps.extend(user_channel(&user));
            }
            lock(&self.state).note_resumed(!gaps.is_empty());
        }
        connection.begin(cursor, gaps, joined.backlog, (joined.inbox_head, standing.lost_through));
        let presence = joined.presence;
        Ok(Opened { id, cursor, unread: standing.unread, presence, connection: Box::new(connection) })
    }
}

impl PushHub for Embedded {
    fn to_user(&self, user: &str, message: NewMessage) -> BoxFuture<'_, Result<Pushed, PushError>> {
        let user: Arc<str> = user.into();
        Box::pin(async move {
            let channel = user_channel(&user).map_err(|error| PushError::Invalid(error.to_string()))?;
            if lock(&self.state).is_closed() {
                return Err(PushError::Closing);
            }
            let (state, now_ms) = (self.state.clone(), self.clock.now_ms());
            let (reached, counted) = (Arc::new(Mutex::new(0)), message.clone());
            let told = reached.clone();
            let owner = user.clone();
            // On the writer's thread, so that they are handed on in the order in which they are durable.
            let hand_on = move |inserted: Result<&Inserted, &Failure>| {
                let Ok(Inserted::New(id)) = inserted else { return };
                let message = Arc::new(Message::new(channel, *id, true, &counted, now_ms));
                let count = lock(&state).push_to_user(&owner, *id, &message, now_ms);
                *told.lock().unwrap_or_else(PoisonError::into_inner) = count;
            };
            match self.inbox.insert(user, message, now_ms, hand_on).await? {
                Inserted::New(id) => {
                    let connections = *reached.lock().unwrap_or_else(PoisonError::into_inner);
                    Ok(Pushed { id, connections })
                }
                Inserted::Known(id) => Ok(Pushed { id, connections: 0 }),
                Inserted::Full => Err(PushError::Full("the inboxes of all users are full".to_owned())),
            }
        })
    }

    fn to_channel(&self, channel: &str, message: NewMessage) -> Result<Pushed, PushError> {
        channels::check(channel)?;
        if message.key().is_some() {
            return Err(PushError::Invalid("a message to a channel takes no key: nothing knows it again".to_owned()));
        }
        lock(&self.state).push_to_channel(channel, &message, self.clock.now_ms())
    }

    fn presence(&self, channel: &str) -> Result<Presence, PushError> {
        weft_core::push::check_channel(channel).map_err(|error| PushError::Invalid(error.to_string()))?;
        Ok(lock(&self.state).presence(channel))
    }

    fn connect(&self, new: NewConnection) -> BoxFuture<'_, Result<Opened, PushError>> {
        Box::pin(self.open_connection(new))
    }

    fn mark_read(&self, user: &str, which: Which) -> BoxFuture<'_, Result<u64, PushError>> {
        let user: Arc<str> = user.into();
        Box::pin(async move {
            if let Which::These(ids) = &which
                && ids.len() > MAX_MARKED
            {
                return Err(PushError::TooLarge(format!("at most {MAX_MARKED} messages are marked at once")));
            }
            let (state, owner, told, now_ms) = (self.state.clone(), user.clone(), which.clone(), self.clock.now_ms());
            let tell = move |marked: Result<&inbox::Marked, &Failure>| {
                let Ok(marked) = marked else { return };
                if marked.changed > 0 {
                    let notice = Arc::new(ReadNotice { which: told, unread: marked.unread });
                    lock(&state).tell(&owner, &|| Item::Read(notice.clone()), now_ms);
                }
            };
            Ok(self.inbox.mark_read(user, which, now_ms, tell).await?.unread)
        })
    }

    fn set_bounds(&self, bounds: PushBounds) {
        self.inbox.set_bounds(&bounds);
        lock(&self.state).set_bounds(bounds);
    }

    fn status(&self, entries: usize) -> PushStatus {
        lock(&self.state).status(entries, self.clock.now_ms())
    }

    fn close(&self) {
        lock(&self.state).close();
    }
}

#[cfg(test)]
mod tests;
