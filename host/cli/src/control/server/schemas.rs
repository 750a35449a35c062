//! What the control socket is asked about schemas.

use futures::future::BoxFuture;
use hyper::body::Incoming;
use hyper::{Method, Request, Response};

use super::super::api::{Deprecate, Problem, RegisterSchema, SchemaEntry, SetMode};
use super::{Body, bad, body, json, named, nothing_at, parsed};

/// What a host can be asked about schemas. Problems are 404 if there is no such type or version, 409 if the rules refuse.
pub trait SchemaOperations: Send + Sync + 'static {
    /// All types.
    fn list(&self) -> Vec<SchemaEntry>;
    /// A version as it was written.
    ///
    /// # Errors
    /// If there is none.
    fn schema(&self, kind: &str, version: u32) -> Result<serde_json::Value, Problem>;
    /// The AsyncAPI 3.0 document of the application.
    fn asyncapi(&self) -> serde_json::Value;
    /// Registers the next version of a type; durable, and in the audit log, when this answers, as the others.
    fn register(&self, register: RegisterSchema) -> BoxFuture<'_, Result<SchemaEntry, Problem>>;
    /// Sets a mode.
    fn set_mode(&self, set: SetMode) -> BoxFuture<'_, Result<SchemaEntry, Problem>>;
    /// Deprecates a field or a type.
    fn deprecate(&self, deprecate: Deprecate) -> BoxFuture<'_, Result<SchemaEntry, Problem>>;
}

/// Answers a request for a path below `/v1/schemas`, and for `/v1/asyncapi`.
pub(super) async fn route(
    schemas: &dyn SchemaOperations,
    path: &[&str],
    request: Request<Incoming>,
) -> Result<Response<Body>, Problem> {
    let (is_get, is_post) = (request.method() == Method::GET, request.method() == Method::POST);
    match path {
        ["asyncapi"] if is_get => Ok(json(&schemas.asyncapi())),
        ["schemas"] if is_get => Ok(json(&schemas.list())),
        ["schemas", kind, version] if is_get => {
            let version = version.parse().map_err(|_| bad(format!("a version is a number, not {version:?}")))?;
            Ok(json(&schemas.schema(kind, version)?))
        }
        ["schemas", "register"] if is_post => {
            let order: RegisterSchema = parsed(&body(request).await?, "registration")?;
            named(&order.actor)?;
            Ok(json(&schemas.register(order).await?))
        }
        ["schemas", "mode"] if is_post => {
            let order: SetMode = parsed(&body(request).await?, "mode")?;
            named(&order.actor)?;
            Ok(json(&schemas.set_mode(order).await?))
        }
        ["schemas", "deprecate"] if is_post => {
            let order: Deprecate = parsed(&body(request).await?, "deprecation")?;
            named(&order.actor)?;
            Ok(json(&schemas.deprecate(order).await?))
        }
        _ => Err(nothing_at(request.method(), request.uri().path())),
    }
}
