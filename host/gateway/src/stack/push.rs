//! Answers the endpoints of push, without a function.

use std::task::{Context, Poll};

use futures::future::{BoxFuture, Either};
use http::Response;
use tower::Service;

use super::{Answered, Routed, always_ready};
use crate::body::ResponseBody;
use crate::problem::Problem;
use crate::push;

#[derive(Clone, Debug)]
pub(crate) struct Pushing<S> {
    pub inner: S,
}

impl<S> Service<Routed> for Pushing<S>
where
    S: Service<Routed, Response = Response<ResponseBody>, Error = Problem>,
{
    type Response = Response<ResponseBody>;
    type Error = Problem;
    /// Only what opens a connection, or speaks with the store, is boxed.
    type Future = Either<BoxFuture<'static, Answered>, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Problem>> {
        always_ready(context)
    }

    fn call(&mut self, routed: Routed) -> Self::Future {
        match routed.route.push {
            Some(endpoint) => Either::Left(Box::pin(push::answer(endpoint, routed))),
            None => Either::Right(self.inner.call(routed)),
        }
    }
}
