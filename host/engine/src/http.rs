//! HTTP requests to functions, WASI 0.3 (`wasi:http/handler`) and 0.2 (`wasi:http/incoming-handler`), over
//! wasmtime's `ProxyHandler`: a fresh instance for each request, or one that serves several by choice. `ProxyHandler`
//! has no bound of its own; the mesh's bulkhead stands before it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::sync::oneshot;
use wasmtime::component::{Component, GuestTaskId, InstancePre};
use wasmtime::{Store, StoreContextMut};
use wasmtime_wasi_http::handler::{
    ExpirationError, HandlerState, Instance, InstantiationError, ProxyHandler, ProxyPre, ShouldAccept, WorkerState,
};
use wasmtime_wasi_http::{Error, WasiBody, WasiHttpView};
use wasmtime_wasi_http::{p2, p3};

use weft_core::{CallContext, Clock, Failure, Fault, Reason};

use crate::background::{Pace, is_at_the_side};
use crate::engine::Engine;
use crate::function::Function;
use crate::life::{Expiration, Life};
use crate::limits;
use crate::spec::ReuseSpec;
use crate::state::StoreData;
use crate::trap;

/// Which `wasi:http` a component exports.
pub(crate) fn proxy(component: &Component, pre: &InstancePre<StoreData>) -> wasmtime::Result<Option<HttpEntry>> {
    let exports = |name: &str| component.get_export(None, name).is_some();
    let proxy = if exports("wasi:http/handler@0.3.0") {
        Arc::new(ProxyPre::P3(p3::bindings::ServicePre::new(pre.clone())?))
    } else if component
        .component_type()
        .exports(component.engine())
        .any(|(name, _)| name.starts_with("wasi:http/incoming-handler@0.2"))
    {
        Arc::new(ProxyPre::P2(p2::bindings::ProxyPre::new(pre.clone())?))
    } else {
        return Ok(None);
    };
    Ok(Some(HttpEntry { proxy, handler: Mutex::default(), mirrored: Mutex::default() }))
}

/// The HTTP side of a function. A handler is made at the first request. What a mirrored request may not do is a matter of the instance,
/// so these have instances of their own.
pub(crate) struct HttpEntry {
    proxy: Arc<ProxyPre<StoreData>>,
    handler: Mutex<Option<ProxyHandler<Handler>>>,
    mirrored: Mutex<Option<ProxyHandler<Handler>>>,
}

impl HttpEntry {
    fn handler(&self, function: &Arc<Function>, mirrored: bool) -> ProxyHandler<Handler> {
        let slot = if mirrored { &self.mirrored } else { &self.handler };
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        slot.get_or_insert_with(|| {
            ProxyHandler::new(Handler { function: Arc::downgrade(function), proxy: self.proxy.clone(), mirrored })
        })
        .clone()
    }
}

impl Engine {
    /// Serves one request by a function.
    ///
    /// `place` is what the request occupies in the host (a permit). It is dropped when the function has done with the
    /// request, which may be later than its client is gone.
    ///
    /// # Errors
    /// [`Failure`] if there is no response: no such function, no room, a trap, a limit, the deadline of `context`.
    /// What happens after the response's head is an error of its body.
    pub async fn serve(
        &self,
        component: &str,
        request: http::Request<WasiBody>,
        context: CallContext,
        place: impl Send + Sync + 'static,
    ) -> Result<http::Response<WasiBody>, Failure> {
        let function = self.function_of(context.generation.as_ref(), component).ok_or_else(|| {
            let message = format!("there is no component {component}");
            Failure::not_attempted(Fault::Host, Reason::Unavailable, message)
        })?;
        let Some(entry) = &function.http else {
            let message = format!("component {component} does not serve HTTP");
            return Err(Failure::not_attempted(Fault::Host, Reason::Unavailable, message));
        };
        let (failed, failure) = oneshot::channel();
        let place: Place = Arc::new(place);
        let handler = entry.handler(&function, context.mirrored);
        let served = Served { context, failed, place: place.clone() };
        let serving = handler.handle(served, request);
        let shared = &function.shared;
        match function.pace.placed(&*shared.clock, &shared.background, serving).await {
            Ok(response) => Ok(response.map(|body| AnswerBody { body, failure, _place: place }.boxed_unsync())),
            Err(error) => Err(classify(component, error, failure).await),
        }
    }
}

async fn classify(component: &str, error: wasmtime::Error, failure: oneshot::Receiver<Failure>) -> Failure {
    if let Some(error) = error.downcast_ref::<InstantiationError<Served>>() {
        // The store is gone, and what its limits remember: the error itself says which of them was passed.
        return trap::not_begun(component, &error.error, None);
    }
    if error.is::<ExpirationError>() {
        return Failure::unknown(Fault::Guest, Reason::Deadline, format!("function {component} took too long"));
    }
    // The instance is gone; whoever cleaned it up knows why. The function may also have answered with an error.
    match failure.await {
        Ok(failure) => failure,
        Err(_) => trap::classify(component, &error, None),
    }
}

type Place = Arc<dyn Send + Sync>;

/// What goes with a request to the instance that serves it.
struct Served {
    context: CallContext,
    failed: oneshot::Sender<Failure>,
    place: Place,
}

/// The body of an answer. When the instance ends in the middle of it, what wasmtime gives looks like its regular end;
/// the client has to see that something is missing.
struct AnswerBody {
    body: WasiBody,
    failure: oneshot::Receiver<Failure>,
    _place: Place,
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if frame.is_none() && self.failure.try_recv().is_ok() {
            return Poll::Ready(Some(Err(Error::HttpResponseIncomplete)));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

struct Handler {
    function: Weak<Function>,
    proxy: Arc<ProxyPre<StoreData>>,
    mirrored: bool,
}

impl HandlerState for Handler {
    type StoreData = StoreData;
    type WorkerExpiration = Expiration;
    type WorkerState = Worker;

    async fn instantiate(&self) -> wasmtime::Result<Instance<StoreData, Expiration, Worker>> {
        let function = self.function.upgrade().ok_or_else(|| wasmtime::format_err!("the function was replaced"))?;
        let mut store = function.reusable_store(self.mirrored);
        let pauses = store.data().limits.pauses();
        let proxy = pauses.of(self.proxy.instantiate_async(&mut store)).await?;
        let reuse = function.spec.reuse.unwrap_or(ReuseSpec { max_requests: 1, max_concurrent: 1 });
        let life = Arc::new(Life::default());
        let clock = function.shared.clock.clone();
        let state = Worker {
            function: function.spec.id.clone(),
            reuse,
            clock: clock.clone(),
            life: life.clone(),
            pace: function.pace.clone(),
            at_the_side: is_at_the_side(),
            requests: Mutex::default(),
        };
        let expiration = Expiration::new(clock, life, pauses);
        Ok(Instance { store, proxy, view: StoreData::http, expiration, state })
    }
}

/// One instance, as long as it lives.
struct Worker {
    function: Arc<str>,
    reuse: ReuseSpec,
    clock: Arc<dyn Clock>,
    life: Arc<Life>,
    pace: Arc<Pace>,
    /// Where it was made, and stays.
    at_the_side: bool,
    requests: Mutex<Vec<Request>>,
}

/// A request that an instance has accepted.
struct Request {
    failed: oneshot::Sender<Failure>,
    /// Of an instance that serves this one alone: it is occupied as long as the instance lives.
    _place: Option<Place>,
}

impl WorkerState for Worker {
    type StoreData = StoreData;
    type RequestData = Served;

    fn should_accept_request(&self, concurrent: usize, total: usize) -> ShouldAccept {
        // It takes one in any case: where a request waits, whoever is begun for it must not turn it away.
        let is_out_of_place = total > 0 && self.pace.is_long() != self.at_the_side;
        if total >= self.reuse.max_requests || is_out_of_place {
            ShouldAccept::Never
        } else if concurrent >= self.reuse.max_concurrent {
            ShouldAccept::No
        } else {
            ShouldAccept::Yes
        }
    }

    fn on_request_start(
        &self,
        mut store: StoreContextMut<'_, StoreData>,
        served: Served,
        task: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + 'static + Send + Sync>> {
        let now = self.clock.monotonic();
        let Served { context, failed, place } = served;
        let remaining = context.deadline.saturating_sub(now);
        self.life.serve_until(context.deadline);
        limits::begin_request(&mut store);
        store.data_mut().begin(task, context);
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.retain(|request| !request.failed.is_closed());
        let own = (self.reuse.max_requests == 1).then(|| place.clone());
        requests.push(Request { failed, _place: own });
        Box::pin(async move {
            // Until there is a response, or none can come any more.
            let _place = place;
            tokio::time::sleep(remaining).await;
        })
    }

    fn drop(&self, mut store: Store<StoreData>, result: Result<(), wasmtime::Error>) {
        let Err(error) = result else { return };
        let exceeded = store.data_mut().limits.exceeded;
        let requests = std::mem::take(&mut *self.requests.lock().unwrap_or_else(PoisonError::into_inner));
        let waiting: Vec<_> = requests.into_iter().filter(|request| !request.failed.is_closed()).collect();
        if waiting.is_empty() {
            return;
        }
        let failure = if self.life.has_expired() {
            Failure::unknown(Fault::Guest, Reason::Deadline, format!("function {} took too long", self.function))
        } else {
            trap::classify(&self.function, &error, exceeded)
        };
        for request in waiting {
            // A request that was given up meanwhile needs no reason.
            let _ = request.failed.send(failure.clone());
        }
    }
}
