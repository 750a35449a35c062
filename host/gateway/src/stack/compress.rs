//! Compresses an answer in the way that its client likes best. An answer that does not say its length is looked into
//! first, for a short while, so that a small one is left as it is.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::stream::{self, StreamExt as _};
use http::header::{ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, ETAG};
use http::response::Parts;
use http::{HeaderValue, Method, Response};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt as _, BodyStream, StreamBody};
use pin_project_lite::pin_project;
use tower::Service;

use super::{Answered, Exchange, always_ready};
use crate::body::{BoxError, ResponseBody, full};
use crate::compressed::Compressed;
use crate::deadline::Deadline;
use crate::policy::{Coding, add_vary};
use crate::problem::Problem;
use crate::record::Record;

/// How long an answer may be held to see whether it is small. A function that writes slowly loses no more than this.
const LOOK: Duration = Duration::from_millis(20);

#[derive(Clone, Debug)]
pub(crate) struct Compress<S> {
    pub inner: S,
}

impl<S> Service<Exchange> for Compress<S>
where
    S: Service<Exchange, Response = Response<ResponseBody>, Error = Problem>,
{
    type Response = Response<ResponseBody>;
    type Error = Problem;
    type Future = Compressing<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Problem>> {
        always_ready(context)
    }

    fn call(&mut self, exchange: Exchange) -> Self::Future {
        let record = &exchange.record;
        let compression = record.policy.compression.as_ref().filter(|_| record.method != Method::HEAD);
        let wish = compression
            .map(|compression| Wish { coding: compression.choose(&exchange.head.headers), record: Arc::clone(record) });
        Compressing { inner: self.inner.call(exchange), wish, look: None }
    }
}

/// What the client of one request accepts.
struct Wish {
    coding: Option<Coding>,
    record: Arc<Record>,
}

pin_project! {
    pub(crate) struct Compressing<F> {
        #[pin]
        inner: F,
        wish: Option<Wish>,
        look: Option<Box<Look>>,
    }
}

impl<F: Future<Output = Answered>> Future for Compressing<F> {
    type Output = Answered;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answered> {
        let this = self.project();
        if this.look.is_none() {
            let response = ready!(this.inner.poll(context))?;
            let Some(wish) = this.wish.take() else { return Poll::Ready(Ok(response)) };
            match begun(response, wish) {
                Begun::Done(response) => return Poll::Ready(Ok(response)),
                Begun::Look(look) => *this.look = Some(look),
            }
        }
        match this.look.as_mut() {
            Some(look) => look.poll(context).map(Ok),
            None => Poll::Pending,
        }
    }
}

enum Begun {
    Done(Response<ResponseBody>),
    Look(Box<Look>),
}

fn begun(response: Response<ResponseBody>, wish: Wish) -> Begun {
    let (mut head, body) = response.into_parts();
    let record = wish.record;
    let Some(compression) = record.policy.compression.as_ref().filter(|compression| compression.fits(&head)) else {
        return Begun::Done(Response::from_parts(head, body));
    };
    // Also the plain form depends on what was asked for.
    add_vary(&mut head.headers, "accept-encoding");
    let Some(coding) = wish.coding else {
        return Begun::Done(Response::from_parts(head, body));
    };
    let announced = head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    match announced.or(body.size_hint().exact()) {
        Some(length) if length < compression.min_bytes => Begun::Done(Response::from_parts(head, body)),
        Some(_) => Begun::Done(compressed(head, body, coding, &record)),
        None => Begun::Look(Box::new(Look::new(head, body, coding, compression.min_bytes, record))),
    }
}

/// The answer in its new form, if there is a place for one more.
fn compressed(mut head: Parts, body: ResponseBody, coding: Coding, record: &Record) -> Response<ResponseBody> {
    let body = match Compressed::begin(body, coding, &record.shared.compressing) {
        Ok(compressed) => compressed.boxed_unsync(),
        Err(body) => return Response::from_parts(head, body),
    };
    let headers = &mut head.headers;
    headers.insert(CONTENT_ENCODING, coding.header());
    headers.remove(CONTENT_LENGTH);
    // Ranges are of the form that was sent, and this one is made anew each time.
    headers.remove(ACCEPT_RANGES);
    let weak = headers.get(ETAG).and_then(weakened);
    if let Some(weak) = weak {
        headers.insert(ETAG, weak);
    }
    Response::from_parts(head, body)
}

/// Two forms of one thing are not the same byte for byte, which a strong tag promises; `None` if it is weak.
fn weakened(tag: &HeaderValue) -> Option<HeaderValue> {
    tag.as_bytes().starts_with(b"\"").then(|| HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat()).ok())?
}

/// An answer whose length is not known yet, and what has come of it.
struct Look {
    /// `None` once it has been answered.
    answer: Option<(Parts, ResponseBody)>,
    coding: Coding,
    min_bytes: u64,
    got: Vec<Result<Frame<Bytes>, BoxError>>,
    bytes: u64,
    deadline: Deadline,
    record: Arc<Record>,
}

impl Look {
    fn new(head: Parts, body: ResponseBody, coding: Coding, min_bytes: u64, record: Arc<Record>) -> Self {
        let clock = Arc::clone(&record.shared.clock);
        let until = clock.monotonic() + LOOK;
        let deadline = Deadline::at(clock, until);
        Self { answer: Some((head, body)), coding, min_bytes, got: Vec::new(), bytes: 0, deadline, record }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Response<ResponseBody>> {
        let is_small = loop {
            let Some((_, body)) = &mut self.answer else { return Poll::Pending };
            match Pin::new(body).poll_frame(context) {
                Poll::Ready(None) => break true,
                // Trailers are the end, and so is an error.
                Poll::Ready(Some(frame)) => {
                    let length = frame.as_ref().ok().and_then(Frame::data_ref).map(Bytes::len);
                    self.got.push(frame);
                    let Some(length) = length else { break true };
                    self.bytes += length as u64;
                    if self.bytes >= self.min_bytes {
                        break false;
                    }
                }
                Poll::Pending => {
                    ready!(self.deadline.poll_passed(context));
                    break false;
                }
            }
        };
        let Some((head, body)) = self.answer.take() else { return Poll::Pending };
        let got = std::mem::take(&mut self.got);
        Poll::Ready(if is_small {
            Response::from_parts(head, small(got))
        } else {
            let body = StreamBody::new(stream::iter(got).chain(BodyStream::new(body))).boxed_unsync();
            compressed(head, body, self.coding, &self.record)
        })
    }
}

/// A body that has come to its end: with its length, if it is data alone.
fn small(got: Vec<Result<Frame<Bytes>, BoxError>>) -> ResponseBody {
    let data: Option<Vec<&Bytes>> = got.iter().map(|frame| frame.as_ref().ok().and_then(Frame::data_ref)).collect();
    match data {
        Some(data) => {
            let mut whole = BytesMut::with_capacity(data.iter().map(|bytes| bytes.len()).sum());
            data.into_iter().for_each(|bytes| whole.extend_from_slice(bytes));
            full(whole.freeze())
        }
        None => StreamBody::new(stream::iter(got)).boxed_unsync(),
    }
}
