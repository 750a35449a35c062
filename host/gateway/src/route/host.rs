//! Which host a request is for.

use http::header::HOST;
use http::request::Parts;
use http::{HeaderMap, Uri};

/// What stands for a host where a request names none, which HTTP/1.0 may.
const NONE: &str = "localhost";

/// Host and port as the request has them: an authority in the request line outranks the Host header (RFC 9112 section 3.2.2), and
/// HTTP/2 has it there alone.
pub(crate) fn authority<'r>(uri: &'r Uri, headers: &'r HeaderMap) -> &'r str {
    let of_header = || headers.get(HOST).and_then(|host| host.to_str().ok());
    uri.authority().map(|authority| authority.as_str()).or_else(of_header).unwrap_or(NONE)
}

/// The host alone, in whichever case it was sent.
pub(crate) fn host(head: &Parts) -> &str {
    weft_core::manifest::host_of(authority(&head.uri, &head.headers))
}
