//! A panic in a stage or in the host's side of a function becomes 500, and the connection lives on.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::future::Either;
use http::Response;
use pin_project_lite::pin_project;
use tower::Service;

use super::{Answered, Exchange, Or, always_ready, answer};
use crate::body::ResponseBody;
use crate::problem::Problem;

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
        // Nothing of a request outlives its panic, so no broken state can be seen afterwards.
        let called = catch_unwind(AssertUnwindSafe(|| self.inner.call(exchange)));
        match called {
            Ok(inner) => Either::Right(Catching { inner }),
            Err(panic) => answer(Err(problem_of(&*panic))),
        }
    }
}

pin_project! {
    pub(crate) struct Catching<F> {
        #[pin]
        inner: F,
    }
}

impl<F: Future<Output = Answered>> Future for Catching<F> {
    type Output = Answered;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answered> {
        let inner = self.project().inner;
        let polled = catch_unwind(AssertUnwindSafe(|| inner.poll(context)));
        polled.unwrap_or_else(|panic| Poll::Ready(Err(problem_of(&*panic))))
    }
}

fn problem_of(panic: &(dyn Any + Send)) -> Problem {
    let message = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(|s| &**s));
    tracing::error!(panic = message.unwrap_or("no message"), "a request panicked");
    Problem::internal()
}
