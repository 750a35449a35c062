//! Server-Sent Events: the session as the body of an answer that ends with it.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};

use super::session::{Next, Session};
use super::text::Told;
use crate::body::BoxError;

/// How much is written at once.
const CHUNK_BYTES: usize = 16 * 1024;

/// What a client of Server-Sent Events gets.
pub(super) struct Events {
    session: Session,
    welcome: Option<Told>,
    has_ended: bool,
}

impl Events {
    pub fn new(session: Session, welcome: Told) -> Self {
        Self { session, welcome: Some(welcome), has_ended: false }
    }
}

impl Body for Events {
    type Data = Bytes;
    type Error = BoxError;

    /// hyper asks for more once it has room for it, so that what a slow client does not take stays where it counts.
    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = &mut *self;
        let mut out = Vec::new();
        if let Some(welcome) = this.welcome.take() {
            welcome.write_event(&mut out);
        }
        while !this.has_ended && out.len() < CHUNK_BYTES {
            match this.session.poll_next(context) {
                Poll::Ready(Next::Told(told) | Next::Heartbeat(told)) => told.write_event(&mut out),
                Poll::Ready(Next::Ended(ending)) => {
                    Told::closed(ending).write_event(&mut out);
                    this.has_ended = true;
                }
                Poll::Pending => break,
            }
        }
        match (out.is_empty(), this.has_ended) {
            (false, _) => Poll::Ready(Some(Ok(Frame::data(out.into())))),
            (true, true) => Poll::Ready(None),
            (true, false) => Poll::Pending,
        }
    }
}
