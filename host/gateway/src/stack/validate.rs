//! Holds the bodies of requests against the schemas that the OpenAPI document has for them, where the manifest wants that, so
//! that a function gets none that the document forbids.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::{BoxFuture, Either};
use http::Response;
use http_body::Body as _;
use tower::Service;

use super::{Answered, Routed, always_ready};
use crate::body::{ResponseBody, taken};
use crate::openapi::RequestSchema;
use crate::problem::Problem;
use crate::transform;

#[derive(Clone, Debug)]
pub(crate) struct Validate<S> {
    pub inner: S,
}

impl<S> Service<Routed> for Validate<S>
where
    S: Service<Routed, Response = Response<ResponseBody>, Error = Problem, Future: Send> + Clone + Send + 'static,
{
    type Response = Response<ResponseBody>;
    type Error = Problem;
    /// Routes without a schema are not boxed.
    type Future = Either<S::Future, BoxFuture<'static, Answered>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Problem>> {
        always_ready(context)
    }

    fn call(&mut self, routed: Routed) -> Self::Future {
        match routed.route.request_schema.clone() {
            Some(schema) => Either::Right(Box::pin(validated(self.inner.clone(), routed, schema))),
            None => Either::Left(self.inner.call(routed)),
        }
    }
}

async fn validated<S>(mut inner: S, mut routed: Routed, schema: Arc<RequestSchema>) -> Answered
where
    S: Service<Routed, Response = Response<ResponseBody>, Error = Problem>,
{
    let exchange = &mut routed.exchange;
    if exchange.body.is_end_stream() && schema.is_optional {
        return inner.call(routed).await;
    }
    if transform::is_encoded(&exchange.head.headers) {
        return Err(Problem::encoded_json());
    }
    // Whatever it says that it is: what the function takes is JSON.
    let body = taken(&mut exchange.body, RequestSchema::MAX_BYTES).await?;
    let value = serde_json::from_slice(&body).map_err(|_| Problem::malformed_json())?;
    schema.check(&value).map_err(Problem::invalid_body)?;
    exchange.body.replace(body);
    inner.call(routed).await
}
