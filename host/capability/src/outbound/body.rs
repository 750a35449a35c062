//! The body of a response: streamed, of any size, each part within its time.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;

use weft_core::Clock;

use super::OutboundError;
use super::client::of_hyper;

/// A response's body. While it lives, its request counts as under way.
pub(super) struct ResponseBody {
    incoming: Incoming,
    clock: Arc<dyn Clock>,
    between: Duration,
    /// Runs while a part is waited for.
    timeout: Option<BoxFuture<'static, ()>>,
    _permit: OwnedSemaphorePermit,
}

impl ResponseBody {
    pub(super) fn new(
        incoming: Incoming,
        clock: Arc<dyn Clock>,
        between: Duration,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        Self { incoming, clock, between, timeout: None, _permit: permit }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = OutboundError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, OutboundError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.incoming).poll_frame(cx) {
            this.timeout = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(|error| of_hyper(&error))));
        }
        let (clock, between) = (&this.clock, this.between);
        let timeout = this.timeout.get_or_insert_with(|| clock.sleep(between));
        timeout.as_mut().poll(cx).map(|()| Some(Err(OutboundError::ReadTimeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
