//! Pages of other origins: answers a browser's preflight, and notes for every other request whether its page may see
//! the answer, so that also the answer to a refused one says so.

use std::task::{Context, Poll};

use futures::future::Either;
use http::Response;
use tower::Service;

use super::{Exchange, Or, always_ready, answer};
use crate::body::ResponseBody;
use crate::problem::Problem;

#[derive(Clone, Debug)]
pub(crate) struct Permit<S> {
    pub inner: S,
}

impl<S> Service<Exchange> for Permit<S>
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
        if let Some(cors) = &exchange.record.policy.cors {
            let permission = cors.permission(&exchange.head.headers);
            let preflight = cors.preflight(&exchange.head, permission.is_some());
            if let Some(permission) = permission {
                // The record is new and this its only writer.
                let _ = exchange.record.permission.set(permission);
            }
            if let Some(response) = preflight {
                return answer(Ok(response));
            }
        }
        Either::Right(self.inner.call(exchange))
    }
}
