//! The request as a function gets it: Spin's headers, the verified caller, the trace, and [`crate::RouteMatch`] among
//! the extensions. What comes back as a failure becomes a problem.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri};
use pin_project_lite::pin_project;
use tower::util::Oneshot;
use tower::{Service, ServiceExt as _};
use weft_core::{Failure, Fault};

use super::{Answered, Routed, Upstream, always_ready};
use crate::body::{RequestBody, ResponseBody};
use crate::policy::{FORWARDED_FOR, FORWARDED_PROTO};
use crate::problem::Problem;
use crate::record::{REQUEST_ID, Record, TRACEPARENT};
use crate::route::host;

const MATCHED_ROUTE: HeaderName = HeaderName::from_static("spin-matched-route");
const RAW_ROUTE: HeaderName = HeaderName::from_static("spin-raw-component-route");
const COMPONENT_ROUTE: HeaderName = HeaderName::from_static("spin-component-route");
const BASE_PATH: HeaderName = HeaderName::from_static("spin-base-path");
const CLIENT_ADDR: HeaderName = HeaderName::from_static("spin-client-addr");
const FULL_URL: HeaderName = HeaderName::from_static("spin-full-url");
/// Room for these and a caller's identity, so that the map grows once.
const OUR_HEADERS: usize = 16;

#[derive(Clone, Debug)]
pub(crate) struct Forward<S> {
    pub inner: S,
}

impl<S: Upstream> Service<Routed> for Forward<S> {
    type Response = Response<ResponseBody>;
    type Error = Problem;
    type Future = Forwarded<S>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Problem>> {
        always_ready(context)
    }

    fn call(&mut self, routed: Routed) -> Self::Future {
        let record = Arc::clone(&routed.exchange.record);
        Forwarded { inner: self.inner.clone().oneshot(function_request(routed)), record }
    }
}

pin_project! {
    pub(crate) struct Forwarded<S: Upstream> {
        #[pin]
        inner: Oneshot<S, Request<RequestBody>>,
        record: Arc<Record>,
    }
}

impl<S: Upstream> Future for Forwarded<S> {
    type Output = Answered;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answered> {
        let this = self.project();
        this.inner.poll(context).map_err(|failure| problem_of(failure, this.record))
    }
}

/// The client gets the problem, the log the reason, and the request id joins them.
fn problem_of(failure: Failure, record: &Record) -> Problem {
    let component = record.route.get().map_or("-", |route| &*route.config.component);
    let request_id = record.request_id();
    // Overload and a client that went away are daily bread; the rest is somebody's mistake.
    match failure.fault {
        Fault::Client => tracing::debug!(%failure, component, request_id, "a function failed"),
        Fault::Guest | Fault::Host | Fault::Backend => {
            tracing::warn!(%failure, component, request_id, "a function failed")
        }
    }
    failure.into()
}

fn function_request(routed: Routed) -> Request<RequestBody> {
    let Routed { exchange, route, matched, path_headers, auth: _, identity, api_key: _ } = routed;
    let (mut head, record) = (exchange.head, &exchange.record);
    head.headers.reserve(OUR_HEADERS + path_headers.len());
    let scheme = forwarded(&mut head.headers, record);
    let full_url = full_url(&mut head.headers, &head.uri, scheme);
    let headers = &mut head.headers;
    headers.extend(path_headers);
    for (name, value) in [
        (MATCHED_ROUTE, route.matched_header.clone()),
        (RAW_ROUTE, route.raw_header.clone()),
        (COMPONENT_ROUTE, route.prefix_header.clone()),
        (BASE_PATH, HeaderValue::from_static("/")),
        (CLIENT_ADDR, record.client_address()),
        (REQUEST_ID, record.request_id.clone()),
        (TRACEPARENT, record.traceparent.clone()),
    ] {
        headers.insert(name, value);
    }
    // Made of parts that were header values or parts of a URI before.
    if let Ok(value) = HeaderValue::try_from(full_url) {
        headers.insert(FULL_URL, value);
    }
    if let Some(identity) = identity {
        headers.extend(identity.headers().iter().cloned());
    }
    head.extensions.insert(matched);
    Request::from_parts(head, exchange.body)
}

/// Sets the forwarding headers and tells the scheme the client used. Of what was sent, only what trusted proxies said is
/// passed on.
fn forwarded(headers: &mut HeaderMap, record: &Record) -> &'static str {
    let scheme = record.scheme();
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(scheme));
    let way = record.forwarded.as_ref().and_then(|forwarded| forwarded.chain.as_ref());
    let chain =
        way.and_then(|way| HeaderValue::from_bytes(&[way.as_bytes(), b", ", record.peer.ip.as_bytes()].concat()).ok());
    headers.insert(FORWARDED_FOR, chain.unwrap_or_else(|| record.peer.ip.clone()));
    scheme
}

/// The URL as the client sees it. Functions find its host in the header, wherever the request has it.
fn full_url(headers: &mut HeaderMap, uri: &Uri, scheme: &str) -> String {
    if let Some(host) = uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok()) {
        headers.insert(HOST, host);
    }
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    [scheme, "://", host::authority(uri, headers), target].concat()
}
