//! What many operations share: the problems that the gateway itself answers with, the headers of its answers, and the ways
//! in which a caller can be known.

use serde_json::{Map, Value, json};
use weft_core::manifest::Manifest;

use super::push;

/// A problem of the gateway.
#[derive(Clone, Copy)]
pub(super) struct Shared {
    pub status: u16,
    /// What the answer is called among the document's components.
    pub name: &'static str,
    pub description: &'static str,
    /// The last words of the problems' types.
    pub types: &'static [&'static str],
}

const fn shared(status: u16, name: &'static str, description: &'static str, types: &'static [&'static str]) -> Shared {
    Shared { status, name, description, types }
}

/// All of them, by status.
pub(super) const PROBLEMS: [Shared; 14] = [
    shared(
        400,
        "bad-request",
        "The request cannot be read in one way only.",
        &["bad-request", "two-credentials", "malformed-json"],
    ),
    shared(
        401,
        "unauthorized",
        "What the request shows makes nobody known.",
        &["token-missing", "token-invalid", "api-key-invalid"],
    ),
    shared(403, "forbidden", "The caller may not use this.", &["forbidden"]),
    shared(408, "request-timeout", "The body did not arrive in time.", &["request-timeout"]),
    shared(413, "body-too-large", "The body is too large.", &["body-too-large"]),
    shared(414, "uri-too-long", "Path and query are too long.", &["uri-too-long"]),
    shared(415, "encoded-json", "The body is encoded, and has to be read here.", &["encoded-json"]),
    shared(422, "invalid-body", "The body is not what the schema says.", &["invalid-body"]),
    shared(429, "rate-limited", "A rate limit is used up.", &["rate-limited"]),
    shared(431, "headers-too-large", "There are too many headers, or they are too large.", &["headers-too-large"]),
    shared(500, "internal", "Something went wrong on our side.", &["internal"]),
    shared(
        502,
        "failed",
        "The function gave no answer.",
        &["function-trapped", "cpu-limit-exceeded", "resource-limit-exceeded", "denied", "answer-unchangeable"],
    ),
    shared(
        503,
        "unavailable",
        "Not now; `Retry-After` says when to try again.",
        &["overloaded", "unavailable", "shutting-down", "cancelled"],
    ),
    shared(504, "deadline-exceeded", "The function did not answer in time.", &["deadline-exceeded"]),
];

/// Headers of every answer, as they are called among the document's components.
pub(super) const ALWAYS: [(&str, &str); 1] = [("X-Request-Id", "request-id")];
/// Headers of answers that a rate limit holds for.
pub(super) const LIMITED: [(&str, &str); 5] = [
    ("X-RateLimit-Limit", "rate-limit-limit"),
    ("X-RateLimit-Remaining", "rate-limit-remaining"),
    ("X-RateLimit-Reset", "rate-limit-reset"),
    ("RateLimit", "rate-limit"),
    ("RateLimit-Policy", "rate-limit-policy"),
];
const RETRY: [(&str, &str); 1] = [("Retry-After", "retry-after")];
const SOCKET_VERSION: [(&str, &str); 1] = [("Sec-WebSocket-Version", "websocket-version")];
const CHALLENGE: [(&str, &str); 1] = [("WWW-Authenticate", "challenge")];

/// The names of the ways to be known.
pub(super) const BEARER: &str = "bearerAuth";
pub(super) const API_KEY: &str = "apiKeyAuth";
/// And to open a connection of push.
pub(super) const TICKET: &str = "ticketAuth";

/// The document's `components`.
pub(super) fn components(manifest: &Manifest) -> Value {
    let mut schemas = Map::from_iter([("Problem".to_owned(), problem_schema())]);
    if manifest.gateway.push.is_some() {
        schemas.extend(push::schemas());
    }
    let own = manifest.gateway.openapi.iter().flat_map(|openapi| &openapi.schemas);
    schemas.extend(own.map(|(name, schema)| (name.to_string(), schema.clone())));
    let responses =
        PROBLEMS.iter().map(|one| (one.name.to_owned(), problem(one.description, one.types, &of_status(one.status))));
    let mut components = json!({
        "schemas": schemas,
        "responses": responses.collect::<Map<_, _>>(),
        "headers": headers(),
    });
    let schemes = security_schemes(manifest);
    if let (false, Some(components)) = (schemes.is_empty(), components.as_object_mut()) {
        components.insert("securitySchemes".to_owned(), Value::Object(schemes));
    }
    components
}

/// An answer that is a problem.
pub(super) fn problem(description: &str, types: &[&str], headers: &[(&str, &str)]) -> Value {
    let kinds: Vec<String> = types.iter().map(|name| format!("urn:weft:problem:{name}")).collect();
    json!({
        "description": description,
        "headers": references(headers),
        "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
        "x-problem-types": kinds,
    })
}

/// The headers of a problem with this status.
pub(super) fn of_status(status: u16) -> Vec<(&'static str, &'static str)> {
    let more: &[_] = match status {
        401 | 403 => &CHALLENGE,
        426 => &SOCKET_VERSION,
        429 | 503 => &RETRY,
        _ => &[],
    };
    let limits: &[_] = if status == 429 { &LIMITED } else { &[] };
    ALWAYS.iter().chain(more).chain(limits).copied().collect()
}

/// Headers by their names in an answer.
pub(super) fn references(headers: &[(&str, &str)]) -> Map<String, Value> {
    let reference = |name: &str| json!({ "$ref": format!("#/components/headers/{name}") });
    headers.iter().map(|(header, name)| ((*header).to_owned(), reference(name))).collect()
}

fn headers() -> Value {
    let whole = json!({ "type": "integer", "minimum": 0 });
    let text = json!({ "type": "string" });
    let header = |description: &str, schema: &Value| json!({ "description": description, "schema": schema });
    json!({
        "request-id": header("Names this request in logs and in reports of trouble.", &text),
        "retry-after": header("Seconds until it makes sense to try again.", &whole),
        "challenge": header("How to become known (RFC 9110 section 11.6.1, RFC 6750).", &text),
        "websocket-version": header("The version of WebSocket that is served.", &text),
        "rate-limit-limit": header("How many requests the limit with fewest left allows.", &whole),
        "rate-limit-remaining": header("How many of them are left.", &whole),
        "rate-limit-reset": header("When there are more again, in seconds since the Unix epoch.", &whole),
        "rate-limit": header("The same as draft-ietf-httpapi-ratelimit-headers has it.", &text),
        "rate-limit-policy": header("The limit itself, as that draft has it.", &text),
    })
}

fn security_schemes(manifest: &Manifest) -> Map<String, Value> {
    let Some(auth) = &manifest.auth else { return Map::new() };
    let bearer = json!({ "type": "http", "scheme": "bearer", "bearerFormat": "JWT" });
    let mut schemes = Map::from_iter([(BEARER.to_owned(), bearer)]);
    if auth.api_keys {
        schemes.insert(API_KEY.to_owned(), json!({ "type": "apiKey", "in": "header", "name": "X-API-Key" }));
    }
    if manifest.gateway.push.is_some() {
        schemes.insert(TICKET.to_owned(), json!({ "type": "apiKey", "in": "query", "name": "ticket" }));
    }
    schemes
}

/// RFC 9457, with what we add.
fn problem_schema() -> Value {
    let text = json!({ "type": "string" });
    json!({
        "type": "object",
        "description": "What went wrong (RFC 9457).",
        "required": ["type", "title", "status", "request_id"],
        "properties": {
            "type": { "type": "string", "description": "The kind of problem: `urn:weft:problem:` and its name." },
            "title": text,
            "status": { "type": "integer", "minimum": 400, "maximum": 599 },
            "detail": text,
            "instance": text,
            "request_id": { "type": "string", "description": "That of the header X-Request-Id." },
            "errors": {
                "type": "array",
                "description": "The fields of the request that are wrong.",
                "items": {
                    "type": "object",
                    "required": ["field", "message"],
                    "properties": { "field": text, "pointer": text, "message": text },
                },
            },
            "violated-policies": {
                "type": "array",
                "description": "The rate limits that are used up.",
                "items": text,
            },
        },
    })
}
