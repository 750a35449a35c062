//! A request from one function to another, by HTTP and without a route: with the headers that Spin gives such requests,
//! and without those that only the gateway may set.

use http::header::HOST;
use http::request::Parts;
use http::{HeaderName, HeaderValue};

use crate::stack::{Trust, strip};

/// Makes of the head of a request that a function sends the one that another function gets.
pub fn chained(head: &mut Parts) {
    strip(&mut head.headers, Trust { peer: false, identity: false });
    head.headers.remove(HOST);
    let path = head.uri.path().to_owned();
    let full_url = format!("http://localhost{}", head.uri.path_and_query().map_or("/", |target| target.as_str()));
    for (name, text) in [
        ("spin-path-info", path.as_str()),
        ("spin-full-url", full_url.as_str()),
        ("spin-matched-route", "/..."),
        ("spin-raw-component-route", "/..."),
        ("spin-component-route", ""),
        ("spin-base-path", "/"),
        ("spin-client-addr", "0.0.0.0:0"),
    ] {
        // Parts of a URI are header values.
        if let Ok(value) = HeaderValue::from_str(text) {
            head.headers.insert(HeaderName::from_static(name), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    #[test]
    fn a_request_between_functions_has_spins_headers_and_no_borrowed_ones() {
        let request = Request::get("http://back.spin.internal/a/b?c=d")
            .header("host", "back.spin.internal")
            .header("x-user-id", "somebody")
            .header("spin-path-match-id", "7")
            .header("accept", "text/plain")
            .body(())
            .unwrap();
        let (mut head, ()) = request.into_parts();
        chained(&mut head);
        let shown: Vec<String> = head.headers.iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
        assert_eq!(
            shown,
            [
                "accept: \"text/plain\"",
                "spin-path-info: \"/a/b\"",
                "spin-full-url: \"http://localhost/a/b?c=d\"",
                "spin-matched-route: \"/...\"",
                "spin-raw-component-route: \"/...\"",
                "spin-component-route: \"\"",
                "spin-base-path: \"/\"",
                "spin-client-addr: \"0.0.0.0:0\"",
            ]
        );
    }
}
