//! Sends plain HTTP to HTTPS, where the manifest wants that.

use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

use futures::future::Either;
use http::header::{HOST, LOCATION};
use http::uri::Authority;
use http::{HeaderValue, Response, StatusCode};
use tower::Service;

use super::{Answered, Exchange, Or, always_ready, answer};
use crate::body::{ResponseBody, full};
use crate::problem::Problem;

/// The port that a URL need not name.
const HTTPS_PORT: u16 = 443;

#[derive(Clone, Debug)]
pub(crate) struct Secure<S> {
    pub inner: S,
}

impl<S> Service<Exchange> for Secure<S>
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
        let record = &exchange.record;
        match &record.policy.https {
            Some(https) if https.redirect && record.scheme() == "http" => {
                let port = https.redirect_port.unwrap_or_else(|| record.shared.https_port.load(Relaxed));
                answer(redirect(&exchange, if port == 0 { HTTPS_PORT } else { port }))
            }
            _ => Either::Right(self.inner.call(exchange)),
        }
    }
}

/// 308 keeps the method and the body.
fn redirect(exchange: &Exchange, port: u16) -> Answered {
    let head = &exchange.head;
    let of_header = || head.headers.get(HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let host = head.uri.authority().cloned().or_else(of_header);
    // A user's name before the host would only serve to mislead.
    let host = host.filter(|host| !host.as_str().contains('@'));
    let location = host.and_then(|host| {
        let port = if port == HTTPS_PORT { String::new() } else { format!(":{port}") };
        let target =
            head.uri.path_and_query().map(|target| target.as_str()).filter(|target| target.starts_with('/'))?;
        HeaderValue::try_from(format!("https://{}{port}{target}", host.host())).ok()
    });
    let location =
        location.ok_or_else(|| Problem::bad_request("A request needs exactly one Host header and a path."))?;
    let mut response = Response::new(full(""));
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    response.headers_mut().insert(LOCATION, location);
    Ok(response)
}
