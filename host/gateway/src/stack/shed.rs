//! Refuses what is too much, by what matters less first: a request takes its place among those that run, waits for one, or
//! is told to come again. What it found out is in `overload`.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::future::{BoxFuture, Either};
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, Response};
use pin_project_lite::pin_project;
use tower::Service;
use weft_core::Reason;
use weft_core::manifest::{Priority, Waits};

use super::{Answered, Or, Routed, always_ready, answer};
use crate::body::ResponseBody;
use crate::overload::{Asked, End, Kind, Slot};
use crate::problem::Problem;
use crate::record::Record;

const PREFER: HeaderName = HeaderName::from_static("prefer");

#[derive(Clone, Debug)]
pub(crate) struct Shed<S> {
    pub inner: S,
}

impl<S> Service<Routed> for Shed<S>
where
    S: Service<Routed, Response = Response<ResponseBody>, Error = Problem, Future: Send> + Clone + Send + 'static,
{
    type Response = Response<ResponseBody>;
    type Error = Problem;
    /// Only a request that waits is boxed.
    type Future = Either<Or<Running<S::Future>>, BoxFuture<'static, Answered>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Problem>> {
        always_ready(context)
    }

    fn call(&mut self, routed: Routed) -> Self::Future {
        let record = Arc::clone(&routed.exchange.record);
        // What no function runs for is done sooner than it is refused, and connections to push to have a bound of their own.
        let route = &routed.route;
        let id = route.overload.get().copied().filter(|_| route.fixed.is_none() && route.push.is_none());
        let Some(route) = id else {
            return Either::Left(Either::Right(Running { inner: self.inner.call(routed), record: None }));
        };
        let waits = match routed.route.config.waits {
            Waits::Never => false,
            Waits::Asked => asks_to_wait(&routed.exchange.head.headers),
            Waits::Always => true,
        };
        let kind = Kind { route, priority: priority(&routed), holds: !waits };
        match record.shared.overload.ask(kind) {
            Asked::Run => {
                place(&record, kind);
                Either::Left(Either::Right(Running { inner: self.inner.call(routed), record: Some(record) }))
            }
            Asked::Wait(waiting) => {
                let (mut inner, left) = (self.inner.clone(), routed.matched.deadline.saturating_sub(record.now()));
                Either::Right(Box::pin(async move {
                    if !waiting.turn(left).await {
                        return Err(refusal(&record));
                    }
                    place(&record, kind);
                    Running { inner: inner.call(routed), record: Some(record) }.await
                }))
            }
            Asked::Refuse => Either::Left(answer(Err(refusal(&record)))),
        }
    }
}

/// How much the request matters: by who makes it, where that is known already and says so, else by its route.
fn priority(routed: &Routed) -> Priority {
    let record = &routed.exchange.record;
    let classes = &record.policy.classes;
    let of_caller = || {
        let auth = routed.auth.as_ref().filter(|_| !classes.is_empty())?;
        classes.of(&*auth.peek(&routed.exchange.head.headers, record.shared.clock.now_ms())?)
    };
    of_caller().unwrap_or(routed.route.config.priority)
}

/// Clients that come again do not all come at once.
fn refusal(record: &Record) -> Problem {
    let random = record.trace.span_id.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    Problem::shed(1 + random % 4)
}

/// Whether the client wants to wait for the outcome of what it begins (RFC 7240): it then takes as long as that takes.
fn asks_to_wait(headers: &HeaderMap) -> bool {
    let values = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    let mut preferences = values.flat_map(|value| value.split(','));
    preferences.any(|preference| {
        let name = preference.split(['=', ';']).next().unwrap_or_default();
        name.trim().eq_ignore_ascii_case("wait")
    })
}

/// Gives a request that was let in its place, which [`crate::record::Hold`] sees to that it gives back.
fn place(record: &Arc<Record>, kind: Kind) {
    // The record is new and this its only writer.
    let _ = record.slot.set(Slot::new(Arc::clone(&record.shared.overload), kind));
}

pin_project! {
    pub(crate) struct Running<F> {
        #[pin]
        inner: F,
        // Of a request that has a place.
        record: Option<Arc<Record>>,
    }
}

impl<F: Future<Output = Answered>> Future for Running<F> {
    type Output = Answered;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answered> {
        let this = self.project();
        let answered = ready!(this.inner.poll(context));
        if let Some(record) = this.record.take()
            && let Some(slot) = record.slot.get()
        {
            slot.end(|took| ending(&answered, took, &record));
        }
        Poll::Ready(answered)
    }
}

/// What an answer says of how busy the host is. A refusal is as quick as it is because nothing was done, and an answer that
/// goes on for ever says nothing by its beginning.
fn ending(answered: &Answered, took: Duration, record: &Record) -> End {
    match answered {
        Ok(response) if response.status().is_server_error() || is_event_stream(response) => End::Untold,
        Ok(_) => End::Answered(took),
        // Late because of the client, or of us.
        Err(problem) if problem.name() == Reason::Deadline.as_str() && !record.awaits_body.load(Relaxed) => {
            End::GivenUp(took)
        }
        Err(_) => End::Untold,
    }
}

fn is_event_stream(response: &Response<ResponseBody>) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("text/event-stream"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_waits_says_so() {
        for (value, expected) in [
            ("wait=10", true),
            ("respond-async, wait=10", true),
            ("Wait = 5", true),
            ("wait", true),
            ("handling=lenient", false),
            ("waiting=1", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(PREFER, value.parse().unwrap());
            assert_eq!(asks_to_wait(&headers), expected, "{value}");
        }
        assert!(!asks_to_wait(&HeaderMap::new()));
    }
}
