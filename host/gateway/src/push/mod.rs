//! Push at the edge: clients hold a connection open, by Server-Sent Events or by WebSocket, and are told what functions
//! push. Keeping messages and handing them on is behind [`PushHub`]; here are who may connect and join what, and how it
//! goes over a socket. Both transports say the same: JSON objects, one for each event.
//!
//! The way of a request: [`answer`] for the endpoint, [`session`] for what happens until the end, [`events`] or
//! [`socket`] for the bytes.

mod answer;
mod client;
mod events;
mod session;
mod socket;
mod text;
mod tickets;

use std::sync::Arc;

use weft_core::manifest;
use weft_core::push::PushHub;

use crate::auth::Identity;
use tickets::Tickets;

pub(crate) use answer::{Endless, answer};
pub(crate) use socket::{Switching, is_asked_for};
pub(crate) use tickets::TICKET_LIFE;

/// An endpoint of push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// `GET <path>/events`: Server-Sent Events.
    Events,
    /// `GET <path>/ws`: WebSocket.
    Socket,
    /// `POST <path>/tickets`.
    Tickets,
    /// `POST <path>/read`.
    Read,
}

impl Endpoint {
    /// In the order of [`manifest::Push::endpoints`].
    pub const ALL: [Self; 4] = [Self::Events, Self::Socket, Self::Tickets, Self::Read];

    /// Whether its answer has no end, so that no deadline and no place among the requests in work is for it.
    pub fn is_stream(self) -> bool {
        matches!(self, Self::Events | Self::Socket)
    }
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Push {
    pub hub: Arc<dyn PushHub>,
    pub tickets: Tickets,
}

impl Push {
    pub fn new(hub: Arc<dyn PushHub>) -> Self {
        Self { hub, tickets: Tickets::default() }
    }
}

/// Whether a path is one of push, whatever it is there.
pub(crate) fn is_below(rules: Option<&manifest::Push>, path: &str) -> bool {
    rules.is_some_and(|rules| path.starts_with(rules.path.as_ref()))
}

/// The ticket that a request to open a connection shows.
pub(crate) fn shown_ticket(endpoint: Endpoint, uri: &http::Uri) -> Option<String> {
    let query = uri.query().filter(|_| endpoint.is_stream())?;
    let ticket = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "ticket");
    ticket.map(|(_, value)| value.into_owned())
}

/// Whether a caller may join a channel.
fn may_join(rules: &manifest::Push, caller: &Identity, channel: &str) -> bool {
    let tenant = caller.tenant().map(|tenant| &**tenant);
    rules.channels.iter().any(|rule| {
        let has_role = rule.roles.is_empty() || rule.roles.iter().any(|role| **role == *caller.role());
        let covers = || rule.pattern.of(caller.subject(), caller.role(), tenant);
        has_role && covers().is_some_and(|pattern| pattern.matches(channel))
    })
}
