//! Push: the words and the traits by which functions, the gateway and what lies between them speak of messages to
//! clients that hold a connection open. Keeping messages and handing them on belongs to the capability, writing them
//! on a socket to the gateway. Names of channels are in [`channel`].

mod channel;
mod message;
mod status;

use std::fmt::Debug;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;

use crate::{Failure, manifest};

pub use channel::{ChannelError, ChannelPattern, MAX_CHANNEL_BYTES, USER, check_channel, user_channel};
pub use message::{Cursor, CursorError, MAX_DATA_BYTES, MAX_KEY_BYTES, MAX_KIND_BYTES, Message, NewMessage};
pub use status::{ChannelStatus, ClientStatus, Cut, PushStatus, PushTotals};

/// The most messages that are marked as read at once.
pub const MAX_MARKED: usize = 100;

/// Why a message, a connection or a mark is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// Not a channel, a kind, a key or JSON. Trying again does not help.
    #[error("{0}")]
    Invalid(String),
    /// Larger than it may be. Trying again does not help.
    #[error("{0}")]
    TooLarge(String),
    /// All inboxes together are full.
    #[error("{0}")]
    Full(String),
    /// As many connections, channels or channels of one connection as there may be.
    #[error("{0}")]
    TooMany(String),
    /// One user has as many connections as one may have.
    #[error("{0}")]
    TooManyOfUser(String),
    /// The host goes down.
    #[error("push is closing")]
    Closing,
    /// The store did not answer.
    #[error(transparent)]
    Unavailable(#[from] Failure),
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// Its id: in its user's inbox, or among the messages to channels.
    pub id: u64,
    /// How many connections it was handed to.
    pub connections: u32,
}

/// Who is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    /// Connections that are open.
    pub connections: u32,
    /// Users who have them.
    pub users: u32,
}

/// A client that wants to be told.
#[derive(Clone, Debug)]
pub struct NewConnection {
    /// Whose messages it gets.
    pub user: Arc<str>,
    /// Which channels besides. Whether the user may is settled by then.
    pub channels: Vec<Arc<str>>,
    /// What it has seen before; from now on without it.
    pub resume: Option<Cursor>,
    /// By what it is connected, for the operator.
    pub transport: &'static str,
}

/// A connection that was taken.
pub struct Opened {
    /// Names it, for client and operator.
    pub id: u64,
    /// What the client has seen.
    pub cursor: Cursor,
    /// How many of the user's messages are unread, those that are still to come on the connection included.
    pub unread: u64,
    /// Who is in the channels, in their order, this connection included.
    pub presence: Vec<(Arc<str>, Presence)>,
    /// What comes.
    pub connection: Box<dyn PushConnection>,
}

/// Which messages are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// These, at most [`MAX_MARKED`].
    These(Vec<u64>),
    /// All up to this one.
    Through(u64),
}

/// That a user has read messages, perhaps on another connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadNotice {
    /// Which.
    pub which: Which,
    /// How many are left.
    pub unread: u64,
}

/// Why a connection ends from our side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// More is pending for it than may be: it is too slow.
    Slow,
    /// The host goes down.
    GoingAway,
    /// What it has missed cannot be read.
    Failed,
}

/// What comes on a connection.
#[derive(Clone, Debug)]
pub enum Delivery {
    /// A message, and what the client has seen with it.
    Message {
        /// What to resume from after it.
        cursor: Cursor,
        /// The message.
        message: Arc<Message>,
    },
    /// Messages of these channels that the client has not seen are gone. Comes before those that are kept.
    Gap(Vec<Arc<str>>),
    /// The user has read messages.
    Read(Arc<ReadNotice>),
    /// The end; nothing comes after it.
    Closed(CloseReason),
}

/// One client's end of the hub; dropped when the client is gone.
pub trait PushConnection: Send + 'static {
    /// What comes next. After [`Delivery::Closed`] it says so for ever.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Delivery>;

    /// Ready when the connection is to end, even if messages are left: for who waits for a socket. Whoever asks this
    /// does not ask [`PushConnection::poll_next`] at the same time.
    fn poll_closed(&mut self, context: &mut Context<'_>) -> Poll<CloseReason>;

    /// What the client has seen, as far as it can be known now: with nothing pending, that is all there is.
    fn cursor(&mut self) -> Cursor;

    /// Joins a channel, from now on. Fine if it has joined already.
    ///
    /// # Errors
    /// [`PushError::TooMany`], [`PushError::Invalid`], [`PushError::Closing`].
    fn subscribe(&mut self, channel: &str) -> Result<Presence, PushError>;

    /// Leaves a channel; false if it was not in it.
    fn unsubscribe(&mut self, channel: &str) -> bool;
}

/// How much a hub keeps and lets in, as an operator says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PushBounds {
    /// Connections at once.
    pub connections: usize,
    /// Connections of one user at once.
    pub connections_per_user: usize,
    /// Channels of one connection, its user's apart.
    pub channels_per_connection: usize,
    /// What may be pending for one connection, in bytes; of those that come from now on.
    pub pending_bytes: usize,
    /// How long messages to channels are kept.
    pub retention: Duration,
    /// Unread messages of one user that are kept.
    pub inbox: usize,
    /// How long they are kept.
    pub inbox_retention: Duration,
}

impl From<&manifest::Push> for PushBounds {
    fn from(push: &manifest::Push) -> Self {
        // 32 bits always fit: the host needs a 64-bit machine for its instances.
        let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        Self {
            connections: count(push.max_connections),
            connections_per_user: count(push.max_connections_per_user),
            channels_per_connection: count(push.max_channels),
            pending_bytes: count(push.max_pending_kib) << 10,
            retention: Duration::from_secs(push.retention_s.into()),
            inbox: count(push.inbox),
            inbox_retention: Duration::from_hours(24 * u64::from(push.inbox_days)),
        }
    }
}

/// Hands messages of functions to connections.
///
/// The contract, kept by every backend:
/// * A message to a user is durable when its push is answered. It is there until it is marked as read, or its inbox has
///   too many after it, or it is too old. A key that the user had within a day is answered as before and pushed no more.
/// * A message to a channel is kept for a while, within bounds, and not over a restart.
/// * What is pushed to one channel, or to one user, comes on each connection in the order of ids, each once.
/// * A connection that resumes gets all that it has not seen and that is kept (of its user's: that is unread), in order,
///   each once. Where something is not kept any more it is told so before, by [`Delivery::Gap`].
/// * A connection for which too much is pending ends with [`CloseReason::Slow`] and costs no other one anything.
pub trait PushHub: Debug + Send + Sync + 'static {
    /// Pushes to a user.
    fn to_user(&self, user: &str, message: NewMessage) -> BoxFuture<'_, Result<Pushed, PushError>>;

    /// Pushes to a channel that is no user's.
    ///
    /// # Errors
    /// [`PushError::Invalid`], [`PushError::TooLarge`], [`PushError::Closing`].
    fn to_channel(&self, channel: &str, message: NewMessage) -> Result<Pushed, PushError>;

    /// Who is in a channel, or has connections as a user.
    ///
    /// # Errors
    /// [`PushError::Invalid`].
    fn presence(&self, channel: &str) -> Result<Presence, PushError>;

    /// Takes a connection.
    fn connect(&self, new: NewConnection) -> BoxFuture<'_, Result<Opened, PushError>>;

    /// Marks messages of a user as read, and tells all of the user's connections. Answers how many are left.
    fn mark_read(&self, user: &str, which: Which) -> BoxFuture<'_, Result<u64, PushError>>;

    /// Keeps and lets in so much from now on. Connections that are open stay, also if there are more than there may be.
    fn set_bounds(&self, bounds: PushBounds);

    /// How it stands, with so many of the connections and channels.
    fn status(&self, entries: usize) -> PushStatus;

    /// Ends all connections and takes no more.
    fn close(&self);
}
