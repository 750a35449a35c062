//! Finds the route; answers for paths, hosts and methods that have none, and `OPTIONS`.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::Either;
use http::header::ALLOW;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode};
use tower::Service;
use weft_core::manifest::Captures;

use super::{Exchange, Or, Routed, always_ready, answer};
use crate::auth::Authenticator;
use crate::body::{ResponseBody, full};
use crate::problem::Problem;
use crate::route::{Lookup, Route, RouteMatch, host, path};

const PATH_INFO: HeaderName = HeaderName::from_static("spin-path-info");

#[derive(Clone, Debug)]
pub(crate) struct Find<S> {
    pub inner: S,
}

impl<S> Service<Exchange> for Find<S>
where
    S: Service<Routed, Response = Response<ResponseBody>, Error = Problem>,
{
    type Response = Response<ResponseBody>;
    type Error = Problem;
    type Future = Or<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Problem>> {
        always_ready(context)
    }

    fn call(&mut self, mut exchange: Exchange) -> Self::Future {
        let record = Arc::clone(&exchange.record);
        let served = Arc::clone(&exchange.served);
        match served.routes.lookup(&record.method, host::host(&exchange.head), record.uri.path()) {
            Lookup::Found { route, captures, as_get } => {
                if as_get {
                    exchange.head.method = Method::GET;
                }
                match routed(exchange, Arc::clone(route), &captures, served.auth.clone()) {
                    Ok(routed) => Either::Right(self.inner.call(routed)),
                    Err(problem) => answer(Err(problem)),
                }
            }
            Lookup::OtherMethods(allow) if record.method == Method::OPTIONS => answer(Ok(options(allow))),
            Lookup::OtherMethods(allow) => answer(Err(Problem::method_not_allowed(allow))),
            Lookup::Nothing => answer(Err(Problem::no_route())),
        }
    }
}

fn options(allow: HeaderValue) -> Response<ResponseBody> {
    let mut response = Response::new(full(""));
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(ALLOW, allow);
    response
}

fn routed(
    exchange: Exchange,
    route: Arc<Route>,
    captures: &Captures<'_, '_>,
    auth: Option<Arc<Authenticator>>,
) -> Result<Routed, Problem> {
    let record = &exchange.record;
    // The record is new and the router its only writer.
    let _ = record.route.set(Arc::clone(&route));
    let deadline = record.deadline().map(|deadline| deadline.time()).unwrap_or_default();
    let mut params = Vec::with_capacity(captures.parameters.len());
    let mut path_headers = Vec::with_capacity(captures.parameters.len() + 1);
    // Spin passes captures as they stand in the URL, which is always a header value; decoded ones may not be.
    let header = |text: &str| {
        HeaderValue::from_bytes(text.as_bytes())
            .map_err(|_| Problem::bad_request("The path contains a control character."))
    };
    path_headers.push((PATH_INFO, header(captures.wildcard.unwrap_or_default())?));
    for (header_name, (name, segment)) in route.parameter_headers.iter().zip(&captures.parameters) {
        let decoded = path::decode(segment).map_err(Problem::bad_request)?;
        params.push(((*name).to_owned(), decoded.into_owned()));
        path_headers.push((header_name.clone(), header(segment)?));
    }
    let matched = RouteMatch {
        component: Arc::clone(&route.config.component),
        route: Arc::clone(&route.pattern),
        params,
        deadline,
        trace: record.trace.clone(),
        request_id: record.request_id().into(),
        generation: exchange.served.generation.clone(),
    };
    Ok(Routed { exchange, route, matched, path_headers, auth, identity: None, api_key: None })
}
