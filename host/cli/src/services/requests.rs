//! A request of a function to a service: the mesh says where each attempt goes, and is told what came of it.
//!
//! A failure is a connection that does not come about or breaks, an answer that does not come in time, and 500, 502, 503 and 504. 429 is made
//! again as well, but says nothing against the service: it is there, and asks for patience. All else is an answer. What fails in the end
//! is handed on as it came, if anything came.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty};
use jiff::fmt::rfc2822::DateTimeParser;
use tokio_util::task::AbortOnDropHandle;

use weft_capability::outbound::OutboundError;
use weft_capability::outbound::glue::{Answered, to_wasi};
use weft_core::outbound::EndpointAddress;
use weft_core::{CallContext, Failure, Fault, Reason};
use weft_engine::{FunctionBody, FunctionBodyError};
use weft_gateway::Problem;
use weft_mesh::{Ask, Destination, Failing};

use super::body::{Outgoing, Served};
use super::{ExternalServices, Inner};

/// By this header a request says that it has its effect once.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

type Incoming = Response<UnsyncBoxBody<Bytes, OutboundError>>;

/// Why a request has no good answer.
struct NoGood {
    failure: Failure,
    came: Came,
}

/// What came in the place of one.
enum Came {
    /// Nothing: a policy stood before it.
    Nothing,
    Error(OutboundError),
    Response(Box<Incoming>),
}

impl From<Failure> for NoGood {
    fn from(failure: Failure) -> Self {
        Self { failure, came: Came::Nothing }
    }
}

impl Failing for NoGood {
    fn failure(&self) -> &Failure {
        &self.failure
    }

    fn failure_mut(&mut self) -> &mut Failure {
        &mut self.failure
    }
}

impl ExternalServices {
    /// Makes a request for a function. Whether that may has been checked.
    pub fn request(&self, service: &str, request: Request<FunctionBody>, context: CallContext) -> Answered {
        let (inner, service): (_, Arc<str>) = (self.inner.clone(), service.into());
        let sent = self.inner.runtime.spawn(async move { inner.request(&service, request, &context).await });
        let sent = AbortOnDropHandle::new(sent);
        Box::pin(async move { sent.await.map_err(|_| FunctionBodyError::ConnectionTerminated)? })
    }
}

impl Inner {
    async fn request(
        &self,
        service: &Arc<str>,
        request: Request<FunctionBody>,
        context: &CallContext,
    ) -> Result<Response<FunctionBody>, FunctionBodyError> {
        let (head, body) = request.into_parts();
        let is_idempotent = is_idempotent(&head);
        // Before it takes a place: a component that writes its body slowly must not keep others out.
        let body = Outgoing::of(&head, body, is_idempotent).await?;
        let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        let ask = Ask {
            service,
            caller: context.caller.as_deref(),
            deadline: context.deadline,
            method: head.method.as_str(),
            header: &header,
            is_idempotent,
            again: body.is_kept() && context.step.is_none(),
            mirrored: context.mirrored,
            generation: context.generation.as_ref(),
        };
        let answered = self.mesh.request(&ask, |to| self.attempt(service, &head, &body, context.deadline, to)).await;
        let NoGood { failure, came } = match answered {
            Ok((response, serving)) => {
                let served = |body: UnsyncBoxBody<Bytes, OutboundError>| {
                    Served::new(body.map_err(to_wasi).boxed_unsync(), serving).boxed_unsync()
                };
                return Ok(response.map(served));
            }
            Err(no_good) => no_good,
        };
        tracing::warn!(%service, %failure, "a service did not answer as it should");
        match came {
            Came::Response(response) => Ok(response.map(|body| body.map_err(to_wasi).boxed_unsync())),
            Came::Error(error) => Err(to_wasi(error)),
            // As if it were not granted.
            Came::Nothing if failure.reason == Reason::Denied => Err(FunctionBodyError::HttpRequestDenied),
            Came::Nothing => Ok(refused(failure)),
        }
    }

    /// One attempt, at one instance.
    async fn attempt(
        &self,
        service: &Arc<str>,
        head: &Parts,
        body: &Outgoing,
        deadline: Duration,
        to: Destination,
    ) -> Result<Incoming, NoGood> {
        let client = self.client(service, to.may_be_private).map_err(|error| unsent(service, error))?;
        let internal = |message: &str| Failure::not_attempted(Fault::Host, Reason::Internal, message);
        let sent = body.next().ok_or_else(|| internal("the body was sent before"))?;
        let mut head = head.clone();
        head.uri = at(&to.instance.address, &head.uri).ok_or_else(|| internal("the URL makes no sense"))?;
        let time = deadline.saturating_sub(self.clock.monotonic());
        match client.forward(Request::from_parts(head, sent), time).await {
            Ok(response) => judged(service, response, self.clock.now_ms()),
            Err(error) if body.broke_off() => {
                let failure = Failure::unknown(Fault::Guest, Reason::Cancelled, "the component broke off its request");
                Err(NoGood { failure, came: Came::Error(error) })
            }
            Err(error) => Err(unsent(service, error)),
        }
    }
}

/// RFC 9110's idempotent methods, and what says so itself.
fn is_idempotent(head: &Parts) -> bool {
    let by_method = [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::OPTIONS, Method::TRACE];
    by_method.contains(&head.method) || head.headers.contains_key(IDEMPOTENCY_KEY)
}

/// The same path and query at an instance.
pub(super) fn at(address: &EndpointAddress, uri: &Uri) -> Option<Uri> {
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    format!("{address}{target}").parse().ok()
}

fn unsent(service: &str, error: OutboundError) -> NoGood {
    let failure = match &error {
        // Nothing was sent yet.
        OutboundError::Dns { .. }
        | OutboundError::Connect { .. }
        | OutboundError::Tls { .. }
        | OutboundError::ConnectTimeout => {
            Failure::not_attempted(Fault::Backend, Reason::Unavailable, error.to_string())
        }
        OutboundError::Denied(_) | OutboundError::Private(_) | OutboundError::BadUrl(_) => {
            Failure::not_attempted(Fault::Host, Reason::Unavailable, error.to_string())
        }
        OutboundError::ReadTimeout => {
            Failure::unknown(Fault::Backend, Reason::Deadline, format!("service {service} did not answer in time"))
        }
        OutboundError::Terminated(_) | OutboundError::Protocol(_) => {
            Failure::unknown(Fault::Backend, Reason::Unavailable, error.to_string())
        }
    };
    NoGood { failure, came: Came::Error(error) }
}

fn judged(service: &str, response: Incoming, now_ms: u64) -> Result<Incoming, NoGood> {
    let reason = match response.status() {
        StatusCode::TOO_MANY_REQUESTS => Reason::Overloaded,
        StatusCode::INTERNAL_SERVER_ERROR
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Reason::Unavailable,
        _ => return Ok(response),
    };
    let message = format!("service {service} answers {}", response.status().as_u16());
    let mut failure = Failure::unknown(Fault::Backend, reason, message);
    failure.retry_after_ms = retry_after_ms(response.headers(), now_ms);
    Err(NoGood { failure, came: Came::Response(Box::new(response)) })
}

/// `Retry-After`: seconds, or a date.
fn retry_after_ms(headers: &HeaderMap, now_ms: u64) -> Option<u32> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let ms = match text.parse::<u64>() {
        Ok(seconds) => seconds.saturating_mul(1_000),
        Err(_) => {
            let at = DateTimeParser::new().parse_timestamp(text).ok()?.as_millisecond();
            u64::try_from(at).unwrap_or_default().saturating_sub(now_ms)
        }
    };
    Some(u32::try_from(ms).unwrap_or(u32::MAX))
}

/// What a function is answered where nothing was: the status that a function's own failure has, and when to try again.
fn refused(failure: Failure) -> Response<FunctionBody> {
    let retry_after = failure.retry_after_ms.map(|ms| HeaderValue::from(ms.div_ceil(1_000)));
    let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = Problem::from(failure).status();
    if let Some(retry_after) = retry_after {
        response.headers_mut().insert(RETRY_AFTER, retry_after);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, retry_after: Option<&str>) -> Incoming {
        let mut response = Response::builder().status(status);
        if let Some(retry_after) = retry_after {
            response = response.header(RETRY_AFTER, retry_after);
        }
        response.body(Empty::new().map_err(|never| match never {}).boxed_unsync()).unwrap()
    }

    #[test]
    fn answers_are_judged_by_their_status() {
        for (status, reason) in [
            (200, None),
            (304, None),
            (400, None),
            (401, None),
            (403, None),
            (404, None),
            (409, None),
            (422, None),
            (501, None),
            (429, Some(Reason::Overloaded)),
            (500, Some(Reason::Unavailable)),
            (502, Some(Reason::Unavailable)),
            (503, Some(Reason::Unavailable)),
            (504, Some(Reason::Unavailable)),
        ] {
            let judged = judged("pay", response(status, None), 0);
            assert_eq!(judged.err().map(|no_good| no_good.failure.reason), reason, "{status}");
        }
    }

    #[test]
    fn when_to_try_again_is_said_in_seconds_or_by_a_date() {
        for (text, ms) in [
            ("2", Some(2_000)),
            ("Thu, 01 Jan 1970 00:01:00 GMT", Some(50_000)),
            ("Thu, 01 Jan 1970 00:00:01 GMT", Some(0)),
            ("99999999999999", Some(u32::MAX)),
            ("soon", None),
            ("-1", None),
        ] {
            let no_good = judged("pay", response(503, Some(text)), 10_000).err().unwrap();
            assert_eq!(no_good.failure.retry_after_ms, ms, "{text}");
        }
    }

    #[test]
    fn methods_are_idempotent_and_what_has_a_key() {
        let head = |method: &str, key: bool| {
            let mut request = Request::builder().method(method).uri("http://pay.weft.internal/");
            if key {
                request = request.header("Idempotency-Key", "k");
            }
            request.body(()).unwrap().into_parts().0
        };
        for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"] {
            assert!(is_idempotent(&head(method, false)), "{method}");
        }
        for method in ["POST", "PATCH", "LOCK"] {
            assert!(!is_idempotent(&head(method, false)) && is_idempotent(&head(method, true)), "{method}");
        }
    }

    #[test]
    fn a_url_leads_to_the_instance() {
        let uri = "http://pay.weft.internal/a/b?c=d".parse().unwrap();
        for (address, expected) in
            [("http://10.0.0.1:8080", "http://10.0.0.1:8080/a/b?c=d"), ("https://[::1]:1", "https://[::1]:1/a/b?c=d")]
        {
            assert_eq!(at(&address.parse().unwrap(), &uri).unwrap().to_string(), expected);
        }
    }
}
