//! A panic in a stage or in the host's side of a function becomes 500, and the connection lives on.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::Either;
use http::Response;
use pin_project_lite::pin_project;
use tower::Service;

use super::{Answered, Exchange, Or, always_ready, answer};
use crate::body::ResponseBody;
use crate::problem::Problem;
use crate::record::Record;

#[derive(Clone, Debug)]
pub(crate) struct CatchPanic<S> {
    pub inner: S,
}

impl<S> Service<Exchange> for CatchPanic<S>
where
    S: Service<Exchange, Response = Response<ResponseBody>, Error = Problem>,
{
    type Response = Response<ResponseBody>;
    type Error = Problem;
    type Future = Or<Catching<S::Future>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Problem>> {
        always_ready(context)
    }

    fn call(&mut self, exchange: Exchange) -> Self::Future {
        let record = Arc::clone(&exchange.record);
        // Nothing of a request outlives its panic, so no broken state can be seen afterwards.
        let called = catch_unwind(AssertUnwindSafe(|| self.inner.call(exchange)));
        match called {
            Ok(inner) => Either::Right(Catching { inner, record }),
            Err(panic) => answer(Err(problem_of(&*panic, &record))),
        }
    }
}

pin_project! {
    pub(crate) struct Catching<F> {
        #[pin]
        inner: F,
        record: Arc<Record>,
    }
}

impl<F: Future<Output = Answered>> Future for Catching<F> {
    type Output = Answered;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answered> {
        let this = self.project();
        let polled = catch_unwind(AssertUnwindSafe(|| this.inner.poll(context)));
        polled.unwrap_or_else(|panic| Poll::Ready(Err(problem_of(&*panic, this.record))))
    }
}

fn problem_of(panic: &(dyn Any + Send), record: &Record) -> Problem {
    let message = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(|s| &**s));
    tracing::error!(panic = message.unwrap_or("no message"), request_id = record.request_id(), "a request panicked");
    Problem::internal()
}
