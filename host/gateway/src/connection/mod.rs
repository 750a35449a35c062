//! What belongs to one connection: who is at the other end, whether anything is in work, and the clocks on its socket.

pub(crate) mod proxy_header;
mod socket;
mod streaming;
mod watched;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use http::{HeaderValue, Response};

pub(crate) use socket::Socket;
pub(crate) use streaming::Streaming;
pub(crate) use watched::Watched;

use crate::body::Answer;

/// The other end of a connection.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Address and port, for `spin-client-addr` and the log.
    pub address: HeaderValue,
    /// The address alone, for `X-Forwarded-For`.
    pub ip: HeaderValue,
    /// The same as a number.
    pub host: IpAddr,
    /// Whether what it forwards is believed.
    pub trusted: bool,
    /// Whether it speaks TLS with us.
    pub is_secure: bool,
}

impl Peer {
    pub fn new(address: SocketAddr, trusted: bool, is_secure: bool) -> Self {
        // An address is always a header value.
        let header = |text: String| HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("unknown"));
        let ip = address.ip().to_canonical();
        let text = header(SocketAddr::new(ip, address.port()).to_string());
        Self { address: text, ip: header(ip.to_string()), host: ip, trusted, is_secure }
    }

    pub fn text(&self) -> &str {
        self.address.to_str().unwrap_or_default()
    }
}

/// How many requests of a connection are in work, and what it becomes after HTTP.
#[derive(Default)]
pub(crate) struct Activity {
    busy: AtomicUsize,
    successor: Mutex<Option<Successor>>,
}

/// What goes on with a connection when hyper has let go of it, to its end.
pub(crate) enum Successor {
    /// What a client and we have agreed to speak instead; hyper has told it of the socket.
    Upgraded(BoxFuture<'static, ()>),
    /// An answer without an end, of which nothing is written yet.
    Streaming(Box<Response<Answer>>),
}

/// Ends hyper's part in a connection: what it would answer is streamed without it.
#[derive(Debug, thiserror::Error)]
#[error("the connection is taken over")]
pub(crate) struct TakenOver;

impl fmt::Debug for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Activity").field("busy", &self.busy).finish_non_exhaustive()
    }
}

impl Activity {
    pub fn is_idle(&self) -> bool {
        self.busy.load(Relaxed) == 0
    }

    /// What goes on with the connection now that HTTP has ended on it.
    pub fn successor(&self) -> Option<Successor> {
        self.successor.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// While one of these lives, its connection is not idle.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Activity>);

impl Busy {
    pub fn new(activity: &Arc<Activity>) -> Self {
        activity.busy.fetch_add(1, Relaxed);
        Self(Arc::clone(activity))
    }

    /// Says what goes on with the connection when HTTP has ended on it.
    pub fn hand_over(&self, successor: Successor) {
        *self.0.successor.lock().unwrap_or_else(PoisonError::into_inner) = Some(successor);
    }
}

impl Clone for Busy {
    fn clone(&self) -> Self {
        Self::new(&self.0)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Relaxed);
    }
}
