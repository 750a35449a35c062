//! The outermost stage: gives the request its record, turns problems into answers, puts our headers on every answer,
//! and hands the answer's body a ticket whose end is the line in the access log.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, STRICT_TRANSPORT_SECURITY, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tower::Service;

use super::{Answered, Exchange, always_ready};
use crate::body::{Answer, RequestBody, ResponseBody};
use crate::connection::{Busy, Peer, Successor, TakenOver};
use crate::problem::Problem;
use crate::push::{Endless, Switching};
use crate::record::{REQUEST_ID, Record, TRACEPARENT, Ticket};
use crate::shared::Shared;

/// A request as it comes from its connection.
pub(crate) struct Arrival {
    pub request: Request<Incoming>,
    pub peer: Arc<Peer>,
    pub busy: Busy,
}

#[derive(Clone, Debug)]
pub(crate) struct Observe<S> {
    shared: Arc<Shared>,
    inner: S,
}

impl<S> Observe<S> {
    pub fn new(shared: Arc<Shared>, inner: S) -> Self {
        Self { shared, inner }
    }
}

impl<S> Service<Arrival> for Observe<S>
where
    S: Service<Exchange, Response = Response<ResponseBody>, Error = Problem>,
{
    type Response = Response<Answer>;
    type Error = TakenOver;
    type Future = Observed<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), TakenOver>> {
        always_ready(context)
    }

    fn call(&mut self, arrival: Arrival) -> Self::Future {
        let (head, body) = arrival.request.into_parts();
        let served = self.shared.served();
        let record = Record::new(Arc::clone(&self.shared), &served, arrival.peer, arrival.busy, &head);
        let record = Arc::new(record);
        let ticket = Some(Ticket::new(Arc::clone(&record)));
        let body = RequestBody::new(body, Arc::clone(&record), head.headers.contains_key(EXPECT));
        Observed { inner: self.inner.call(Exchange { head, body, record, served }), ticket }
    }
}

pin_project! {
    pub(crate) struct Observed<F> {
        #[pin]
        inner: F,
        ticket: Option<Ticket>,
    }
}

impl<F: Future<Output = Answered>> Future for Observed<F> {
    type Output = Result<Response<Answer>, TakenOver>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answered = ready!(this.inner.poll(context));
        match this.ticket.take() {
            Some(ticket) => Poll::Ready(leave(finish(answered, ticket))),
            // Polled again after its end, which a future may answer as it likes.
            None => Poll::Pending,
        }
    }
}

/// How long the function says its answer is.
fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The answer as it leaves the house.
fn finish(answered: Answered, mut ticket: Ticket) -> Response<Answer> {
    let record = Arc::clone(&ticket.record);
    let answered = match (record.body_fault.get(), answered) {
        (Some(problem), _) => Err(problem.clone()),
        // An interim answer is not an answer.
        (None, Ok(response)) if response.status().is_informational() && !is_ours(&response) => Err(Problem::internal()),
        (None, answered) => answered,
    };
    let mut response = match answered {
        Ok(response) => {
            ticket.status = Some(response.status().as_u16());
            let length = content_length(response.headers());
            of_function(response, &record).map(|body| match body {
                Some(body) => {
                    ticket.length = length;
                    Answer::streamed(body, record.deadline(), ticket)
                }
                None => Answer::whole(Bytes::new(), ticket),
            })
        }
        Err(problem) => {
            ticket.status = Some(problem.status().as_u16());
            let response = problem.into_response(record.uri.path(), record.request_id());
            response.map(|bytes| Answer::whole(bytes, ticket))
        }
    };
    dress(response.headers_mut(), &record);
    response
}

/// Has an answer without an end go on without hyper where that can be: a stream of HTTP/2 shares its connection, and HTTP/1.0 knows
/// no chunks.
fn leave(response: Response<Answer>) -> Result<Response<Answer>, TakenOver> {
    let record = response.body().record();
    if response.extensions().get::<Endless>().is_none() || record.version != Version::HTTP_11 {
        return Ok(response);
    }
    let busy = record.busy.clone();
    busy.hand_over(Successor::Streaming(Box::new(response)));
    Err(TakenOver)
}

/// Whether it says that we make something else of the connection, which a function cannot.
fn is_ours(response: &Response<ResponseBody>) -> bool {
    response.extensions().get::<Switching>().is_some()
}

/// What a function answered, without what belongs to the connection, and without its body where the client asked for
/// the head alone.
fn of_function(mut response: Response<ResponseBody>, record: &Record) -> Response<Option<ResponseBody>> {
    if is_ours(&response) {
        return response.map(|_| None);
    }
    let headers = response.headers_mut();
    for name in [CONNECTION, TRANSFER_ENCODING, UPGRADE, KEEP_ALIVE, PROXY_CONNECTION] {
        headers.remove(name);
    }
    if record.method != Method::HEAD {
        return response.map(Some);
    }
    if let Some(length) = response.body().size_hint().exact() {
        response.headers_mut().entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
    }
    response.map(|_| None)
}

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
/// As many as [`dress`] may add.
const OUR_HEADERS: usize = 19;
const RESPONSE_TIME: HeaderName = HeaderName::from_static("x-response-time");

/// Our headers: those that tell of the request always, those that restrain a browser unless the function has its own.
fn dress(headers: &mut HeaderMap, record: &Record) {
    headers.reserve(OUR_HEADERS);
    let policy = &*record.policy;
    for (name, value) in &policy.headers {
        headers.entry(name).or_insert_with(|| value.clone());
    }
    if let Some(cors) = &policy.cors {
        cors.dress(headers, record.permission.get());
    }
    // Over plain HTTP a browser must not believe it (RFC 6797 section 7.2).
    if let Some(hsts) =
        policy.https.as_ref().and_then(|https| https.hsts.as_ref()).filter(|_| record.scheme() == "https")
    {
        headers.entry(STRICT_TRANSPORT_SECURITY).or_insert_with(|| hsts.clone());
    }
    // It has no connection headers.
    if record.version == Version::HTTP_2 {
        headers.remove(CONNECTION);
    } else if record.is_last {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    headers.insert(REQUEST_ID, record.request_id.clone());
    headers.insert(TRACEPARENT, record.traceparent.clone());
    if let Some(limit) = record.limit() {
        limit.dress(headers, record.shared.clock.now_ms());
    }
    let microseconds = record.elapsed().as_micros();
    // Digits always make a header value.
    if let Ok(value) = HeaderValue::try_from(format!("{}.{:03}ms", microseconds / 1000, microseconds % 1000)) {
        headers.insert(RESPONSE_TIME, value);
    }
}
