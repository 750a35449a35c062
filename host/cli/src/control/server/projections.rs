//! What the control socket is asked about projections: how they stand, and orders.

use futures::future::BoxFuture;
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};

use super::super::api::{Problem, ProjectionEntry, ProjectionOrder};
use super::{Body, body, decoded, json, named, nothing_at, parsed, problem};

/// What a host can be asked about its projections.
pub trait ProjectionOperations: Send + Sync + 'static {
    /// How all of them stand, by id.
    fn list(&self) -> BoxFuture<'_, Result<Vec<ProjectionEntry>, Problem>>;
    /// Does something to one: `pause`, `resume`, `rebuild` or `abandon`. It is durable, and in the audit log, when this answers. 404
    /// if there is no such projection or order.
    fn order(
        &self,
        id: String,
        order: String,
        ordered: ProjectionOrder,
    ) -> BoxFuture<'_, Result<ProjectionEntry, Problem>>;
}

/// Answers a request for a path below `/v1/projections`; `rest` is empty or begins with a slash.
pub(super) async fn route(
    projections: &dyn ProjectionOperations,
    rest: &str,
    request: Request<Incoming>,
) -> Result<Response<Body>, Problem> {
    let segments: Vec<&str> = rest.split('/').skip(1).collect();
    match (request.method(), segments.as_slice()) {
        (&Method::GET, []) => Ok(json(&projections.list().await?)),
        (&Method::POST, [id, order]) => {
            let (id, order) = (decoded(id)?, decoded(order)?);
            if !["pause", "resume", "rebuild", "abandon"].contains(&order.as_str()) {
                let text = format!("there is no order {order:?}; there are pause, resume, rebuild and abandon");
                return Err(problem(StatusCode::NOT_FOUND, text));
            }
            let ordered: ProjectionOrder = parsed(&body(request).await?, &order)?;
            named(&ordered.actor)?;
            Ok(json(&projections.order(id, order, ordered).await?))
        }
        (method, _) => Err(nothing_at(method, &format!("/v1/projections{rest}"))),
    }
}
