//! Errors as RFC 9457 problem details: the whole list of what the gateway itself can answer, and what a
//! [`Failure`] of a function becomes. What a function answers by itself passes through untouched.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER, SEC_WEBSOCKET_VERSION, WWW_AUTHENTICATE,
};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde::Serialize;
use weft_core::push::PushError;
use weft_core::{Failure, Reason};

use crate::limit::Refusal;
use crate::openapi::BodyFault;

/// Seconds in `Retry-After` where nothing better is known.
const RETRY_AFTER_S: u32 = 1;

/// An error answer. Details are written for the client and never hold what a callee or a backend said.
#[derive(Clone, Debug)]
pub struct Problem {
    name: &'static str,
    title: &'static str,
    status: StatusCode,
    detail: Cow<'static, str>,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// The rate limits that are used up.
    violated: Box<[Arc<str>]>,
    /// What is wrong with the body.
    faults: Box<[BodyFault]>,
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    instance: &'a str,
    request_id: &'a str,
    #[serde(rename = "violated-policies", skip_serializing_if = "<[_]>::is_empty")]
    violated: &'a [Arc<str>],
    #[serde(rename = "errors", skip_serializing_if = "<[_]>::is_empty")]
    faults: &'a [BodyFault],
}

impl Problem {
    fn new(status: StatusCode, name: &'static str, title: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            name,
            title,
            status,
            detail: detail.into(),
            headers: Vec::new(),
            violated: Box::default(),
            faults: Box::default(),
        }
    }

    fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    fn and_close(self) -> Self {
        self.with(CONNECTION, HeaderValue::from_static("close"))
    }

    /// What it says to people.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The last part of the problem's type.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whoever sends what cannot be read in one way only is not listened to any further.
    pub(crate) fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", "Bad request", detail).and_close()
    }

    pub(crate) fn no_route() -> Self {
        Self::new(StatusCode::NOT_FOUND, "no-route", "Not found", "No route matches this path.")
    }

    pub(crate) fn method_not_allowed(allow: HeaderValue) -> Self {
        let detail = "This path does not answer this method; the Allow header lists those it does.";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed", detail).with(ALLOW, allow)
    }

    /// No token at all: RFC 6750 asks for a challenge without an error code.
    pub(crate) fn token_missing() -> Self {
        let detail = "This route needs an access token in the Authorization header.";
        Self::new(StatusCode::UNAUTHORIZED, "token-missing", "Unauthorized", detail)
            .with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    pub(crate) fn token_invalid(detail: &'static str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "token-invalid", "Unauthorized", detail)
            .with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer error=\"invalid_token\""))
    }

    pub(crate) fn api_key_invalid(detail: &'static str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "api-key-invalid", "Unauthorized", detail)
            .with(WWW_AUTHENTICATE, HeaderValue::from_static("ApiKey error=\"invalid_key\""))
    }

    pub(crate) fn two_credentials() -> Self {
        let detail = "A request shows either a token (Authorization) or an API key (X-API-Key), not both.";
        Self::new(StatusCode::BAD_REQUEST, "two-credentials", "Bad request", detail)
    }

    pub(crate) fn forbidden(detail: &'static str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "Forbidden", detail)
            .with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer error=\"insufficient_scope\""))
    }

    pub(crate) fn ticket_invalid() -> Self {
        let detail = "The ticket is not valid: one opens one connection, within 30 seconds.";
        Self::new(StatusCode::UNAUTHORIZED, "ticket-invalid", "Unauthorized", detail)
            .with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    /// What can be read, and makes no sense.
    pub(crate) fn invalid(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", "Bad request", detail)
    }

    pub(crate) fn upgrade_required(detail: &'static str) -> Self {
        Self::new(StatusCode::UPGRADE_REQUIRED, "upgrade-required", "Upgrade required", detail)
            .with(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"))
    }

    pub(crate) fn malformed_json() -> Self {
        let detail = "The body says that it is JSON, and is not.";
        Self::new(StatusCode::BAD_REQUEST, "malformed-json", "The body is not JSON", detail)
    }

    /// A body that its schema forbids.
    pub(crate) fn invalid_body(faults: Vec<BodyFault>) -> Self {
        let detail = "The body is not what this route takes; see `errors`.";
        let problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-body", "The body is not valid", detail);
        Self { faults: faults.into(), ..problem }
    }

    pub(crate) fn encoded_json() -> Self {
        let detail = "This route takes JSON without a Content-Encoding.";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "encoded-json", "Unsupported media type", detail)
    }

    /// What may not be passed on as it is cannot be made what may.
    pub(crate) fn unchangeable() -> Self {
        let detail = "The function's answer cannot be put into the form that this route gives.";
        Self::new(StatusCode::BAD_GATEWAY, "answer-unchangeable", "Bad gateway", detail)
    }

    pub(crate) fn idempotency_key_missing() -> Self {
        let detail = "This route needs an Idempotency-Key header, which a repetition of the request has as well.";
        Self::new(StatusCode::BAD_REQUEST, "idempotency-key-missing", "Bad request", detail)
    }

    pub(crate) fn idempotency_key_invalid() -> Self {
        let detail =
            "The Idempotency-Key header is one text of 1 to 255 visible ASCII characters, in quotes or without.";
        Self::new(StatusCode::BAD_REQUEST, "idempotency-key-invalid", "Bad request", detail)
    }

    pub(crate) fn idempotency_key_reused() -> Self {
        let title = "The idempotency key belongs to another request";
        let detail = "A request with this Idempotency-Key had another query, content type or body.";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency-key-reused", title, detail)
    }

    pub(crate) fn idempotency_in_flight() -> Self {
        let detail = "A request with this Idempotency-Key is in work. Try again to get its answer.";
        Self::new(StatusCode::CONFLICT, "idempotency-in-flight", "Conflict", detail)
            .with(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S))
    }

    /// Whether the request was done before cannot be known.
    pub(crate) fn answers_unavailable() -> Self {
        let detail = "It cannot be known now whether this request was done before. Try again.";
        Self::unavailable(Reason::Unavailable.as_str(), detail, None)
    }

    pub(crate) fn body_too_large(limit_bytes: u64) -> Self {
        let detail = format!("The request body is larger than {limit_bytes} bytes.");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "Content too large", detail)
    }

    pub(crate) fn uri_too_long(limit_bytes: usize) -> Self {
        let detail = format!("Path and query together are longer than {limit_bytes} bytes.");
        Self::new(StatusCode::URI_TOO_LONG, "uri-too-long", "URI too long", detail)
    }

    pub(crate) fn headers_too_large(detail: String) -> Self {
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        Self::new(status, "headers-too-large", "Request header fields too large", detail)
    }

    pub(crate) fn request_timeout() -> Self {
        let detail = "The request body did not arrive in time.";
        Self::new(StatusCode::REQUEST_TIMEOUT, "request-timeout", "Request timeout", detail).and_close()
    }

    pub(crate) fn deadline() -> Self {
        let detail = "The function did not answer before its deadline.";
        Self::new(StatusCode::GATEWAY_TIMEOUT, Reason::Deadline.as_str(), "Gateway timeout", detail)
    }

    pub(crate) fn busy() -> Self {
        let detail = "The gateway works on as many requests as it may. Try again.";
        Self::unavailable(Reason::Overloaded.as_str(), detail, None)
    }

    /// Refused so that others can be served.
    pub(crate) fn shed(retry_after_s: u32) -> Self {
        let detail = "There is more to do than can be done in time. Try again later.";
        Self::unavailable(Reason::Overloaded.as_str(), detail, Some(retry_after_s.saturating_mul(1000)))
    }

    /// The members of the answer that concern rate limits are those of the draft on RateLimit headers.
    pub(crate) fn rate_limited(refusal: Refusal) -> Self {
        let Refusal { longest, names } = refusal;
        let detail = format!("The rate limit \"{}\" is used up. Try again later.", longest.limit.name);
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "rate-limited", "Too many requests", detail)
            .with(RETRY_AFTER, HeaderValue::from(longest.retry_after_s()));
        Self { violated: names.into(), ..problem }
    }

    pub(crate) fn internal() -> Self {
        let detail = "Something went wrong on our side. The request id names this request in the log.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, Reason::Internal.as_str(), "Internal server error", detail)
    }

    fn unavailable(name: &'static str, detail: &'static str, retry_after_ms: Option<u32>) -> Self {
        let seconds = retry_after_ms.map_or(RETRY_AFTER_S, |ms| ms.div_ceil(1000).max(1));
        Self::new(StatusCode::SERVICE_UNAVAILABLE, name, "Service unavailable", detail)
            .with(RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// The answer itself. `instance` is the request's path without its query, which may hold secrets.
    pub(crate) fn into_response(self, instance: &str, request_id: &str) -> Response<Bytes> {
        let document = Document {
            r#type: format!("urn:weft:problem:{}", self.name),
            title: self.title,
            status: self.status.as_u16(),
            detail: &self.detail,
            instance,
            request_id,
            violated: &self.violated,
            faults: &self.faults,
        };
        // Strings and a number always serialise; an empty body would still carry the right status.
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.extend(self.headers);
        response
    }
}

/// The failure's own message is for the log: it may tell more than a client should know.
impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let name = failure.reason.as_str();
        let bad_gateway = |detail| Self::new(StatusCode::BAD_GATEWAY, name, "Bad gateway", detail);
        let unavailable = |detail| Self::unavailable(name, detail, failure.retry_after_ms);
        match failure.reason {
            Reason::Overloaded => unavailable("The function is at its limit. Try again."),
            Reason::Unavailable => unavailable("The function is not available. Try again."),
            Reason::ShuttingDown => unavailable("The host is shutting down. Try again."),
            Reason::Cancelled => unavailable("The request was given up. Try again."),
            Reason::Deadline => Self::deadline(),
            Reason::Trapped => bad_gateway("The function stopped without an answer."),
            Reason::CpuLimit => bad_gateway("The function used up its processor time."),
            Reason::ResourceLimit => bad_gateway("The function went over a limit of its instance."),
            Reason::Denied => bad_gateway("The function was refused something that it needs."),
            Reason::Internal => Self::internal(),
        }
    }
}

impl From<PushError> for Problem {
    fn from(error: PushError) -> Self {
        match error {
            PushError::Invalid(detail) | PushError::TooLarge(detail) => Self::invalid(detail),
            PushError::TooManyOfUser(detail) => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many-connections", "Too many requests", detail)
                    .with(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S))
            }
            PushError::TooMany(_) | PushError::Full(_) => {
                Self::unavailable(Reason::Overloaded.as_str(), "Push is at its limit. Try again.", None)
            }
            PushError::Closing => {
                Self::unavailable(Reason::ShuttingDown.as_str(), "The host is shutting down. Try again.", None)
            }
            PushError::Unavailable(failure) => failure.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_core::Fault;

    fn problem_of(reason: Reason) -> Problem {
        Failure::unknown(Fault::Guest, reason, "secret inside: /etc/keys").retry_after_ms(2500).into()
    }

    #[test]
    fn every_reason_has_its_status() {
        for (reason, status) in [
            (Reason::Overloaded, 503),
            (Reason::Deadline, 504),
            (Reason::Trapped, 502),
            (Reason::CpuLimit, 502),
            (Reason::ResourceLimit, 502),
            (Reason::Unavailable, 503),
            (Reason::Denied, 502),
            (Reason::ShuttingDown, 503),
            (Reason::Cancelled, 503),
            (Reason::Internal, 500),
        ] {
            let response = problem_of(reason).into_response("/a", "r1");
            assert_eq!(response.status(), status, "{reason:?}");
            assert_eq!(response.headers().contains_key(RETRY_AFTER), status == 503, "{reason:?}");
            let body = String::from_utf8(response.into_body().to_vec()).unwrap();
            assert!(body.contains(&format!("urn:weft:problem:{}", reason.as_str())), "{body}");
            assert!(!body.contains("secret"), "{body}");
        }
    }

    #[test]
    fn retry_after_is_in_whole_seconds_rounded_up() {
        let response = problem_of(Reason::Overloaded).into_response("/a", "r1");
        assert_eq!(response.headers()[RETRY_AFTER], "3");
    }

    #[test]
    fn a_problem_names_path_and_request() {
        let response = Problem::no_route().into_response("/a\"b", "r1");
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(body["type"], "urn:weft:problem:no-route");
        assert_eq!((&body["instance"], &body["request_id"]), (&"/a\"b".into(), &"r1".into()));
        assert_eq!(body["status"], 404);
    }
}
