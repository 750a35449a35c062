//! `/livez`, `/readyz` and `/health`, which belong to the host whatever routes there are; and what Spin answers below
//! `/.well-known/spin/`.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

use futures::future::{BoxFuture, Either, ready};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Response, StatusCode};
use tower::Service;

use super::{Answered, Exchange, always_ready};
use crate::body::{ResponseBody, full};
use crate::health::Status;
use crate::problem::Problem;
use crate::shared::Shared;

/// Where Spin's own answers are.
const SPIN: &str = "/.well-known/spin/";

#[derive(Clone, Debug)]
pub(crate) struct Health<S> {
    pub inner: S,
}

#[derive(Clone, Copy)]
enum Probe {
    /// The process answers.
    Live,
    /// It takes requests, and what it needs is there.
    Ready,
    /// Each check with its result.
    Health,
}

impl<S> Service<Exchange> for Health<S>
where
    S: Service<Exchange, Response = Response<ResponseBody>, Error = Problem>,
{
    type Response = Response<ResponseBody>;
    type Error = Problem;
    type Future = Either<BoxFuture<'static, Answered>, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Problem>> {
        always_ready(context)
    }

    fn call(&mut self, exchange: Exchange) -> Self::Future {
        if let Some(name) = exchange.head.uri.path().strip_prefix(SPIN) {
            return Either::Left(Box::pin(ready(of_spin(name, &exchange.record.shared))));
        }
        let probe = match exchange.head.uri.path() {
            "/livez" => Probe::Live,
            "/readyz" => Probe::Ready,
            "/health" => Probe::Health,
            _ => return Either::Right(self.inner.call(exchange)),
        };
        let allowed = matches!(exchange.head.method, Method::GET | Method::HEAD);
        let shared = Arc::clone(&exchange.record.shared);
        Either::Left(Box::pin(async move {
            if !allowed {
                return Err(Problem::method_not_allowed(HeaderValue::from_static("GET, HEAD")));
            }
            Ok(probe_answer(probe, &shared).await)
        }))
    }
}

/// As Spin answers, whatever the method.
fn of_spin(name: &str, shared: &Shared) -> Answered {
    match name {
        "health" => Ok(Response::new(full("OK"))),
        "info" => {
            // Two texts always serialise.
            let text = serde_json::to_string_pretty(&shared.application).unwrap_or_default();
            let mut response = Response::new(full(text));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            Ok(response)
        }
        _ => Err(Problem::no_route()),
    }
}

async fn probe_answer(probe: Probe, shared: &Shared) -> Response<ResponseBody> {
    let draining = shared.draining.load(Relaxed);
    let (ok, body) = match probe {
        Probe::Live => (true, String::from("{\"status\":\"ok\"}")),
        Probe::Ready if draining => (false, String::from("{\"status\":\"draining\"}")),
        Probe::Ready => {
            let status = shared.health.report(&*shared.clock).await.status;
            let ok = status == Status::Ok;
            (ok, format!("{{\"status\":\"{}\"}}", if ok { "ready" } else { "degraded" }))
        }
        Probe::Health => {
            let report = shared.health.report(&*shared.clock).await;
            // Names, texts and times always serialise.
            (report.status == Status::Ok, serde_json::to_string(&report).unwrap_or_default())
        }
    };
    let mut response = Response::new(full(body));
    *response.status_mut() = if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
