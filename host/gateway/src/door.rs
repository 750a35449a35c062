//! Takes connections within their bound, and opens them: the PROXY header of a trusted load balancer, the TLS handshake. What is
//! then said on each is `conversation`'s.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::select;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;
use weft_core::Clock;

use crate::connection::{Peer, Socket, proxy_header};
use crate::conversation::{self, Life};
use crate::listen::{Listeners, Secure};
use crate::shared::Shared;
use crate::stack::Upstream;
use crate::tls::Tls;

/// A connection over the bound gets this and is closed. There is no request yet, so no id either.
const TOO_MANY_CONNECTIONS: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: application/problem+json\r\ncontent-length: 135\r\nretry-after: 1\r\nconnection: close\r\n\r\n\
    {\"type\":\"urn:weft:problem:overloaded\",\"title\":\"Service unavailable\",\"status\":503,\
    \"detail\":\"Too many connections are open. Try again.\"}\n";
/// How long to wait when the process has no file descriptor left for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How many connections over the bound are told so at a time, for how long, and how much of theirs is read.
const FAREWELLS: usize = 64;
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: u64 = 64 * 1024;

/// What all connections share.
#[derive(Clone)]
pub(crate) struct Door<S> {
    shared: Arc<Shared>,
    upstream: S,
    /// Connections that are open.
    seats: Arc<AtomicUsize>,
    farewells: Arc<Semaphore>,
    connections: TaskTracker,
    draining: watch::Receiver<()>,
}

/// TLS as one listener does it.
#[derive(Clone)]
struct Handshakes {
    acceptor: TlsAcceptor,
    tls: Arc<Tls>,
}

/// Why a connection is not served.
#[derive(Debug, thiserror::Error)]
enum OpenError {
    #[error("the PROXY header did not come in time")]
    HeaderTooLate,
    #[error(transparent)]
    Header(#[from] proxy_header::HeaderError),
    #[error("the TLS handshake was not complete in time")]
    HandshakeTooLate,
    #[error("the TLS handshake failed: {0}")]
    Handshake(io::Error),
}

impl<S: Upstream> Door<S> {
    pub fn new(shared: &Arc<Shared>, upstream: &S, connections: &TaskTracker, draining: watch::Receiver<()>) -> Self {
        Self {
            shared: Arc::clone(shared),
            upstream: upstream.clone(),
            seats: Arc::default(),
            farewells: Arc::new(Semaphore::new(FAREWELLS)),
            connections: connections.clone(),
            draining,
        }
    }

    /// Never ends by itself; the sockets are closed when it is dropped.
    pub async fn accept_all(&self, listeners: Listeners) {
        let Listeners { plain, tls } = listeners;
        tokio::join!(self.accept(&plain, None), self.accept_secure(tls));
    }

    /// Listens for HTTPS, elsewhere when it is told so.
    async fn accept_secure(&self, mut secure: Secure) {
        loop {
            if let Some(next) = self.shared.next_secure() {
                // The new one listens by now; who has reached the old one is served.
                self.accept_rest(std::mem::replace(&mut secure, next));
            }
            let address = secure.as_ref().and_then(|(listener, _)| listener.local_addr().ok());
            self.shared.https_port.store(address.map_or(0, |address| address.port()), Relaxed);
            let changed = self.shared.secure_changed.notified();
            match &secure {
                Some((listener, tls)) => {
                    let handshakes = Handshakes::new(tls);
                    tokio::select! {
                        () = self.accept(listener, Some(&handshakes)) => {}
                        () = changed => {}
                    }
                }
                None => changed.await,
            }
        }
    }

    /// Takes the connections that wait at a socket which is about to be closed.
    fn accept_rest(&self, secure: Secure) {
        let Some((listener, tls)) = secure else { return };
        let handshakes = Handshakes::new(&tls);
        while let Some(Ok((socket, address))) = listener.accept().now_or_never() {
            self.admit(socket, address, Some(&handshakes));
        }
    }

    async fn accept(&self, listener: &TcpListener, handshakes: Option<&Handshakes>) {
        loop {
            let (socket, address) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot take a connection");
                    self.shared.clock.sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            self.admit(socket, address, handshakes);
        }
    }

    /// Serves a connection if there is room.
    fn admit(&self, socket: TcpStream, address: SocketAddr, handshakes: Option<&Handshakes>) {
        let Some(place) = Seat::take(&self.seats, self.shared.served().limits.connections) else {
            return self.turn_away(socket, handshakes.is_some());
        };
        // Answers are written whole; waiting for more to send would only delay them.
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "a connection was gone before it was served");
            return;
        }
        self.take(socket, address, handshakes, place);
    }

    /// Beyond a number of farewells at a time, connections are closed without a word, and so are those that would have
    /// to be greeted in TLS first.
    fn turn_away(&self, socket: TcpStream, is_tls: bool) {
        let farewell = Arc::clone(&self.farewells).try_acquire_owned();
        if let Some(farewell) = farewell.ok().filter(|_| !is_tls) {
            let clock = Arc::clone(&self.shared.clock);
            tokio::spawn(async move { (refuse(socket, clock).await, farewell) });
        }
    }

    fn take(&self, socket: TcpStream, address: SocketAddr, handshakes: Option<&Handshakes>, place: Seat) {
        let served = self.shared.served();
        let proxies = &served.policy.proxies;
        let has_header = proxies.send_header_from(address.ip());
        let (upstream, shared) = (self.upstream.clone(), Arc::clone(&self.shared));
        let (tracker, mut draining) = (self.connections.clone(), self.draining.clone());
        if handshakes.is_none() && !has_header {
            let peer = Arc::new(Peer::new(address, proxies.trust(address.ip()), false));
            let life = Life { shared, peer, draining, tracker, place };
            self.connections.spawn(conversation::serve(Socket::Plain(socket), upstream, life));
            return;
        }
        let handshakes = handshakes.cloned();
        self.connections.spawn(async move {
            // Only few connections are being opened at a time, and all others shall not pay for the room it takes.
            let opening = Box::pin(open(Arc::clone(&shared), socket, address, has_header, handshakes));
            let opened = tokio::select! {
                opened = opening => opened,
                _ = draining.changed() => return,
            };
            match opened {
                Ok((socket, peer)) => {
                    let life = Life { shared, peer, draining, tracker, place };
                    conversation::serve(socket, upstream, life).await;
                }
                // Anybody can send anything, so this is no cause for concern.
                Err(error) => tracing::debug!(client = %address, %error, "a connection was not opened"),
            }
        });
    }
}

/// A place among the connections, until it is dropped.
pub(crate) struct Seat(Arc<AtomicUsize>);

impl Seat {
    /// If there are fewer than so many.
    fn take(seats: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let one_more = |taken: usize| (taken < most).then_some(taken + 1);
        seats.fetch_update(Relaxed, Relaxed, one_more).ok().map(|_| Self(Arc::clone(seats)))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Reads what comes before HTTP.
async fn open(
    shared: Arc<Shared>,
    mut socket: TcpStream,
    mut address: SocketAddr,
    has_header: bool,
    handshakes: Option<Handshakes>,
) -> Result<(Socket, Arc<Peer>), OpenError> {
    if has_header {
        let header = timeout(shared.served().limits.head_timeout, proxy_header::read(&mut socket)).await;
        address = header.map_err(|_| OpenError::HeaderTooLate)??.unwrap_or(address);
    }
    // Whoever is named there may itself be a proxy, of another kind.
    let trusted = shared.served().policy.proxies.trust(address.ip());
    let Some(handshakes) = handshakes else {
        return Ok((Socket::Plain(socket), Arc::new(Peer::new(address, trusted, false))));
    };
    let rules = handshakes.tls.handshakes.load_full();
    let session = async {
        // Never closed.
        let _place = rules.places.acquire().await;
        handshakes.acceptor.accept(socket).await
    };
    let session = timeout(rules.time, session).await;
    let session = session.map_err(|_| OpenError::HandshakeTooLate)?.map_err(OpenError::Handshake)?;
    Ok((Socket::Tls(Box::new(session)), Arc::new(Peer::new(address, trusted, true))))
}

impl Handshakes {
    fn new(tls: &Arc<Tls>) -> Self {
        Self { acceptor: tls.acceptor(), tls: Arc::clone(tls) }
    }
}

/// Tells a client that there is no room, and reads what it sends meanwhile: closing on unread bytes would reset the
/// connection, and the client might never see why.
async fn refuse(mut socket: TcpStream, clock: Arc<dyn Clock>) {
    let farewell = async {
        socket.write_all(TOO_MANY_CONNECTIONS).await?;
        socket.shutdown().await?;
        tokio::io::copy(&mut socket.take(LINGER_BYTES), &mut tokio::io::sink()).await
    };
    // Best effort: the client is told, or it is gone.
    drop(select(std::pin::pin!(farewell), clock.sleep(LINGER)).await);
}
