//! What the control socket is asked about the registry. Whoever watches asks again with the index of the last answer, and is answered when
//! something has changed since.

use std::time::Duration;

use futures::future::BoxFuture;
use hyper::body::Incoming;
use hyper::{Method, Request, Response};

use weft_mesh::InstanceFilter;

use super::super::api::{Act, InstanceEntry, Problem, RegisterInstance, ServiceDetail, ServiceList};
use super::{Body, MAX_CALL_MS, Query, bad, body, decoded, json, named, nothing_at, parsed};

/// How long a change is waited for if it is not said, in milliseconds.
const DEFAULT_WAIT_MS: u64 = 60_000;

/// What is waited for before the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Since {
    /// A change after this index.
    pub index: u64,
    /// For so long at most.
    pub wait: Duration,
}

/// What a host can be asked about the registry.
pub trait ServiceOperations: Send + Sync + 'static {
    /// All services and functions, once something has changed.
    fn list(&self, since: Option<Since>) -> BoxFuture<'_, Result<ServiceList, Problem>>;
    /// One of them with those of its instances that fit, once something of it has changed. 404 if there is none.
    fn discover(
        &self,
        name: String,
        filter: InstanceFilter,
        since: Option<Since>,
    ) -> BoxFuture<'_, Result<ServiceDetail, Problem>>;
    /// Registers an instance. It is kept, and in the audit log, when this answers. 404 if there is no such service, 409 if it may not be
    /// registered, 400 if it makes no sense.
    fn register(&self, name: String, register: RegisterInstance) -> BoxFuture<'_, Result<InstanceEntry, Problem>>;
    /// Takes a registered instance out. As [`Self::register`].
    fn deregister(&self, name: String, id: String, act: Act) -> BoxFuture<'_, Result<(), Problem>>;
    /// Says that a registered instance is there still. 404 if it is not, 409 if it needs no renewal.
    fn renew(&self, name: String, id: String) -> BoxFuture<'_, Result<(), Problem>>;
}

/// Answers a request for `services` and what is below it.
pub(super) async fn route(
    services: &dyn ServiceOperations,
    segments: &[&str],
    query: &Query,
    request: Request<Incoming>,
) -> Result<Response<Body>, Problem> {
    match (request.method(), segments) {
        (&Method::GET, []) => Ok(json(&services.list(since(query)?).await?)),
        (&Method::GET, [name]) => {
            let healthy = match query.get("healthy") {
                None | Some("false") => false,
                Some("true") => true,
                Some(other) => return Err(bad(format!("healthy is true or false, not {other:?}"))),
            };
            let version = query.get("version").map(str::to_owned);
            let filter = InstanceFilter { version, tags: query.all("tag").map(str::to_owned).collect(), healthy };
            Ok(json(&services.discover(decoded(name)?, filter, since(query)?).await?))
        }
        (&Method::POST, [name, "instances"]) => {
            let name = decoded(name)?;
            let register: RegisterInstance = parsed(&body(request).await?, "instance")?;
            named(&register.actor)?;
            register.instance().map_err(bad)?;
            Ok(json(&services.register(name, register).await?))
        }
        (&Method::DELETE, [name, "instances", id]) => {
            let (name, id) = (decoded(name)?, decoded(id)?);
            let act: Act = parsed(&body(request).await?, "order")?;
            named(&act.actor)?;
            Ok(json(&services.deregister(name, id, act).await?))
        }
        (&Method::POST, [name, "instances", id, "renew"]) => {
            Ok(json(&services.renew(decoded(name)?, decoded(id)?).await?))
        }
        (method, segments) => Err(nothing_at(method, &format!("/v1/services/{}", segments.join("/")))),
    }
}

fn since(query: &Query) -> Result<Option<Since>, Problem> {
    let wait_ms = query.number("wait_ms")?.unwrap_or(DEFAULT_WAIT_MS);
    if wait_ms > MAX_CALL_MS {
        return Err(bad(format!("wait_ms is {wait_ms}; it may be {MAX_CALL_MS}")));
    }
    let index = query.number("index")?;
    Ok(index.map(|index| Since { index, wait: Duration::from_millis(wait_ms) }))
}
