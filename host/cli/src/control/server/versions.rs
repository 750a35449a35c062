//! What the control socket is asked about versions of components.

use futures::future::BoxFuture;
use hyper::body::Incoming;
use hyper::{Method, Request, Response};

use super::super::api::{DeployVersion, OrderVersion, Problem, VersionEntry};
use super::{Body, body, decoded, json, named, nothing_at, parsed};

/// What a host can be asked about versions.
pub trait VersionOperations: Send + Sync + 'static {
    /// The versions of all components that have several.
    fn list(&self) -> BoxFuture<'_, Result<Vec<VersionEntry>, Problem>>;
    /// Puts a version beside the manifest's. It is kept, and in the audit log, when this answers. 404 if there is no such component
    /// or file, 409 if it cannot stand beside the other.
    fn deploy(&self, deploy: DeployVersion) -> BoxFuture<'_, Result<VersionEntry, Problem>>;
    /// Does something to a version. It is kept, and in the audit log, when this answers. 404 if there is none, 409 if it cannot be done.
    fn order(&self, component: String, order: OrderVersion) -> BoxFuture<'_, Result<Vec<VersionEntry>, Problem>>;
}

/// Answers a request for a path below `/v1/versions`; `rest` is what follows that.
pub(super) async fn route(
    versions: &dyn VersionOperations,
    rest: &[&str],
    request: Request<Incoming>,
) -> Result<Response<Body>, Problem> {
    match (request.method(), rest) {
        (&Method::GET, []) => Ok(json(&versions.list().await?)),
        (&Method::POST, []) => {
            let deploy: DeployVersion = parsed(&body(request).await?, "version")?;
            named(&deploy.actor)?;
            Ok(json(&versions.deploy(deploy).await?))
        }
        (&Method::POST, [component]) => {
            let component = decoded(component)?;
            let order: OrderVersion = parsed(&body(request).await?, "order")?;
            named(&order.actor)?;
            Ok(json(&versions.order(component, order).await?))
        }
        (method, rest) => Err(nothing_at(method, &format!("/v1/versions/{}", rest.join("/")))),
    }
}
