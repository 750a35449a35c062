//! The bodies that pass through: the request's, counted and bounded, and the answer's, bounded by the deadline.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;

use crate::connection::Busy;
use crate::deadline::Deadline;
use crate::idempotency::BodyDigest;
use crate::problem::Problem;
use crate::record::{Record, Ticket};

/// What a body can fail with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a function's answer.
pub type ResponseBody = UnsyncBoxBody<Bytes, BoxError>;

/// How much of a body nobody wants is still read, so that the client gets to see the answer rather than a reset.
const LINGER_BYTES: u64 = 16 * 1024 * 1024;
/// For how long.
const LINGER: Duration = Duration::from_secs(2);

/// Why a request body ends early.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It is longer than the gateway takes. The client gets 413, whatever the function answers.
    #[error("the request body is larger than {limit_bytes} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit_bytes: u64,
    },
    /// It did not arrive in time. The client gets 408, whatever the function answers.
    #[error("the request body did not arrive in time")]
    TooSlow,
    /// The connection broke, or what came was not HTTP. The client gets 400, if it is still there.
    #[error("the request body broke off")]
    Broken(#[source] hyper::Error),
}

/// A request's body on its way to a function.
#[derive(Debug)]
pub struct RequestBody {
    /// `None` once it has ended or failed.
    inner: Option<Incoming>,
    record: Arc<Record>,
    left: u64,
    deadline: Deadline,
    /// The client waits for a sign before it sends the body, so that a body nobody asked for never comes.
    expects_sign: bool,
    /// What stands in the place of what was sent, once that was read.
    replaced: Option<Bytes>,
    /// What has come of it, for whoever wants to know whether it is the same as another.
    digest: Option<Arc<BodyDigest>>,
}

impl RequestBody {
    pub(crate) fn new(inner: Incoming, record: Arc<Record>, expects_sign: bool) -> Self {
        let limits = &record.limits;
        let (left, until) = (limits.body_bytes, record.started + limits.body_timeout);
        let deadline = Deadline::at(Arc::clone(&record.shared.clock), until);
        Self { inner: Some(inner), record, left, deadline, expects_sign, replaced: None, digest: None }
    }

    /// Puts `bytes` in the place of what was sent, which was read to its end.
    pub(crate) fn replace(&mut self, bytes: Bytes) {
        self.replaced = Some(bytes).filter(|bytes| !bytes.is_empty());
    }

    /// Has everything that comes from here on taken into a digest.
    pub(crate) fn digested(&mut self) -> Arc<BodyDigest> {
        let digest = Arc::new(BodyDigest::default());
        if self.is_end_stream() {
            digest.end();
        }
        Arc::clone(self.digest.insert(digest))
    }

    /// Ends the body with `error` for the function and `problem` for the client.
    fn fail<T>(&mut self, error: BodyError, problem: Problem) -> Poll<Option<Result<T, BoxError>>> {
        self.inner = None;
        // The first fault is the one that counts.
        let _ = self.record.body_fault.set(problem);
        Poll::Ready(Some(Err(error.into())))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = &mut *self;
        if let Some(bytes) = this.replaced.take() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        let Some(inner) = &mut this.inner else {
            return Poll::Ready(None);
        };
        this.expects_sign = false;
        let polled = Pin::new(inner).poll_frame(context);
        this.record.note_client(polled.is_pending());
        let frame = match polled {
            Poll::Pending => {
                ready!(this.deadline.poll_passed(context));
                return this.fail(BodyError::TooSlow, Problem::request_timeout());
            }
            Poll::Ready(None) => {
                this.inner = None;
                this.digest.iter().for_each(|digest| digest.end());
                return Poll::Ready(None);
            }
            Poll::Ready(Some(Err(error))) => {
                let problem = Problem::bad_request("The request body broke off or is not valid HTTP.");
                return this.fail(BodyError::Broken(error), problem);
            }
            Poll::Ready(Some(Ok(frame))) => frame,
        };
        let length = frame.data_ref().map_or(0, |data| data.len() as u64);
        this.record.bytes_in.fetch_add(length, Relaxed);
        let Some(left) = this.left.checked_sub(length) else {
            linger(this.inner.take(), &this.record);
            let limit_bytes = this.record.limits.body_bytes;
            return this.fail(BodyError::TooLarge { limit_bytes }, Problem::body_too_large(limit_bytes));
        };
        this.left = left;
        if let Some(digest) = &this.digest {
            frame.data_ref().into_iter().for_each(|data| digest.add(data));
            if this.inner.as_ref().is_none_or(Body::is_end_stream) {
                digest.end();
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.replaced.is_none() && self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        if let Some(bytes) = &self.replaced {
            return SizeHint::with_exact(bytes.len() as u64);
        }
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        self.record.note_client(false);
        if !self.expects_sign {
            linger(self.inner.take(), &self.record);
        }
    }
}

/// Reads on, within bounds, what is left of a body that nobody wants: closing a connection on unread bytes resets it,
/// and the answer would be lost on its way.
fn linger(body: Option<Incoming>, record: &Record) {
    let Some(mut body) = body.filter(|body| !body.is_end_stream()) else { return };
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    let (busy, mut deadline): (Busy, _) = (record.busy.clone(), {
        let clock = Arc::clone(&record.shared.clock);
        let at = clock.monotonic() + LINGER;
        Deadline::at(clock, at)
    });
    runtime.spawn(async move {
        let _busy = busy;
        let mut left = LINGER_BYTES;
        std::future::poll_fn(|context| {
            loop {
                let Poll::Ready(frame) = Pin::new(&mut body).poll_frame(context) else {
                    return deadline.poll_passed(context);
                };
                let length = match &frame {
                    Some(Ok(frame)) => frame.data_ref().map_or(0, |data| data.len() as u64),
                    Some(Err(_)) | None => return Poll::Ready(()),
                };
                let Some(rest) = left.checked_sub(length) else { return Poll::Ready(()) };
                left = rest;
            }
        })
        .await;
    });
}

/// An answer on its way to the client. Its end is the end of the request.
#[derive(Debug)]
pub struct Answer {
    inner: Inner,
    deadline: Option<Deadline>,
    ticket: Ticket,
}

#[derive(Debug)]
enum Inner {
    Whole(Full<Bytes>),
    Streamed(ResponseBody),
}

/// The function went on for longer than its route allows; the client sees a broken answer.
#[derive(Debug, thiserror::Error)]
#[error("the answer was not complete at its deadline")]
struct TooLate;

impl Answer {
    /// An answer of the gateway itself.
    pub(crate) fn whole(bytes: Bytes, ticket: Ticket) -> Self {
        Self::begun(Inner::Whole(Full::new(bytes)), None, ticket)
    }

    /// An answer of a function.
    pub(crate) fn streamed(body: ResponseBody, deadline: Option<Deadline>, ticket: Ticket) -> Self {
        Self::begun(Inner::Streamed(body), deadline, ticket)
    }

    pub(crate) fn record(&self) -> &Record {
        &self.ticket.record
    }

    fn begun(inner: Inner, deadline: Option<Deadline>, ticket: Ticket) -> Self {
        let mut answer = Self { inner, deadline, ticket };
        // Nobody asks for a body that is at its end from the start.
        let ended = answer.is_end_stream();
        answer.ticket.note_progress(ended);
        answer
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = &mut *self;
        let polled = match &mut this.inner {
            Inner::Whole(body) => Pin::new(body).poll_frame(context).map_err(|never| match never {}),
            Inner::Streamed(body) => Pin::new(body).poll_frame(context),
        };
        match polled {
            Poll::Ready(None) => this.ticket.note_progress(true),
            Poll::Ready(Some(Ok(ref frame))) => {
                this.ticket.bytes_out += frame.data_ref().map_or(0, |data| data.len() as u64);
                let ended = this.is_end_stream();
                this.ticket.note_progress(ended);
            }
            Poll::Ready(Some(Err(ref error))) => {
                this.ticket.complete = false;
                tracing::warn!(request_id = this.ticket.record.request_id(), %error, "an answer broke off");
            }
            Poll::Pending => {
                let passed = this.deadline.as_mut().is_some_and(|deadline| deadline.poll_passed(context).is_ready());
                return if passed { Poll::Ready(Some(Err(TooLate.into()))) } else { Poll::Pending };
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Whole(body) => body.is_end_stream(),
            Inner::Streamed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Whole(body) => body.size_hint(),
            Inner::Streamed(body) => body.size_hint(),
        }
    }
}

/// A body that is already complete, as a [`ResponseBody`].
#[must_use]
pub fn full(bytes: impl Into<Bytes>) -> ResponseBody {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Why there is no whole body.
pub(crate) enum Unread {
    /// It is larger than it may be.
    TooLarge,
    /// It failed on the way.
    Broken(BoxError),
}

/// Reads a body to its end, unless it is larger than so many bytes.
pub(crate) async fn whole<B>(body: &mut B, max_bytes: usize) -> Result<Bytes, Unread>
where
    B: Body<Data = Bytes, Error = BoxError> + Unpin,
{
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        // Trailers are nothing of the body.
        if let Ok(data) = frame.map_err(Unread::Broken)?.into_data() {
            if read.len() + data.len() > max_bytes {
                return Err(Unread::TooLarge);
            }
            read.extend_from_slice(&data);
        }
    }
    Ok(read.freeze())
}

/// Reads the body of a request to its end, for a stage that has to know all of it.
///
/// # Errors
/// 413 if it has more than so many bytes; what the client is told of a body that broke off, the record has.
pub(crate) async fn taken(body: &mut RequestBody, max_bytes: usize) -> Result<Bytes, Problem> {
    whole(body, max_bytes).await.map_err(|error| match error {
        Unread::TooLarge => Problem::body_too_large(max_bytes as u64),
        Unread::Broken(_) => Problem::bad_request("The request body broke off or is not valid HTTP."),
    })
}
