//! HTTP that the host answers for the application: from a component to another (`<component>.spin.internal`), through the mesh's
//! bulkhead to the engine; to the application itself, by its own listener; and to external services (`<service>.weft.internal`), which
//! [`ExternalServices`] see to.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use http::uri::{Authority, Scheme};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;
use weft_capability::outbound::glue::{self, Answered};
use weft_core::manifest::{HttpTrigger, Manifest};
use weft_core::{CallContext, Generation, Outcome, Reason};
use weft_engine::{Engine, FunctionBody, FunctionBodyError, Value};
use weft_gateway::Problem;
use weft_mesh::{Asked, Mesh};

use crate::services::ExternalServices;

/// The components that have a trigger, private ones included.
type Triggered = BTreeSet<Arc<str>>;

/// Serves requests of the application's own components.
pub struct Inside {
    engine: Engine,
    mesh: Mesh<Value>,
    services: ExternalServices,
    served: ArcSwap<Triggered>,
    origin: OnceLock<SocketAddr>,
    client: Client<HttpConnector, FunctionBody>,
    runtime: Handle,
}

impl Inside {
    /// In the runtime that this is called in, over the functions of `engine`, under the policies of `mesh`; no component
    /// is served yet.
    #[must_use]
    pub fn new(engine: Engine, mesh: Mesh<Value>, services: ExternalServices) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        let (served, origin, runtime) = (ArcSwap::default(), OnceLock::new(), Handle::current());
        Self { engine, mesh, services, served, origin, client, runtime }
    }

    /// The components that the manifest's triggers name, to be served. A part of a [`Generation`].
    #[must_use]
    pub fn triggered(manifest: &Manifest) -> Arc<Triggered> {
        let served = manifest.triggers.iter().filter_map(HttpTrigger::component).map(|id| id.value.clone());
        Arc::new(served.collect())
    }

    /// Makes these the ones that are served.
    pub fn serve(&self, triggered: Arc<Triggered>) {
        self.served.store(triggered);
    }

    fn find(&self, generation: Option<&Generation>, component: &str) -> Option<Arc<str>> {
        match generation.and_then(Generation::triggered::<Triggered>) {
            Some(triggered) => triggered.get(component).cloned(),
            None => self.served.load().get(component).cloned(),
        }
    }

    /// Says where the application listens.
    pub fn listens(&self, address: SocketAddr) {
        let ip = match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        // One process has one listener.
        let _ = self.origin.set(SocketAddr::new(ip, address.port()));
    }
}

impl glue::Inside for Inside {
    fn to_component(&self, component: &str, request: Request<FunctionBody>, context: CallContext) -> Answered {
        let Some(id) = self.find(context.generation.as_ref(), component) else {
            tracing::warn!(%component, "a component was asked for by HTTP that no trigger has");
            return Box::pin(std::future::ready(Err(FunctionBodyError::DestinationNotFound)));
        };
        let (engine, mesh) = (self.engine.clone(), self.mesh.clone());
        let (mut head, body) = request.into_parts();
        weft_gateway::chained(&mut head);
        Box::pin(async move {
            let served = async {
                let (origin, trace) = (context.origin.as_deref(), context.trace.as_ref());
                let user = origin.and_then(|origin| origin.user.as_deref()).or(trace.map(|trace| &*trace.trace_id));
                let header = |name: &str| {
                    let carried = || origin?.headers.iter().find(|(of, _)| &**of == name).map(|(_, value)| &**value);
                    head.headers.get(name).and_then(|value| value.to_str().ok()).or_else(carried)
                };
                let (caller, method) = (context.caller.as_deref(), head.method.as_str());
                let (mirrored, generation) = (context.mirrored, context.generation.as_ref());
                let asked = Asked { caller, method, user, header: &header, mirrored, generation };
                let (place, passage) = mesh.admit(&id, context.deadline, &asked).await?;
                let request = Request::from_parts(head, body);
                let response = engine.serve(passage.function(), request, context, place).await;
                passage.tell(&response, |response| response.status().is_server_error());
                response
            };
            served.await.or_else(|failure| {
                tracing::warn!(component = %id, %failure, "a function failed");
                // As if it were not granted.
                if failure.reason == Reason::Denied && failure.outcome == Outcome::NotAttempted {
                    return Err(FunctionBodyError::HttpRequestDenied);
                }
                // The caller sees the status alone, as it would see that of any host.
                let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
                *response.status_mut() = Problem::from(failure).status();
                Ok(response)
            })
        })
    }

    fn to_service(&self, service: &str, request: Request<FunctionBody>, context: CallContext) -> Answered {
        self.services.request(service, request, context)
    }

    fn to_itself(&self, mut request: Request<FunctionBody>) -> Answered {
        let refused = |error| -> Answered { Box::pin(std::future::ready(Err(error))) };
        let Some(origin) = self.origin.get() else { return refused(FunctionBodyError::HttpRequestUriInvalid) };
        let Some(uri) = at(*origin, request.uri()) else { return refused(FunctionBodyError::HttpRequestUriInvalid) };
        *request.uri_mut() = uri;
        request.headers_mut().remove(http::header::HOST);
        // Connections are shared: they belong where all functions are, wherever the one that asks runs.
        let sent = self.runtime.spawn(self.client.request(request));
        let sent = AbortOnDropHandle::new(sent);
        Box::pin(async move {
            let sent = sent.await.map_err(|_| FunctionBodyError::ConnectionTerminated)?;
            let response = sent.map_err(|error| {
                let refused = error.is_connect();
                tracing::warn!(%error, "the application did not answer a component of its own");
                if refused { FunctionBodyError::ConnectionRefused } else { FunctionBodyError::ConnectionTerminated }
            })?;
            Ok(response.map(|body| body.map_err(|_| FunctionBodyError::ConnectionTerminated).boxed_unsync()))
        })
    }
}

/// The same path and query at an address.
fn at(address: SocketAddr, uri: &Uri) -> Option<Uri> {
    let authority = Authority::try_from(address.to_string()).ok()?;
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    Uri::builder().scheme(Scheme::HTTP).authority(authority).path_and_query(target).build().ok()
}
