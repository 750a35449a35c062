//! What the control socket is asked about the gateway: rate limits, API keys, tokens of services and push.

use futures::future::BoxFuture;
use hyper::body::Incoming;
use hyper::{Method, Request, Response};

use weft_core::push::PushStatus;

use super::super::api::{
    Act, ApiKeyEntry, LimitReport, MadeApiKey, MadeServiceToken, NewApiKey, NewServiceToken, OverloadReport, Problem,
};
use super::{Body, Query, body, decoded, json, named, nothing_at, parsed};

/// How many callers of each limit are told of if it is not said.
const DEFAULT_CALLERS: usize = 5;
/// The most that are.
const MAX_CALLERS: usize = 1_000;
/// How many channels and connections of push are told of if it is not said, and the most that are.
const DEFAULT_ENTRIES: usize = 20;
const MAX_ENTRIES: usize = 1_000;

/// What a host can be asked about its gateway.
pub trait GatewayOperations: Send + Sync + 'static {
    /// How all rate limits stand, with so many of the callers that have used most of each.
    fn limits(&self, callers: usize) -> Vec<LimitReport>;
    /// How the adaptive limit on requests that run stands.
    fn overload(&self) -> OverloadReport;
    /// How push stands, with so many channels and connections.
    fn push(&self, entries: usize) -> PushStatus;
    /// All API keys, oldest first. 409 if the application takes none.
    fn api_keys(&self) -> Result<Vec<ApiKeyEntry>, Problem>;
    /// Makes a key. It is kept, and in the audit log, when this answers.
    fn create_api_key(&self, wanted: NewApiKey) -> BoxFuture<'_, Result<MadeApiKey, Problem>>;
    /// Ends a key, at once and for good. 404 if there is no such key.
    fn revoke_api_key(&self, id: String, revoke: Act) -> BoxFuture<'_, Result<ApiKeyEntry, Problem>>;
    /// Makes a token of a service. It is in the audit log when this answers. 409 if the host has no key to sign with.
    fn create_service_token(&self, wanted: NewServiceToken) -> BoxFuture<'_, Result<MadeServiceToken, Problem>>;
    /// Voids the tokens of a service that were made until now. 409 if the application keeps nowhere what is void.
    fn void_service_tokens(&self, service: String, void: Act) -> BoxFuture<'_, Result<(), Problem>>;
}

/// Answers a request for `limits`, `overload`, `push`, or `api-keys` or `service-tokens` and what is below these.
pub(super) async fn route(
    gateway: &dyn GatewayOperations,
    segments: &[&str],
    query: &Query,
    request: Request<Incoming>,
) -> Result<Response<Body>, Problem> {
    match (request.method(), segments) {
        (&Method::GET, ["limits"]) => {
            let callers = query.number("callers")?.unwrap_or(DEFAULT_CALLERS).min(MAX_CALLERS);
            Ok(json(&gateway.limits(callers)))
        }
        (&Method::GET, ["overload"]) => Ok(json(&gateway.overload())),
        (&Method::GET, ["push"]) => {
            let entries = query.number("entries")?.unwrap_or(DEFAULT_ENTRIES).min(MAX_ENTRIES);
            Ok(json(&gateway.push(entries)))
        }
        (&Method::GET, ["api-keys"]) => Ok(json(&gateway.api_keys()?)),
        (&Method::POST, ["api-keys"]) => {
            let wanted: NewApiKey = parsed(&body(request).await?, "API key")?;
            named(&wanted.actor)?;
            Ok(json(&gateway.create_api_key(wanted).await?))
        }
        (&Method::POST, ["api-keys", id, "revoke"]) => {
            let id = decoded(id)?;
            let revoke: Act = parsed(&body(request).await?, "revocation")?;
            named(&revoke.actor)?;
            Ok(json(&gateway.revoke_api_key(id, revoke).await?))
        }
        (&Method::POST, ["service-tokens"]) => {
            let wanted: NewServiceToken = parsed(&body(request).await?, "token")?;
            named(&wanted.actor)?;
            Ok(json(&gateway.create_service_token(wanted).await?))
        }
        (&Method::POST, ["service-tokens", service, "void"]) => {
            let service = decoded(service)?;
            let void: Act = parsed(&body(request).await?, "voiding")?;
            named(&void.actor)?;
            Ok(json(&gateway.void_service_tokens(service, void).await?))
        }
        (method, segments) => Err(nothing_at(method, &format!("/v1/{}", segments.join("/")))),
    }
}
