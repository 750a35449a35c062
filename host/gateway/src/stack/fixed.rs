//! Answers routes that have the same answer for every request (`static_response`), without a function.

use std::task::{Context, Poll};

use futures::future::Either;
use http::Response;
use tower::Service;

use super::{Or, Routed, always_ready, answer};
use crate::body::ResponseBody;
use crate::problem::Problem;

#[derive(Clone, Debug)]
pub(crate) struct Fixed<S> {
    pub inner: S,
}

impl<S> Service<Routed> for Fixed<S>
where
    S: Service<Routed, Response = Response<ResponseBody>, Error = Problem>,
{
    type Response = Response<ResponseBody>;
    type Error = Problem;
    type Future = Or<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Problem>> {
        always_ready(context)
    }

    fn call(&mut self, routed: Routed) -> Self::Future {
        match &routed.route.fixed {
            Some(fixed) => answer(Ok(fixed.response())),
            None => Either::Right(self.inner.call(routed)),
        }
    }
}
