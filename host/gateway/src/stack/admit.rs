//! At most so many requests in work. One more is refused at once: a queue here would only make all of them late. The
//! place is freed when the request's ticket ends.

use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

use futures::future::Either;
use http::Response;
use tower::Service;

use super::{Exchange, Or, always_ready, answer};
use crate::body::ResponseBody;
use crate::problem::Problem;

#[derive(Clone, Debug)]
pub(crate) struct Admit<S> {
    pub inner: S,
}

impl<S> Service<Exchange> for Admit<S>
where
    S: Service<Exchange, Response = Response<ResponseBody>, Error = Problem>,
{
    type Response = Response<ResponseBody>;
    type Error = Problem;
    type Future = Or<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Problem>> {
        always_ready(context)
    }

    fn call(&mut self, exchange: Exchange) -> Self::Future {
        let shared = &exchange.record.shared;
        let in_flight = shared.in_flight.fetch_add(1, Relaxed);
        // From here on the ticket gives the place back, also if it is one too many.
        exchange.record.holds_place.store(true, Relaxed);
        if in_flight >= exchange.record.limits.in_flight {
            return answer(Err(Problem::busy()));
        }
        Either::Right(self.inner.call(exchange))
    }
}
