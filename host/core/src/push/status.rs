//! How push stands, for the operator.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// How a hub stands.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct PushStatus {
    /// Connections that are open.
    pub connections: usize,
    /// Users who have them.
    pub users: usize,
    /// Channels that somebody is in or of which messages are kept, those of users apart.
    pub channels: usize,
    /// Messages to channels that are kept.
    pub kept: usize,
    /// The same, in bytes.
    pub kept_bytes: usize,
    /// What happened since the start.
    pub totals: PushTotals,
    /// The channels with most connections.
    pub busiest: Vec<ChannelStatus>,
    /// Connections, those with most pending first.
    pub clients: Vec<ClientStatus>,
    /// Connections that were cut last, the newest first.
    pub cut: Vec<Cut>,
}

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct PushTotals {
    /// Connections that were taken.
    pub connected: u64,
    /// Those among them that went on where they had been.
    pub resumed: u64,
    /// Those among these that were told of a gap.
    pub gaps: u64,
    /// Messages that were pushed.
    pub pushed: u64,
    /// Messages that were handed to a connection, each counted once for each.
    pub delivered: u64,
    /// Connections that were cut for being slow.
    pub cut: u64,
}

/// One channel.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct ChannelStatus {
    /// Its name.
    pub name: Arc<str>,
    /// Connections in it.
    pub connections: u32,
    /// Users who have them.
    pub users: u32,
    /// Messages of it that are kept.
    pub kept: usize,
}

/// One connection.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct ClientStatus {
    /// Its id.
    pub id: u64,
    /// Whose it is.
    pub user: Arc<str>,
    /// By what it is connected.
    pub transport: Arc<str>,
    /// How many channels it is in, its user's apart.
    pub channels: usize,
    /// What is pending for it, in bytes.
    pub pending_bytes: usize,
    /// Since when, in milliseconds since the Unix epoch.
    pub since_ms: u64,
}

/// A connection that was cut.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Cut {
    /// Its id.
    pub id: u64,
    /// Whose it was.
    pub user: Arc<str>,
    /// By what it was connected.
    pub transport: Arc<str>,
    /// What was pending for it, in bytes.
    pub pending_bytes: usize,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
}
