//! One connection from its first byte to its end: which HTTP is spoken on it, when it is told to stop, and what goes on with its
//! socket when HTTP has ended there.

use std::pin::Pin;
use std::sync::Arc;

use http::Version;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tower::Service as _;

use crate::body::{Answer, BoxError};
use crate::connection::{Activity, Busy, Peer, Socket, Streaming, Successor, TakenOver, Watched};
use crate::door::Seat;
use crate::settings::Limits;
use crate::shared::Shared;
use crate::stack::{Arrival, Upstream, stack};

/// hyper's own bound lies above ours, so that ours answers with a problem. Its bound of 100 header lines is left alone:
/// with any other, hyper allocates for each request.
const HYPER_BUFFER_BYTES: usize = 256 * 1024;

/// What a connection has besides itself.
pub(crate) struct Life {
    pub shared: Arc<Shared>,
    pub peer: Arc<Peer>,
    pub draining: watch::Receiver<()>,
    pub tracker: TaskTracker,
    /// Its place among the connections.
    pub place: Seat,
}

/// What answers the requests of a connection.
trait Answering:
    hyper::service::Service<
        http::Request<Incoming>,
        Response = http::Response<Answer>,
        Error = TakenOver,
        Future: Send + 'static,
    > + Send
    + 'static
{
}

impl<S> Answering for S where
    S: hyper::service::Service<
            http::Request<Incoming>,
            Response = http::Response<Answer>,
            Error = TakenOver,
            Future: Send + 'static,
        > + Send
        + 'static
{
}

/// Serves a connection to its end: the client's, or ours.
pub(crate) fn serve<S: Upstream>(socket: Socket, upstream: S, life: Life) -> impl Future<Output = ()> + Send + 'static {
    let activity = Arc::new(Activity::default());
    let service = answering(&life, upstream, &activity);
    converse(socket, service, activity, life)
}

fn answering<S: Upstream>(life: &Life, upstream: S, activity: &Arc<Activity>) -> impl Answering + use<S> {
    let (peer, activity) = (Arc::clone(&life.peer), Arc::clone(activity));
    let stack = stack(&life.shared, upstream);
    service_fn(move |request: http::Request<Incoming>| {
        let (peer, busy) = (Arc::clone(&peer), Busy::new(&activity));
        stack.clone().call(Arrival { request, peer, busy })
    })
}

async fn converse(socket: Socket, service: impl Answering, activity: Arc<Activity>, mut life: Life) {
    let limits = Arc::clone(&life.shared.served().limits);
    let mut socket = Watched::new(socket, Arc::clone(&activity), &limits);
    let version = tokio::select! {
        version = socket.version() => version,
        _ = life.draining.changed() => return,
    };
    let ended = match version {
        // In a room of its own: the many connections of HTTP/1.1 shall not pay for it.
        Ok(Version::HTTP_2) => Box::pin(speak_http2(socket, service, &limits, &mut life.draining)).await.map(|()| None),
        Ok(_) => speak_http1(socket, service, &activity, &mut life).await,
        Err(error) => Err(error.into()),
    };
    match ended {
        Ok(None) => {}
        Ok(Some(rest)) => go_on(rest, life),
        // Clients break off all the time, so this is no cause for concern.
        Err(error) => tracing::debug!(client = life.peer.text(), %error, "a connection ended early"),
    }
}

/// What is still to be done on a connection.
type Rest = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A connection of HTTP/1.1, and what is to be done on it after that.
async fn speak_http1(
    socket: Watched,
    service: impl Answering,
    activity: &Activity,
    life: &mut Life,
) -> Result<Option<Rest>, BoxError> {
    let mut builder = http1::Builder::new();
    // The head's timeout is ours (`connection::Watched`), because hyper would close without an answer.
    builder.max_buf_size(HYPER_BUFFER_BYTES).header_read_timeout(None);
    // What may become of a connection but HTTP is push's to say; every other upgrade is passed over.
    let mut connection = builder.serve_connection(TokioIo::new(socket), service).with_upgrades();
    let ended = tokio::select! {
        ended = &mut connection => Some(ended),
        // An error would mean that the gateway is gone altogether, which is an end as well.
        _ = life.draining.changed() => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            Pin::new(&mut connection).graceful_shutdown();
            tokio::select! {
                ended = &mut connection => ended,
                () = closed(&mut life.draining) => Ok(()),
            }
        }
    };
    match (activity.successor(), connection.into_parts()) {
        (Some(Successor::Upgraded(upgraded)), _) => Ok(Some(upgraded)),
        (Some(Successor::Streaming(answer)), Some(parts)) => {
            let socket = parts.io.into_inner();
            if socket.has_unwritten() {
                // hyper has part of an earlier answer, which nobody can write any more: the client asked on without taking it.
                return Err("a stream was asked for behind an answer that was not taken".into());
            }
            let streaming = Streaming::new(socket, *answer, &*life.shared.clock);
            let peer = Arc::clone(&life.peer);
            Ok(Some(Box::pin(async move {
                if let Err(error) = streaming.await {
                    tracing::debug!(client = peer.text(), %error, "a stream ended early");
                }
            })))
        }
        _ => Ok(ended.map(|()| None)?),
    }
}

async fn speak_http2(
    socket: Watched,
    service: impl Answering,
    limits: &Limits,
    draining: &mut watch::Receiver<()>,
) -> Result<(), BoxError> {
    let list_bytes = u32::try_from(HYPER_BUFFER_BYTES).unwrap_or(u32::MAX);
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams_per_connection)
        .max_header_list_size(list_bytes)
        .keep_alive_interval(limits.idle_timeout / 2)
        .keep_alive_timeout(limits.head_timeout);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(socket), service));
    tokio::select! {
        ended = connection.as_mut() => return Ok(ended?),
        _ = draining.changed() => {}
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        ended = connection => Ok(ended?),
        () = closed(draining) => Ok(()),
    }
}

/// In a task of its own, since there may be many and the connection's has room for all that HTTP takes.
fn go_on(rest: Rest, life: Life) {
    let Life { mut draining, tracker, place, .. } = life;
    tracker.spawn(async move {
        tokio::select! {
            () = rest => {}
            () = closed(&mut draining) => {}
        }
        drop(place);
    });
}

/// Resolves when the gateway's patience is at its end.
async fn closed(draining: &mut watch::Receiver<()>) {
    while draining.changed().await.is_ok() {}
}
