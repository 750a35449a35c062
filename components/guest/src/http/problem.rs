//! Errors of the HTTP API as `application/problem+json` (RFC 9457). Owns the names of the problems common to all
//! functions; the names of domain problems stand with their functions.

use serde::Serialize;

use super::Response;
use crate::failure::{Failure, Fallible};
use crate::sql;

/// What is wrong with one field.
#[derive(Clone, Debug, Serialize)]
pub struct FieldError {
    /// Path of the field, such as `payment.token`.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

/// An error answer.
#[derive(Clone, Debug)]
pub struct Problem {
    status: u16,
    name: &'static str,
    title: &'static str,
    detail: Option<String>,
    errors: Vec<FieldError>,
    headers: Vec<(String, String)>,
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'a str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
}

impl Problem {
    /// A problem of type `urn:weft:problem:<name>`.
    pub fn new(status: u16, name: &'static str, title: &'static str) -> Self {
        Self { status, name, title, detail: None, errors: Vec::new(), headers: Vec::new() }
    }

    /// Says what happened in this case.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Names a field at fault.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>, message: impl Into<String>) -> Self {
        self.errors.push(FieldError { field: field.into(), message: message.into() });
        self
    }

    /// Adds a header, such as `Retry-After`.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_string(), value.into()));
        self
    }

    /// 422 for one field.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(422, "invalid-field", "A field is not valid").field(field, message)
    }

    /// 401: nobody is signed in.
    pub fn unauthorized() -> Self {
        Self::new(401, "unauthorized", "Sign in first").header("www-authenticate", "Bearer")
    }

    /// 403: the user may not do this.
    pub fn forbidden() -> Self {
        Self::new(403, "forbidden", "You may not do this")
    }

    /// 404: `what` does not exist, or not for this user.
    pub fn not_found(what: &str) -> Self {
        Self::new(404, "not-found", "Not found").detail(format!("There is no such {what}."))
    }

    /// 409 with a name of its own.
    pub fn conflict(name: &'static str, title: &'static str) -> Self {
        Self::new(409, name, title)
    }

    /// 503 with Retry-After: a callee or the database did not answer.
    pub fn unavailable(failure: &Failure) -> Self {
        // What happened is for the log; a client can only wait.
        eprintln!("unavailable: {}", failure.message);
        let seconds = failure.retry_after_ms.unwrap_or(1000).div_ceil(1000);
        Self::new(503, "unavailable", "A part of the service does not answer now")
            .header("retry-after", seconds.to_string())
    }

    /// 500: a defect of ours. The error goes to the log, not to the client.
    pub fn internal(error: &dyn core::fmt::Display) -> Self {
        eprintln!("internal error: {error}");
        Self::new(500, "internal", "Something went wrong on our side")
    }

    /// The status code.
    pub fn status(&self) -> u16 {
        self.status
    }

    pub(super) fn into_response(self, request_id: Option<String>) -> Response {
        let kind = format!("urn:weft:problem:{}", self.name);
        let Self { status, title, detail, errors, headers, .. } = self;
        let body = Body { kind, title, status, detail: detail.as_deref(), errors: &errors, request_id };
        // Texts and numbers alone: this cannot fail.
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = Response { status, headers, body };
        response.headers.push(("content-type".into(), "application/problem+json".into()));
        response
    }
}

impl Fallible for Problem {
    fn failure(&self) -> Option<&Failure> {
        None
    }

    fn from_failure(failure: Failure) -> Self {
        failure.into()
    }

    fn key_reused() -> Self {
        Self::new(422, "idempotency-key-reused", "The idempotency key belongs to another request")
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        if failure.is_key_reused() { Self::key_reused() } else { Self::unavailable(&failure) }
    }
}

impl From<sql::Error> for Problem {
    fn from(error: sql::Error) -> Self {
        match error {
            sql::Error::Unavailable(_) => Self::unavailable(&error.into()),
            other => Self::internal(&sql::describe(&other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Problem;
    use crate::Failure;

    #[test]
    fn a_key_that_a_callee_knows_with_another_input_is_the_clients_mistake() {
        assert_eq!(Problem::from(Failure::key_reused()).status(), 422);
        assert_eq!(Problem::from(Failure::not_attempted("busy")).status(), 503);
    }

    #[test]
    fn a_problem_names_its_fields_and_its_request() {
        let response = Problem::invalid("payment.token", "is missing").into_response(Some("r1".into()));
        assert_eq!(response.status, 422);
        let body: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
        assert_eq!(body["type"], "urn:weft:problem:invalid-field");
        assert_eq!(body["errors"][0]["field"], "payment.token");
        assert_eq!(body["request_id"], "r1");
        assert!(body.get("detail").is_none());
    }
}
