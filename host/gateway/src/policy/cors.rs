//! Which pages of other origins may call, in the words of the Fetch standard. A browser asks before it sends what a page
//! could not always send (the preflight), and shows a page no answer that does not permit it.

use std::fmt::Display;
use std::sync::Arc;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
    ORIGIN, VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use weft_core::manifest::{self, Origin};

use crate::body::{ResponseBody, full};

const TRUE: HeaderValue = HeaderValue::from_static("true");
const ANY: HeaderValue = HeaderValue::from_static("*");
/// What the answer to a preflight depends on.
const PREFLIGHT_VARY: &str = "origin, access-control-request-method, access-control-request-headers";

#[derive(Debug)]
pub(crate) struct Cors {
    origins: Vec<Origin>,
    credentials: bool,
    /// Everybody gets the same answer, so that caches need not tell callers apart.
    same_for_all: bool,
    methods: HeaderValue,
    headers: HeaderValue,
    expose: Option<HeaderValue>,
    max_age: HeaderValue,
}

impl Cors {
    pub fn new(cors: &manifest::Cors) -> Self {
        Self {
            same_for_all: cors.origins.contains(&Origin::Any) && !cors.credentials,
            origins: cors.origins.clone(),
            credentials: cors.credentials,
            methods: list(&cors.methods),
            headers: list(&cors.headers),
            expose: (!cors.expose.is_empty()).then(|| list(&cors.expose)),
            max_age: header(cors.max_age_s),
        }
    }

    /// What tells the browser that the page which sent this request may see the answer; `None` for a page that may not,
    /// and for a request that is no page's.
    pub fn permission(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(ORIGIN)?;
        if self.same_for_all {
            return Some(ANY);
        }
        let text = origin.to_str().ok()?;
        self.origins.iter().any(|allowed| allowed.covers(text)).then(|| origin.clone())
    }

    /// The answer to a preflight; `None` if the request is something else.
    pub fn preflight(&self, head: &Parts, permitted: bool) -> Option<Response<ResponseBody>> {
        let asks = head.method == Method::OPTIONS
            && head.headers.contains_key(ORIGIN)
            && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        if !asks {
            return None;
        }
        let mut response = Response::new(full(""));
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(VARY, HeaderValue::from_static(PREFLIGHT_VARY));
        // A page that may not call learns nothing else.
        if permitted {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, self.headers.clone());
            headers.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        }
        Some(response)
    }

    /// Puts the permission on an answer. What the function says of it counts for nothing: this is the manifest's to say.
    pub fn dress(&self, headers: &mut HeaderMap, permission: Option<&HeaderValue>) {
        for name in [ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_EXPOSE_HEADERS] {
            headers.remove(name);
        }
        if !self.same_for_all {
            add_vary(headers, "origin");
        }
        let Some(permission) = permission else { return };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, permission.clone());
        if self.credentials {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE);
        }
        if let Some(expose) = &self.expose {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, expose.clone());
        }
    }
}

/// Says that the answer depends on this header of the request, unless that is said already.
pub(crate) fn add_vary(headers: &mut HeaderMap, name: &'static str) {
    let says = |value: &HeaderValue| {
        let names = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        names.into_iter().any(|known| known == b"*" || known.eq_ignore_ascii_case(name.as_bytes()))
    };
    if !headers.get_all(VARY).iter().any(says) {
        headers.append(VARY, HeaderValue::from_static(name));
    }
}

/// Tokens make a header value.
fn list(names: &[Arc<str>]) -> HeaderValue {
    header(names.iter().map(|name| &**name).collect::<Vec<_>>().join(", "))
}

fn header(value: impl Display) -> HeaderValue {
    HeaderValue::try_from(value.to_string()).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_answer_depends_on_is_said_once() {
        let mut headers = HeaderMap::new();
        headers.append(VARY, HeaderValue::from_static("Accept, ORIGIN"));
        add_vary(&mut headers, "origin");
        assert_eq!(headers.get_all(VARY).iter().count(), 1);
        add_vary(&mut headers, "accept-encoding");
        assert_eq!(headers.get_all(VARY).iter().count(), 2);
        headers.insert(VARY, ANY);
        add_vary(&mut headers, "origin");
        assert_eq!(headers.get_all(VARY).iter().count(), 1);
    }
}
