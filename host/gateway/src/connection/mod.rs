//! What belongs to one connection: who is at the other end, whether anything is in work, and the clocks on its socket.

pub(crate) mod proxy_header;
mod socket;
mod watched;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use http::HeaderValue;

pub(crate) use socket::Socket;
pub(crate) use watched::Watched;

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

/// How many requests of a connection are in work.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    busy: AtomicUsize,
}

impl Activity {
    pub fn is_idle(&self) -> bool {
        self.busy.load(Relaxed) == 0
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
