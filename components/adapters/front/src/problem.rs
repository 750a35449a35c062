//! Errors as RFC 9457 problem documents: those of the gateway that a front can have.

use std::borrow::Cow;

use serde::Serialize;

/// An error answer. Details are written for the client and never hold what a callee or a database said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    name: &'static str,
    title: &'static str,
    pub(crate) status: u16,
    detail: Cow<'static, str>,
    pub(crate) headers: Vec<(&'static str, String)>,
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    instance: &'a str,
    request_id: &'a str,
}

impl Problem {
    fn new(status: u16, name: &'static str, title: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { name, title, status, detail: detail.into(), headers: Vec::new() }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn bad_request(detail: &'static str) -> Self {
        Self::new(400, "bad-request", "Bad request", detail)
    }

    pub(crate) fn method_not_allowed(allow: String) -> Self {
        let detail = "This path does not answer this method; the Allow header lists those it does.";
        Self::new(405, "method-not-allowed", "Method not allowed", detail).with("allow", allow)
    }

    /// No token at all: RFC 6750 asks for a challenge without an error code.
    pub(crate) fn token_missing() -> Self {
        let detail = "This route needs an access token in the Authorization header.";
        Self::new(401, "token-missing", "Unauthorized", detail).with("www-authenticate", "Bearer")
    }

    pub(crate) fn token_invalid(detail: &'static str) -> Self {
        Self::new(401, "token-invalid", "Unauthorized", detail)
            .with("www-authenticate", "Bearer error=\"invalid_token\"")
    }

    pub(crate) fn forbidden(detail: &'static str) -> Self {
        Self::new(403, "forbidden", "Forbidden", detail).with("www-authenticate", "Bearer error=\"insufficient_scope\"")
    }

    pub(crate) fn body_too_large(limit_bytes: u64) -> Self {
        let detail = format!("The request body is larger than {limit_bytes} bytes.");
        Self::new(413, "body-too-large", "Content too large", detail)
    }

    pub(crate) fn uri_too_long(limit_bytes: usize) -> Self {
        let detail = format!("Path and query together are longer than {limit_bytes} bytes.");
        Self::new(414, "uri-too-long", "URI too long", detail)
    }

    pub(crate) fn headers_too_large(detail: String) -> Self {
        Self::new(431, "headers-too-large", "Request header fields too large", detail)
    }

    pub(crate) fn deadline() -> Self {
        let detail = "The function did not answer before its deadline.";
        Self::new(504, "deadline-exceeded", "Gateway timeout", detail)
    }

    pub(crate) fn no_answer() -> Self {
        Self::new(502, "function-trapped", "Bad gateway", "The function stopped without an answer.")
    }

    pub(crate) fn unavailable() -> Self {
        let detail = "The function is not available. Try again.";
        Self::new(503, "unavailable", "Service unavailable", detail).with("retry-after", "1")
    }

    /// The document. `instance` is the request's path without its query, which may hold secrets.
    pub(crate) fn document(&self, instance: &str, request_id: &str) -> Vec<u8> {
        let document = Document {
            r#type: format!("urn:weft:problem:{}", self.name),
            title: self.title,
            status: self.status,
            detail: &self.detail,
            instance,
            request_id,
        };
        // Strings and a number always serialise.
        serde_json::to_vec(&document).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_path_and_request() {
        let document = Problem::token_missing().document("/a\"b", "r1");
        let json: serde_json::Value = serde_json::from_slice(&document).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "type": "urn:weft:problem:token-missing", "title": "Unauthorized", "status": 401,
                "detail": "This route needs an access token in the Authorization header.",
                "instance": "/a\"b", "request_id": "r1",
            })
        );
    }
}
