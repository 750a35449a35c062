//! What the control socket is asked about the mesh: policies, breakers, and faults on purpose.

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};

use weft_mesh::BreakerOrder;

use super::super::api::{Act, AddFault, BreakerChange, BreakerEntry, Cleared, FaultEntry, PolicyEntry, Problem};
use super::{Body, bad, body, decoded, json, lines, named, nothing_at, parsed, problem};

/// What a host can be asked about its mesh.
pub trait MeshOperations: Send + Sync + 'static {
    /// All components and services that are called, by name.
    fn breakers(&self) -> Vec<BreakerEntry>;
    /// The policy on all of them, by name, and how each stands.
    fn policies(&self) -> Vec<PolicyEntry>;
    /// What breakers do from now on. A reader that is too slow misses some.
    fn breaker_changes(&self) -> BoxStream<'static, BreakerChange>;
    /// Does something to a breaker. It is in the audit log when this answers. 404 if there is no such component, 409 if it has no
    /// breaker.
    fn order_breaker(&self, component: String, order: BreakerOrder, act: Act) -> BoxFuture<'_, Result<(), Problem>>;
    /// The faults that the manifest declares, then those by hand.
    fn faults(&self) -> Vec<FaultEntry>;
    /// Makes calls fail on purpose. 400 if the fault makes no sense, 409 if there are too many.
    fn add_fault(&self, add: AddFault) -> BoxFuture<'_, Result<(), Problem>>;
    /// Takes away the faults by hand.
    fn clear_faults(&self, act: Act) -> BoxFuture<'_, Result<Cleared, Problem>>;
}

/// Answers a request for a path below `/v1`, which begins with `mesh`, `breakers` or `faults`.
pub(super) async fn route(
    mesh: &dyn MeshOperations,
    segments: &[&str],
    request: Request<Incoming>,
) -> Result<Response<Body>, Problem> {
    match (request.method(), segments) {
        (&Method::GET, ["mesh"]) => Ok(json(&mesh.policies())),
        (&Method::GET, ["breakers"]) => Ok(json(&mesh.breakers())),
        (&Method::GET, ["breakers", "watch"]) => Ok(lines(mesh.breaker_changes())),
        (&Method::POST, ["breakers", component, order]) => {
            let component = decoded(component)?;
            let order = match *order {
                "open" => BreakerOrder::Open,
                "close" => BreakerOrder::Close,
                "reset" => BreakerOrder::Reset,
                other => {
                    let text = format!("there is no order {other:?}; there are open, close and reset");
                    return Err(problem(StatusCode::NOT_FOUND, text));
                }
            };
            let act: Act = parsed(&body(request).await?, "order")?;
            named(&act.actor)?;
            Ok(json(&mesh.order_breaker(component, order, act).await?))
        }
        (&Method::GET, ["faults"]) => Ok(json(&mesh.faults())),
        (&Method::POST, ["faults"]) => {
            let add: AddFault = parsed(&body(request).await?, "fault")?;
            named(&add.actor)?;
            add.fault.rule().map_err(bad)?;
            Ok(json(&mesh.add_fault(add).await?))
        }
        (&Method::DELETE, ["faults"]) => {
            let act: Act = parsed(&body(request).await?, "order")?;
            named(&act.actor)?;
            Ok(json(&mesh.clear_faults(act).await?))
        }
        (method, segments) => Err(nothing_at(method, &format!("/v1/{}", segments.join("/")))),
    }
}
