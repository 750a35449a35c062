//! The bodies of requests to services: one that can be sent again, if another attempt needs it, and one that streams.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, stream};
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, BodyStream, Full, StreamBody};

use weft_capability::outbound::{BodyError, RequestBody};
use weft_engine::{FunctionBody, FunctionBodyError};
use weft_mesh::Serving;

/// The longest body that is kept to be sent again, in bytes.
pub(super) const MAX_KEPT_BYTES: usize = 64 * 1024;

/// The body of a request that may be made more than once.
pub(super) enum Outgoing {
    /// All of it.
    Kept(Bytes),
    /// One that is longer, or ends with trailers, or whose end nobody waited for: it is sent once.
    Streaming {
        /// What is sent, until it is.
        body: Mutex<Option<RequestBody>>,
        /// Whether the component has broken it off.
        broke_off: Arc<AtomicBool>,
    },
}

impl Outgoing {
    /// The body of a request. It is waited for if it is known to be short, or if the request is one that is made again.
    ///
    /// # Errors
    /// What the component says of its body.
    pub async fn of(head: &Parts, mut body: FunctionBody, is_idempotent: bool) -> Result<Self, FunctionBodyError> {
        let announced = head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        let is_short = announced.is_some_and(|length| length <= MAX_KEPT_BYTES);
        let is_long = announced.is_some_and(|length| length > MAX_KEPT_BYTES);
        if is_long || !(is_short || is_idempotent || body.is_end_stream()) {
            return Ok(Self::streaming(None, body));
        }
        let mut kept = BytesMut::new();
        while let Some(frame) = body.frame().await {
            match frame?.into_data() {
                Ok(data) => kept.extend_from_slice(&data),
                Err(trailers) => return Ok(Self::streaming([Frame::data(kept.freeze()), trailers], body)),
            }
            if kept.len() > MAX_KEPT_BYTES {
                return Ok(Self::streaming([Frame::data(kept.freeze())], body));
            }
        }
        Ok(Self::Kept(kept.freeze()))
    }

    fn streaming(first: impl IntoIterator<Item = Frame<Bytes>, IntoIter: Send + 'static>, rest: FunctionBody) -> Self {
        let broke_off = Arc::<AtomicBool>::default();
        let noted = broke_off.clone();
        let rest = BodyStream::new(rest.map_err(move |error| {
            noted.store(true, Relaxed);
            BodyError::from(error.to_string())
        }));
        let body = StreamBody::new(stream::iter(first).map(Ok).chain(rest)).boxed_unsync();
        Self::Streaming { body: Mutex::new(Some(body)), broke_off }
    }

    /// Whether it can be sent more than once.
    pub fn is_kept(&self) -> bool {
        matches!(self, Self::Kept(_))
    }

    /// Whether it was the component that broke it off, and not the service.
    pub fn broke_off(&self) -> bool {
        matches!(self, Self::Streaming { broke_off, .. } if broke_off.load(Relaxed))
    }

    /// The body for the next attempt; nothing if it was sent and is not kept.
    pub fn next(&self) -> Option<RequestBody> {
        match self {
            Self::Kept(bytes) => Some(Full::new(bytes.clone()).map_err(|never| match never {}).boxed_unsync()),
            Self::Streaming { body, .. } => body.lock().unwrap_or_else(PoisonError::into_inner).take(),
        }
    }
}

/// The body of an answer. While it is read, its request is under way.
pub(super) struct Served {
    body: FunctionBody,
    _serving: Serving,
}

impl Served {
    pub fn new(body: FunctionBody, serving: Serving) -> Self {
        Self { body, _serving: serving }
    }
}

impl Body for Served {
    type Data = Bytes;
    type Error = FunctionBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, FunctionBodyError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
