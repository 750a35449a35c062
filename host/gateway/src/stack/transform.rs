//! Changes requests and answers by the manifest's rules. Heads cost little; a body is read as a whole only where it is JSON
//! that a rule is about, and all else streams through.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::{BoxFuture, Either};
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Response, StatusCode};
use http_body::Body as _;
use tower::Service;

use super::{Answered, Routed, always_ready};
use crate::body::{ResponseBody, Unread, full, taken, whole};
use crate::problem::Problem;
use crate::transform::{self, Transform};

#[derive(Clone, Debug)]
pub(crate) struct Transformed<S> {
    pub inner: S,
}

impl<S> Service<Routed> for Transformed<S>
where
    S: Service<Routed, Response = Response<ResponseBody>, Error = Problem, Future: Send> + Clone + Send + 'static,
{
    type Response = Response<ResponseBody>;
    type Error = Problem;
    /// Routes without rules are not boxed.
    type Future = Either<S::Future, BoxFuture<'static, Answered>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Problem>> {
        always_ready(context)
    }

    fn call(&mut self, routed: Routed) -> Self::Future {
        if routed.route.transforms.is_empty() {
            return Either::Left(self.inner.call(routed));
        }
        Either::Right(Box::pin(transformed(self.inner.clone(), routed)))
    }
}

async fn transformed<S>(mut inner: S, mut routed: Routed) -> Answered
where
    S: Service<Routed, Response = Response<ResponseBody>, Error = Problem>,
{
    let route = Arc::clone(&routed.route);
    for rules in &route.transforms {
        request(rules, &mut routed).await?;
    }
    let mut response = inner.call(routed).await?;
    for rules in &route.transforms {
        response = answer(rules, response).await.map_err(|why| {
            // The client is told that there is no answer, since what it would get is what a rule takes away.
            tracing::warn!(component = &*route.config.component, transform = %rules.name, why, "an answer cannot be changed");
            Problem::unchangeable()
        })?;
    }
    Ok(response)
}

async fn request(rules: &Transform, routed: &mut Routed) -> Result<(), Problem> {
    let exchange = &mut routed.exchange;
    rules.request(&mut exchange.head);
    // Whatever it says that it is: a function that takes JSON does not ask, and what a rule takes away must not come another way.
    if rules.request_json.is_empty() || exchange.body.is_end_stream() {
        return Ok(());
    }
    if transform::is_encoded(&exchange.head.headers) {
        return Err(Problem::encoded_json());
    }
    let body = taken(&mut exchange.body, rules.max_json_bytes).await?;
    let body = rules.request_json.apply(&body).map_err(|_| Problem::malformed_json())?;
    transform::unmeasured(&mut exchange.head.headers);
    exchange.head.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    exchange.body.replace(body.into());
    Ok(())
}

async fn answer(rules: &Transform, response: Response<ResponseBody>) -> Result<Response<ResponseBody>, String> {
    let (mut head, mut body) = response.into_parts();
    rules.response(&mut head);
    let has_none = matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if rules.response_json.is_empty() || has_none || !transform::is_json(&head.headers) {
        return Ok(Response::from_parts(head, body));
    }
    if transform::is_encoded(&head.headers) || head.status == StatusCode::PARTIAL_CONTENT {
        return Err("it is encoded, or only a part".to_owned());
    }
    let whole = whole(&mut body, rules.max_json_bytes).await.map_err(|error| match error {
        Unread::TooLarge => format!("it is larger than {} bytes", rules.max_json_bytes),
        Unread::Broken(error) => error.to_string(),
    })?;
    if whole.is_empty() {
        return Ok(Response::from_parts(head, body));
    }
    let changed = rules.response_json.apply(&whole).map_err(|error| error.to_string())?;
    transform::unmeasured(&mut head.headers);
    Ok(Response::from_parts(head, full(changed)))
}
