//! Request headers: their limits, those that mean something only if we set them, and what a function is told.
//!
//! Taken off are all `x-user-*` and `x-service-*`, what proxies say, what belongs to the connection, and all `spin-*` but the host's own. The
//! host adds its headers behind those of the client without taking the client's off, so of each the last one is the host's;
//! a parameter of the path is believed only if the route has it.

use crate::problem::Problem;
use crate::token::Identity;

/// A name in lower case, and a value.
pub(crate) type Header = (String, Vec<u8>);

/// The longest path with its query, in bytes.
const URI_BYTES: usize = 8 * 1024;
/// The most header lines of a client.
const HEADER_COUNT: usize = 80;
/// The most bytes of a client's headers.
const HEADER_BYTES: usize = 32 * 1024;
/// The longest request id that is taken from a client, in bytes.
const REQUEST_ID_BYTES: usize = 128;

/// Set by the host for every request.
const HOSTS: [&str; 7] = [
    "spin-base-path",
    "spin-client-addr",
    "spin-component-route",
    "spin-full-url",
    "spin-matched-route",
    "spin-path-info",
    "spin-raw-component-route",
];
const PARAMETER: &str = "spin-path-match-";
/// For us to say, or for nobody.
const OURS: [&str; 3] = ["x-user-", "x-service-", "spin-"];
const FORWARDED: [&str; 6] =
    ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x-real-ip"];
/// Of this connection alone (RFC 9110 section 7.6.1), and what the authority says already.
const HOP_BY_HOP: [&str; 11] = [
    "connection",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The last value of a header, as text.
pub(crate) fn last<'a>(headers: &'a [Header], name: &str) -> Option<&'a str> {
    let found = headers.iter().rev().find(|(known, _)| known == name)?;
    std::str::from_utf8(&found.1).ok()
}

/// Checks sizes and shape of what the client sent.
pub(crate) fn check(target: &str, headers: &[Header], body_bytes: u64) -> Result<(), Problem> {
    if target.len() > URI_BYTES {
        return Err(Problem::uri_too_long(URI_BYTES));
    }
    let sent = || headers.iter().filter(|(name, _)| !name.starts_with("spin-"));
    if sent().count() > HEADER_COUNT {
        return Err(Problem::headers_too_large(format!("More than {HEADER_COUNT} header lines.")));
    }
    if sent().map(|(name, value)| name.len() + value.len()).sum::<usize>() > HEADER_BYTES {
        let detail = format!("The headers together are larger than {HEADER_BYTES} bytes.");
        return Err(Problem::headers_too_large(detail));
    }
    let mut lengths = headers.iter().filter(|(name, _)| name == "content-length");
    let length = lengths.next().and_then(|(_, value)| std::str::from_utf8(value).ok()?.parse::<u64>().ok());
    if lengths.next().is_some() {
        return Err(Problem::bad_request("The Content-Length header is given more than once."));
    }
    crate::path::check(target.split('?').next().unwrap_or_default()).map_err(Problem::bad_request)?;
    if length.is_some_and(|length| length > body_bytes) {
        return Err(Problem::body_too_large(body_bytes));
    }
    Ok(())
}

/// The client's request id if it is sane.
pub(crate) fn request_id(headers: &[Header]) -> Option<String> {
    let (_, sent) = headers.iter().find(|(name, _)| name == "x-request-id")?;
    let sane = (1..=REQUEST_ID_BYTES).contains(&sent.len()) && sent.iter().all(u8::is_ascii_graphic);
    sane.then(|| String::from_utf8_lossy(sent).into_owned())
}

/// The headers that a function gets.
pub(crate) fn for_function(sent: Vec<Header>, identity: Option<&Identity>, request_id: &str) -> Vec<Header> {
    let hosts = of_host(&sent);
    let text = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
    let proto = match last(&hosts, "spin-full-url") {
        Some(url) if url.starts_with("https:") => "https",
        _ => "http",
    };
    let client = last(&hosts, "spin-client-addr").map(|address| text("x-forwarded-for", ip_of(address)));
    let mut headers: Vec<Header> = sent.into_iter().filter(|(name, _)| is_kept(name)).collect();
    headers.extend(hosts);
    headers.extend(client);
    headers.push(text("x-forwarded-proto", proto));
    headers.push(text("x-request-id", request_id));
    headers.extend(identity.into_iter().flat_map(|identity| identity.headers().iter().cloned()));
    headers
}

/// What the host says of the request.
fn of_host(sent: &[Header]) -> Vec<Header> {
    let route = last(sent, "spin-matched-route").unwrap_or_default();
    let parameters = route.split('/').filter_map(|segment| segment.strip_prefix(':'));
    let parameters = parameters.map(|name| format!("{PARAMETER}{}", name.to_ascii_lowercase().replace('_', "-")));
    let names = HOSTS.iter().map(|name| (*name).to_owned()).chain(parameters);
    names.filter_map(|name| sent.iter().rev().find(|(known, _)| *known == name).cloned()).collect()
}

/// The address without its port.
fn ip_of(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}

/// Whether a header of the client goes on to the function.
fn is_kept(name: &str) -> bool {
    let ours = OURS.iter().any(|prefix| name.get(..prefix.len()).is_some_and(|start| is_same(start, prefix)));
    let listed = FORWARDED.iter().chain(&HOP_BY_HOP).any(|other| is_same(name, other));
    !(ours || listed || is_same(name, "x-request-id"))
}

/// Whether a header of an answer goes on to the client.
pub(crate) fn is_answered(name: &str) -> bool {
    let connection = ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "x-request-id"];
    !connection.iter().any(|other| name.eq_ignore_ascii_case(other))
}

/// `_` counts as `-`, because some frameworks read them as one.
fn is_same(name: &str, other: &str) -> bool {
    let dashed = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    name.len() == other.len() && name.bytes().map(dashed).eq(other.bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&str, &str)]) -> Vec<Header> {
        lines.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
    }

    fn all<'a>(headers: &'a [Header], name: &str) -> Vec<&'a str> {
        let found = headers.iter().filter(|(known, _)| known == name);
        found.map(|(_, value)| std::str::from_utf8(value).unwrap()).collect()
    }

    #[test]
    fn what_only_we_may_say_is_taken_off() {
        let forged = [
            ("x-user-id", "admin"),
            ("x_user_role", "admin"),
            ("x-user_anything", "x"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x_forwarded_proto", "https"),
            ("forwarded", "for=x"),
            ("x-real-ip", "x"),
            ("connection", "close"),
            ("spin_client_addr", "6.6.6.6:1"),
            ("spin-anything", "x"),
            ("accept", "text/plain"),
            ("authorization", "Bearer x"),
            ("x-users-count", "1"),
            ("spinning", "1"),
        ];
        let got = for_function(headers(&forged), None, "r1");
        let names: Vec<&str> = got.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            ["accept", "authorization", "x-users-count", "spinning", "x-forwarded-proto", "x-request-id"],
        );
        assert_eq!((all(&got, "x-forwarded-proto"), all(&got, "x-request-id")), (vec!["http"], vec!["r1"]));
    }

    #[test]
    fn of_what_the_host_says_the_last_counts() {
        let sent = headers(&[
            ("spin-client-addr", "6.6.6.6:1"),
            ("spin-matched-route", "/evil/:admin"),
            ("spin-path-match-id", "forged"),
            ("spin-path-match-admin", "forged"),
            ("spin-matched-route", "/api/courses/:id/of/:user_id"),
            ("spin-full-url", "https://example.org/api"),
            ("spin-client-addr", "[::1]:4711"),
            ("spin-path-match-id", "7"),
            ("spin-path-match-user-id", "8"),
        ]);
        let got = for_function(sent, None, "r1");
        for (name, expected) in [
            ("spin-client-addr", vec!["[::1]:4711"]),
            ("spin-path-match-id", vec!["7"]),
            ("spin-path-match-user-id", vec!["8"]),
            ("spin-path-match-admin", vec![]),
            ("x-forwarded-for", vec!["::1"]),
            ("x-forwarded-proto", vec!["https"]),
        ] {
            assert_eq!(all(&got, name), expected, "{name}");
        }
        assert_eq!((ip_of("127.0.0.1:80"), ip_of("127.0.0.1")), ("127.0.0.1", "127.0.0.1"));
    }

    #[test]
    fn a_request_id_is_taken_if_it_is_sane() {
        assert_eq!(request_id(&headers(&[("x-request-id", "a-1")])).as_deref(), Some("a-1"));
        for bad in ["", "a b", "ä", &"x".repeat(129)] {
            assert_eq!(request_id(&headers(&[("x-request-id", bad)])), None, "{bad}");
        }
        assert_eq!(request_id(&[]), None);
    }

    #[test]
    fn sizes_and_shape_are_checked() {
        let status = |target: &str, lines: &[(&str, &str)]| {
            check(target, &headers(lines), 100).err().map(|problem| problem.status)
        };
        assert_eq!(status("/a?b=%zz", &[("content-length", "100")]), None);
        assert_eq!(status("/a", &[("content-length", "101")]), Some(413));
        assert_eq!(status("/a", &[("content-length", "1"), ("content-length", "1")]), Some(400));
        assert_eq!(status("/a/../b", &[]), Some(400));
        assert_eq!(status(&format!("/{}", "x".repeat(URI_BYTES)), &[]), Some(414));
        assert_eq!(status("/a", &[("x", &"x".repeat(HEADER_BYTES))]), Some(431));
        assert_eq!(status("/a", &[("x", "x"); HEADER_COUNT + 1]), Some(431));
        assert_eq!(status("/a", &[("spin-path-info", "x"); HEADER_COUNT + 1]), None, "the host's own do not count");
    }
}
