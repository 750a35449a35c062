//! One component's HTTP client: a pool of connections that its policy has let through. Components share no
//! connections, since one may be allowed what another is not.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::header::ACCEPT;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Collected, Empty, Limited};
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Semaphore;

use weft_core::Clock;
use weft_core::outbound::OutboundHosts;

use super::body::ResponseBody;
use super::connect::Connector;
use super::{DEFAULT_TIMEOUT, Destination, Dialer, MAX_CONCURRENT, OutboundError, Resolve};

/// How long a connection waits for another request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Connections that wait, for one host.
const MAX_IDLE: usize = 16;

/// An error that a request's body may end with.
pub type BodyError = Box<dyn StdError + Send + Sync>;
/// The body of a request.
pub type RequestBody = UnsyncBoxBody<Bytes, BodyError>;
/// What [`Outbound::send`] comes to.
pub(super) type Sent = Result<Response<ResponseBody>, OutboundError>;

/// How long the parts of one request may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    /// From the start to the response's head.
    pub(super) head: Duration,
    /// Between two parts of the response's body.
    pub(super) between: Duration,
}

impl Timeouts {
    /// What was asked for, and `rest` for what was not.
    pub(super) fn new(
        connect: Option<Duration>,
        first_byte: Option<Duration>,
        between: Option<Duration>,
        rest: Duration,
    ) -> Self {
        let head = match (connect, first_byte) {
            (None, None) => rest,
            (connect, first_byte) => connect.unwrap_or(rest).saturating_add(first_byte.unwrap_or(rest)),
        };
        Self { head, between: between.unwrap_or(rest) }
    }
}

/// Outbound HTTP of one component. Cheap to clone; made once, not for each instance, so that connections are kept.
#[derive(Clone)]
pub struct Outbound {
    dialer: Dialer,
    client: Client<Connector, RequestBody>,
    permits: Arc<Semaphore>,
    timeout: Duration,
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound").field("dialer", &self.dialer).finish_non_exhaustive()
    }
}

impl Outbound {
    /// The client of a component that may reach `hosts`.
    ///
    /// # Errors
    /// If TLS cannot be set up, which is a broken build.
    pub fn new(hosts: OutboundHosts, resolver: Arc<dyn Resolve>, clock: Arc<dyn Clock>) -> Result<Self, OutboundError> {
        let dialer = Dialer::new(hosts, resolver, clock)?;
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(MAX_IDLE)
            .pool_timer(TokioTimer::new())
            .build(Connector(dialer.clone()));
        Ok(Self { dialer, client, permits: Arc::new(Semaphore::new(MAX_CONCURRENT)), timeout: DEFAULT_TIMEOUT })
    }

    /// The same, whose requests may take so long where it is not said: the head, and each part of the body.
    #[must_use]
    pub fn within(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// How long a request may take where it is not said.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// What connects, for clients of other protocols.
    #[must_use]
    pub fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    /// Whether the component may ask for this URL.
    pub(super) fn check(&self, uri: &Uri) -> Result<(), OutboundError> {
        self.dialer.check(&Destination::of(uri)?)
    }

    /// Whether the component may ask for this URL since its host is named, and not just allowed by a wildcard.
    pub(super) fn check_named(&self, uri: &Uri) -> Result<(), OutboundError> {
        self.dialer.check_named(&Destination::of(uri)?)
    }

    /// Whether the component may ask the application itself, by addresses without a host.
    pub(super) fn check_self(&self) -> Result<(), OutboundError> {
        let allowed = ["http", "https"].into_iter().any(|scheme| self.dialer.allows_self(scheme));
        if allowed { Ok(()) } else { Err(OutboundError::Denied("http://self".to_owned())) }
    }

    /// Resolves after `duration`.
    pub(super) fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.dialer.sleep(duration)
    }

    /// The body behind a URL, for the host itself: all of it within `time`, and no more than `most_bytes`. Redirects are
    /// not followed.
    ///
    /// # Errors
    /// [`OutboundError`], also for a status other than 200 and for a longer body.
    pub async fn get(&self, url: &str, time: Duration, most_bytes: usize) -> Result<Bytes, OutboundError> {
        let bad = || OutboundError::BadUrl(url.to_owned());
        let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
        let request = Request::get(url).header(ACCEPT, "application/json").body(body).map_err(|_| bad())?;
        let got = async {
            let response = self.send(request, Timeouts { head: time, between: time }).await?;
            if response.status() != StatusCode::OK {
                return Err(OutboundError::Protocol(format!("the answer is {}", response.status())));
            }
            let body = Limited::new(response.into_body(), most_bytes).collect().await;
            body.map(Collected::to_bytes).map_err(|error| OutboundError::Protocol(error.to_string()))
        };
        tokio::select! {
            got = got => got,
            () = self.sleep(time) => Err(OutboundError::ReadTimeout),
        }
    }

    /// Sends a request that the host makes for a component, or for itself, whose URL is absolute: the answer's head within `time`, each
    /// part of its body within the default. Redirects are not followed.
    ///
    /// # Errors
    /// [`OutboundError`].
    pub async fn forward(
        &self,
        request: Request<RequestBody>,
        time: Duration,
    ) -> Result<Response<UnsyncBoxBody<Bytes, OutboundError>>, OutboundError> {
        let response = self.send(request, Timeouts { head: time, between: DEFAULT_TIMEOUT }).await?;
        Ok(response.map(|body| body.boxed_unsync()))
    }

    /// Sends a request whose URL is absolute. Redirects are not followed.
    pub(super) async fn send(&self, request: Request<RequestBody>, timeouts: Timeouts) -> Sent {
        // Before a connection is taken from the pool or made, and again when one is made.
        self.check(request.uri())?;
        let timeout = self.dialer.sleep(timeouts.head);
        let response = async {
            let permits = Arc::clone(&self.permits);
            let permit = permits.acquire_owned().await.map_err(|error| OutboundError::Protocol(error.to_string()))?;
            let response = self.client.request(request).await.map_err(|error| of_client(&error))?;
            let (clock, between) = (Arc::clone(self.dialer.clock()), timeouts.between);
            Ok(response.map(|incoming| ResponseBody::new(incoming, clock, between, permit)))
        };
        tokio::select! {
            response = response => response,
            () = timeout => Err(OutboundError::ReadTimeout),
        }
    }
}

fn of_client(error: &ClientError) -> OutboundError {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(known) = cause.downcast_ref::<OutboundError>() {
            return known.clone();
        }
        if let Some(known) = cause.downcast_ref::<hyper::Error>() {
            return of_hyper(known);
        }
        source = cause.source();
    }
    OutboundError::Protocol(error.to_string())
}

pub(super) fn of_hyper(error: &hyper::Error) -> OutboundError {
    if error.is_timeout() {
        return OutboundError::ReadTimeout;
    }
    let cause = error.source().map_or_else(String::new, |cause| format!(": {cause}"));
    let text = format!("{error}{cause}");
    let ended =
        error.is_incomplete_message() || error.is_canceled() || error.is_closed() || error.is_body_write_aborted();
    let broken = error.source().is_some_and(|cause| cause.is::<std::io::Error>());
    if ended || broken { OutboundError::Terminated(text) } else { OutboundError::Protocol(text) }
}
