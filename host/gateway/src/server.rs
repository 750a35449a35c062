//! The listener: takes connections within their bound, serves them, and lets them finish when it is time to go.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures::future::{Either, select};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::task::TaskTracker;
use tower::Service as _;
use weft_core::Clock;
use weft_core::manifest::RateLimits;

use crate::auth::{AuthSettings, Authenticator};
use crate::body::BoxError;
use crate::connection::{Activity, Busy, Peer, Watched};
use crate::health::{HealthBoard, HealthCheck};
use crate::limit::LimitReport;
use crate::route::RouteTable;
use crate::settings::Settings;
use crate::shared::Shared;
use crate::stack::{Arrival, Upstream, stack};

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
/// hyper's own bound lies above ours, so that ours answers with a problem. Its bound of 100 header lines is left alone:
/// with any other, hyper allocates for each request.
const HYPER_BUFFER_BYTES: usize = 256 * 1024;

/// The port cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Something else listens there.
    #[error("{address} is already in use: stop what listens on port {}, or choose another with --listen", address.port())]
    InUse {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The user may not.
    #[error("no permission to listen on {address}: ports below 1024 need root, choose another with --listen")]
    Denied {
        /// The address asked for.
        address: SocketAddr,
    },
    /// This machine has no such address.
    #[error("{address} is no address of this machine: choose another with --listen")]
    NoSuchAddress {
        /// The address asked for.
        address: SocketAddr,
    },
    /// Anything else.
    #[error("cannot listen on {address}: {source}")]
    Other {
        /// The address asked for.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

/// Listens on `address`; port 0 takes any free one.
///
/// # Errors
/// [`BindError`], which says what to do.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse { address },
        io::ErrorKind::PermissionDenied => BindError::Denied { address },
        io::ErrorKind::AddrNotAvailable => BindError::NoSuchAddress { address },
        _ => BindError::Other { address, source },
    })
}

/// Routes and authentication that do not fit together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Nobody could ever use the route.
    #[error(
        "route {pattern:?} of {component:?} needs a token, but no key is set to verify one: \
         add [application.tool.weft.auth] with keys, or public = true"
    )]
    NoKeys {
        /// The route's pattern.
        pattern: String,
        /// Its component.
        component: Arc<str>,
    },
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that had to be cut off with a request in work, because the time was up.
    pub cut_off: usize,
}

/// The HTTP edge over an upstream.
#[derive(Debug)]
pub struct Gateway<S> {
    shared: Arc<Shared>,
    upstream: S,
}

impl<S: Upstream> Gateway<S> {
    /// A gateway that is not listening yet.
    ///
    /// # Errors
    /// [`ConfigError`] if a route needs a token and there is no key.
    pub fn new(
        clock: Arc<dyn Clock>,
        settings: Settings,
        routes: RouteTable,
        auth: Option<AuthSettings>,
        checks: Vec<Arc<dyn HealthCheck>>,
        upstream: S,
    ) -> Result<Self, ConfigError> {
        let auth = auth.filter(|auth| !auth.keys.is_empty()).map(Authenticator::new);
        let shared = Shared::new(clock, settings, auth, HealthBoard::new(checks));
        let gateway = Self { shared: Arc::new(shared), upstream };
        gateway.set_routes(routes)?;
        Ok(gateway)
    }

    /// Replaces all routes. Requests in work go on with the old ones.
    ///
    /// # Errors
    /// [`ConfigError`] if a route needs a token and there is no key; the old routes then stay.
    pub fn set_routes(&self, routes: RouteTable) -> Result<(), ConfigError> {
        self.ensure_keys(&routes)?;
        self.shared.set_routes(routes);
        Ok(())
    }

    /// Replaces all routes and rate limits. A limit that is defined as before goes on counting where it is; requests in
    /// work go on with the old ones.
    ///
    /// # Errors
    /// As [`Gateway::set_routes`]; the old limits then stay as well.
    pub fn deploy(&self, routes: RouteTable, rate_limits: &RateLimits) -> Result<(), ConfigError> {
        self.ensure_keys(&routes)?;
        self.shared.set_rate_limits(rate_limits);
        self.shared.set_routes(routes);
        Ok(())
    }

    /// How all rate limits stand, with so many of the callers that have used most of each.
    #[must_use]
    pub fn rate_limits(&self, callers: usize) -> Vec<LimitReport> {
        let now_ns = u64::try_from(self.shared.clock.monotonic().as_nanos()).unwrap_or(u64::MAX);
        self.shared.rate_limits().report(callers, now_ns)
    }

    fn ensure_keys(&self, routes: &RouteTable) -> Result<(), ConfigError> {
        if let Some(route) = routes.any_protected().filter(|_| self.shared.auth.is_none()) {
            let (pattern, component) = (route.pattern.to_string(), Arc::clone(&route.component));
            return Err(ConfigError::NoKeys { pattern, component });
        }
        Ok(())
    }

    /// Requests in work now.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.shared.in_flight.load(Relaxed)
    }

    /// Whether it has stopped taking connections; `/readyz` then answers 503.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.shared.draining.load(Relaxed)
    }

    /// Serves until `shutdown` resolves; then takes no more connections, lets requests in work finish for up to
    /// `drain_timeout`, and cuts off the rest.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
        drain_timeout: Duration,
    ) -> Drained {
        let (drain, draining) = watch::channel(());
        let connections = TaskTracker::new();
        tokio::select! {
            () = self.accept(listener, &connections, draining) => {}
            () = shutdown => {}
        }
        // The listener is closed by now, for it went with the accepting half.
        self.shared.draining.store(true, Relaxed);
        // Nobody listening means that no connection is open.
        let _ = drain.send(());
        connections.close();
        let patience = self.shared.clock.sleep(drain_timeout);
        let cut_off = match select(std::pin::pin!(connections.wait()), patience).await {
            Either::Left(_) => 0,
            Either::Right(_) => connections.len(),
        };
        // Whoever still serves sees this and stops.
        drop(drain);
        connections.wait().await;
        Drained { cut_off }
    }

    async fn accept(&self, listener: TcpListener, connections: &TaskTracker, draining: watch::Receiver<()>) {
        let places = Arc::new(Semaphore::new(self.shared.limits.connections));
        let farewells = Arc::new(Semaphore::new(FAREWELLS));
        let builder = self.builder();
        loop {
            let (socket, address) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot take a connection");
                    self.shared.clock.sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                // Beyond this many farewells at a time, connections are closed without a word.
                if let Ok(farewell) = Arc::clone(&farewells).try_acquire_owned() {
                    let clock = Arc::clone(&self.shared.clock);
                    tokio::spawn(async move { (refuse(socket, clock).await, farewell) });
                }
                continue;
            };
            // Answers are written whole; waiting for more to send would only delay them.
            if let Err(error) = socket.set_nodelay(true) {
                tracing::debug!(%error, "a connection was gone before it was served");
                continue;
            }
            let trusted = self.shared.trusted_proxies.contains(&address.ip().to_canonical());
            let peer = Arc::new(Peer::new(address, trusted));
            let connection = self.connection(&builder, socket, &peer);
            connections.spawn(serve_connection(connection, peer, draining.clone(), place));
        }
    }

    fn connection(
        &self,
        builder: &Builder<TokioExecutor>,
        socket: TcpStream,
        peer: &Arc<Peer>,
    ) -> impl GracefulConnection<Error = BoxError> + Send + 'static + use<S> {
        let activity = Arc::new(Activity::default());
        let watched = Watched::new(socket, Arc::clone(&activity), &self.shared.limits);
        let (peer, stack) = (Arc::clone(peer), stack(&self.shared, self.upstream.clone()));
        let service = service_fn(move |request: http::Request<Incoming>| {
            let (peer, busy) = (Arc::clone(&peer), Busy::new(&activity));
            stack.clone().call(Arrival { request, peer, busy })
        });
        builder.serve_connection(TokioIo::new(watched), service).into_owned()
    }

    fn builder(&self) -> Builder<TokioExecutor> {
        let limits = &self.shared.limits;
        let mut builder = Builder::new(TokioExecutor::new());
        // The head's timeout is ours (`connection::Watched`), because hyper would close without an answer.
        builder.http1().max_buf_size(HYPER_BUFFER_BYTES).header_read_timeout(None);
        let list_bytes = u32::try_from(HYPER_BUFFER_BYTES).unwrap_or(u32::MAX);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.streams_per_connection)
            .max_header_list_size(list_bytes)
            .keep_alive_interval(limits.idle_timeout / 2)
            .keep_alive_timeout(limits.head_timeout);
        builder
    }
}

/// Serves a connection to its end: the client's, or ours. `place` is its place among the connections.
async fn serve_connection(
    connection: impl GracefulConnection<Error = BoxError>,
    peer: Arc<Peer>,
    mut draining: watch::Receiver<()>,
    place: OwnedSemaphorePermit,
) {
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        // An error would mean that the gateway is gone altogether, which is an end as well.
        _ = draining.changed() => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection => ended,
                () = closed(&mut draining) => Ok(()),
            }
        }
    };
    if let Err(error) = ended {
        // Clients break off all the time, so this is no cause for concern.
        tracing::debug!(client = peer.text(), %error, "a connection ended early");
    }
    drop(place);
}

/// Resolves when the gateway's patience is at its end.
async fn closed(draining: &mut watch::Receiver<()>) {
    while draining.changed().await.is_ok() {}
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
