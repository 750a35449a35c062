//! The request's size and shape, before anything is made of it.

use std::net::Ipv6Addr;
use std::task::{Context, Poll};

use futures::future::Either;
use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderValue, Response, Version};
use http_body::Body as _;
use tower::Service;

use super::{Exchange, Or, always_ready, answer};
use crate::body::ResponseBody;
use crate::problem::Problem;
use crate::route::path;
use crate::settings::Limits;

#[derive(Clone, Debug)]
pub(crate) struct Check<S> {
    pub inner: S,
}

impl<S> Service<Exchange> for Check<S>
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
        match check(&exchange, &exchange.record.limits) {
            Ok(()) => Either::Right(self.inner.call(exchange)),
            Err(problem) => answer(Err(problem)),
        }
    }
}

fn check(exchange: &Exchange, limits: &Limits) -> Result<(), Problem> {
    let head = &exchange.head;
    let target = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if target > limits.uri_bytes {
        return Err(Problem::uri_too_long(limits.uri_bytes));
    }
    if head.headers.len() > limits.header_count {
        return Err(Problem::headers_too_large(format!("More than {} header lines.", limits.header_count)));
    }
    let bytes: usize = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if bytes > limits.header_bytes {
        let detail = format!("The headers together are larger than {} bytes.", limits.header_bytes);
        return Err(Problem::headers_too_large(detail));
    }
    let hosts = head.headers.get_all(HOST).iter().count();
    if hosts > 1 || (hosts == 0 && head.version == Version::HTTP_11) {
        return Err(Problem::bad_request("A request needs exactly one Host header."));
    }
    let authority = head.uri.authority().map(|authority| authority.as_str().as_bytes());
    let host = head.headers.get(HOST).map(HeaderValue::as_bytes);
    if !authority.into_iter().chain(host).all(is_host) {
        return Err(Problem::bad_request("The host is not a name or an address, with or without a port."));
    }
    if !matches!(head.uri.scheme_str(), None | Some("http" | "https")) {
        return Err(Problem::bad_request("Only http and https URLs are served."));
    }
    if head.headers.get_all(CONTENT_LENGTH).iter().count() > 1 {
        return Err(Problem::bad_request("The Content-Length header is given more than once."));
    }
    path::check(head.uri.path()).map_err(Problem::bad_request)?;
    // What the client announces; what it really sends is counted while it is read.
    if exchange.body.size_hint().lower() > limits.body_bytes {
        return Err(Problem::body_too_large(limits.body_bytes));
    }
    Ok(())
}

/// A host with or without a port (RFC 3986 section 3.2.2): functions build URLs of it. A user's name before it is for
/// misleading alone.
fn is_host(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    let (is_host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => (address.parse::<Ipv6Addr>().is_ok(), rest),
        None => {
            let (name, rest) = text.split_at(text.find(':').unwrap_or(text.len()));
            (name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&byte)), rest)
        }
    };
    // The port may be empty.
    let is_port =
        |port: &str| port.is_empty() || port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    is_host && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_and_perhaps_a_port() {
        for host in
            ["", "a", "a.example", "A:80", "a:", "a:65535", "127.0.0.1:3000", "[::1]", "[::1]:80", "[::ffff:1.2.3.4]:"]
        {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for host in [
            "a:abc",
            "a:65536",
            "a:80:80",
            "a:+1",
            "[::1]x",
            "[::1",
            "::1",
            "[]",
            "[a]",
            "[::1]:x",
            "[fe80::1%25a]",
            "a@b",
            "a/b",
            "a b",
            "\u{e4}",
        ] {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
    }
}
