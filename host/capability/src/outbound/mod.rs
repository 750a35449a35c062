//! The way out, and outbound HTTP on it: a component reaches the hosts that its manifest allows, and no others. The decision is made on the
//! URL, then again on every address that its name resolves to, and the connection goes to an address that was checked:
//! a name that changes its address in between (DNS rebinding) gains nothing. Redirects are the component's to follow,
//! and each is a request of its own.
//!
//! Private addresses (loopback, link-local, RFC 1918, unique local, carrier-grade NAT and their kin, also inside IPv6)
//! are reached only through an entry that names the host, its address or its range; no wildcard opens them. The rule
//! itself is [`weft_core::outbound`]'s.

mod body;
mod client;
mod connect;
mod dial;
pub mod glue;
mod metered;
mod pool;
mod resolve;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;

use weft_core::outbound::OutboundHosts;

pub use client::{BodyError, Outbound, RequestBody};
pub use dial::Dialer;
pub use metered::{Budget, Metered};
pub use pool::{Permit, Pool, TooMany};
pub use resolve::{Resolve, SystemResolver};

/// How long a request may take where neither its component nor its client says otherwise: connecting; all until the
/// response's head; each part of its body.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// Requests of one component that are under way at the same time; more wait for their turn.
pub const MAX_CONCURRENT: usize = 256;

/// Why a request got no response, or its body no end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutboundError {
    /// The manifest does not allow the host.
    #[error(
        "{0} is not allowed: add it to `allowed_outbound_hosts` of the component, with scheme and port as in the URL"
    )]
    Denied(String),
    /// The host is allowed, but by a wildcard, and its addresses are private.
    #[error("{0} has no public address: name the host itself in `allowed_outbound_hosts` to reach a private one")]
    Private(String),
    /// The URL has no host, or a scheme other than http and https.
    #[error("{0} is not a URL that can be asked for")]
    BadUrl(String),
    /// The name does not resolve.
    #[error("{host} does not resolve: {message}")]
    Dns {
        /// The name.
        host: String,
        /// The resolver's words.
        message: String,
    },
    /// No address answered.
    #[error("cannot connect to {host}: {message}")]
    Connect {
        /// The host.
        host: String,
        /// The last address's answer.
        message: String,
    },
    /// The certificate or the handshake is bad.
    #[error("no TLS connection to {host}: {message}")]
    Tls {
        /// The host.
        host: String,
        /// What the handshake said.
        message: String,
    },
    /// Resolving, connecting and the handshake took too long.
    #[error("connecting took too long")]
    ConnectTimeout,
    /// The response's head or the next part of its body took too long.
    #[error("the response took too long")]
    ReadTimeout,
    /// The connection ended early.
    #[error("the connection ended early: {0}")]
    Terminated(String),
    /// The other side does not speak HTTP as it should, or the request's body failed.
    #[error("HTTP failed: {0}")]
    Protocol(String),
}

/// What one component may reach.
#[derive(Clone, Debug)]
struct Policy(Arc<OutboundHosts>);

/// Where a URL leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// In lower case, such as `https` or `redis`.
    pub scheme: String,
    /// A name in lower case, or an address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Destination {
    fn of(uri: &Uri) -> Result<Self, OutboundError> {
        let bad = || OutboundError::BadUrl(uri.to_string());
        let scheme = uri.scheme_str().ok_or_else(bad)?.to_ascii_lowercase();
        let usual_port = match scheme.as_str() {
            "http" => 80,
            "https" => 443,
            _ => return Err(bad()),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(bad)?;
        Ok(Self::new(&scheme, host, uri.port_u16().unwrap_or(usual_port)))
    }

    /// `host` is a name, or an address with or without brackets.
    #[must_use]
    pub fn new(scheme: &str, host: &str, port: u16) -> Self {
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        Self { scheme: scheme.to_ascii_lowercase(), host: host.to_ascii_lowercase(), port }
    }
}

impl Policy {
    /// Whether the destination may be asked for.
    fn check(&self, to: &Destination) -> Result<(), OutboundError> {
        allowed(self.0.allows(&to.scheme, &to.host, Some(to.port)), to)
    }

    /// Whether the destination may be asked for by its name, and not just by a wildcard.
    fn check_named(&self, to: &Destination) -> Result<(), OutboundError> {
        allowed(self.0.names(&to.scheme, &to.host, Some(to.port)), to)
    }

    /// Those of `addresses` that may be connected to.
    fn check_addresses(&self, to: &Destination, addresses: Vec<IpAddr>) -> Result<Vec<IpAddr>, OutboundError> {
        let allows = |address: &IpAddr| self.0.allows_address(&to.scheme, &to.host, Some(to.port), *address);
        let allowed: Vec<IpAddr> = addresses.into_iter().filter(allows).collect();
        if allowed.is_empty() { Err(OutboundError::Private(to.host.clone())) } else { Ok(allowed) }
    }
}

fn allowed(is_allowed: bool, to: &Destination) -> Result<(), OutboundError> {
    if is_allowed {
        return Ok(());
    }
    Err(OutboundError::Denied(format!("{}://{}:{}", to.scheme, to.host, to.port)))
}

#[cfg(test)]
mod tests;
