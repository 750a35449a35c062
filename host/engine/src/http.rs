//! HTTP requests to functions, WASI 0.3 (`wasi:http/handler`) and 0.2 (`wasi:http/incoming-handler`): a fresh instance for each
//! request, or one that serves several by choice. How many run at once is bounded by the mesh's bulkhead, which stands before it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::future::{BoxFuture, Either, select};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;
use wasmtime::component::{Accessor, Component, Func, InstancePre};
use wasmtime::{AsContextMut as _, Store, StoreContextMut};
use wasmtime_wasi_http::handler::{Proxy, ProxyPre};
use wasmtime_wasi_http::{Error, WasiBody, WasiHttpView as _};
use wasmtime_wasi_http::{p2, p3};

use weft_core::{CallContext, Failure, Fault, Reason};

use crate::engine::Engine;
use crate::function::Function;
use crate::pool::{Pool, locked};
use crate::shared::Shared;
use crate::state::{self, StoreData};
use crate::trap;
use crate::worker::{Ticket, Work, late, stopped};

/// Which `wasi:http` a component exports.
pub(crate) fn proxy(
    component: &Component,
    pre: &InstancePre<StoreData>,
    shared: &Arc<Shared>,
) -> wasmtime::Result<Option<HttpEntry>> {
    let exports = |name: &str| component.get_export(None, name).is_some();
    let proxy = if exports("wasi:http/handler@0.3.0") {
        ProxyPre::P3(p3::bindings::ServicePre::new(pre.clone())?)
    } else if component
        .component_type()
        .exports(component.engine())
        .any(|(name, _)| name.starts_with("wasi:http/incoming-handler@0.2"))
    {
        ProxyPre::P2(p2::bindings::ProxyPre::new(pre.clone())?)
    } else {
        return Ok(None);
    };
    Ok(Some(HttpEntry { proxy, pool: Pool::new(shared.clone()), mirrored: OnceLock::new() }))
}

/// The HTTP side of a function. What a mirrored request may not do is a matter of the instance, so these have instances of their own.
pub(crate) struct HttpEntry {
    proxy: ProxyPre<StoreData>,
    pool: Arc<Pool<Asked>>,
    mirrored: OnceLock<Arc<Pool<Asked>>>,
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
        let pool = match context.mirrored {
            false => &entry.pool,
            true => entry.mirrored.get_or_init(|| Pool::new(function.shared.clone())),
        };
        let (answer, mut answered) = oneshot::channel();
        let (failed, failure) = oneshot::channel();
        let (place, deadline): (Place, _) = (Arc::new(place), context.deadline);
        let of = function.clone();
        pool.give(Asked { function: of, request, context, answer, failed: Some(failed), place: place.clone() });
        let response = match answered.try_recv() {
            Err(TryRecvError::Empty) => {
                let clock = &function.shared.clock;
                let remaining = deadline.saturating_sub(clock.monotonic());
                match select(answered, clock.sleep(remaining)).await {
                    Either::Left((response, _)) => response.ok(),
                    Either::Right(_) => return Err(late(component)),
                }
            }
            response => response.ok(),
        };
        match response {
            Some(Ok(response)) => Ok(response.map(|body| AnswerBody { body, failure, _place: place }.boxed_unsync())),
            Some(Err(error)) => Err(trap::classify(component, &error, None)),
            // The instance is gone; whoever cleaned it up knows why.
            None => Err(failure.await.unwrap_or_else(|_| stopped(component))),
        }
    }
}

type Place = Arc<dyn Send + Sync>;
type Response = wasmtime::Result<http::Response<WasiBody>>;

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

/// A request on its way to an instance.
pub(crate) struct Asked {
    function: Arc<Function>,
    request: http::Request<WasiBody>,
    context: CallContext,
    answer: oneshot::Sender<Response>,
    failed: Option<oneshot::Sender<Failure>>,
    place: Place,
}

impl Work for Asked {
    type Instance = Proxy;
    /// A function does what it has begun, also when its client is gone.
    const BREAKS_OFF: bool = false;

    fn function(&self) -> &Arc<Function> {
        &self.function
    }

    fn deadline(&self) -> Duration {
        self.context.deadline
    }

    fn is_given_up(&self) -> bool {
        self.answer.is_closed()
    }

    fn ticket(&mut self) -> Ticket {
        // An instance that serves this one alone occupies its place as long as it lives.
        let is_alone = self.function.spec.reuse.is_none_or(|reuse| reuse.max_requests == 1);
        let place = is_alone.then(|| self.place.clone());
        Ticket { failed: self.failed.take(), place }
    }

    fn refuse(mut self, failure: Failure) {
        if let Some(failed) = self.failed.take() {
            // Whoever has given up needs no reason.
            let _ = failed.send(failure);
        }
    }

    fn store(&self) -> Store<StoreData> {
        self.function.reusable_store(self.context.mirrored)
    }

    async fn instantiate(function: &Function, store: &mut Store<StoreData>) -> wasmtime::Result<Proxy> {
        match &function.http {
            Some(entry) => entry.proxy.instantiate_async(store).await,
            None => Err(wasmtime::format_err!("the component does not serve HTTP")),
        }
    }

    fn func(&self, instance: &Proxy, _: &mut StoreContextMut<'_, StoreData>) -> Result<Func, Failure> {
        Ok(match instance {
            Proxy::P3(service) => *service.wasi_http_handler().func_handle().func(),
            Proxy::P2(proxy) => *proxy.wasi_http_incoming_handler().func_handle().func(),
        })
    }

    async fn run(self, instance: &Proxy, accessor: &Accessor<StoreData>) -> wasmtime::Result<()> {
        let Self { function: _, request, context, answer, failed: _, place } = self;
        let ended = match instance {
            Proxy::P3(service) => run_p3(service, accessor, request, context, answer).await,
            Proxy::P2(proxy) => run_p2(proxy, accessor, request, context, answer).await,
        };
        drop(place);
        ended
    }
}

/// What became of a request's body.
type Sent = BoxFuture<'static, Result<(), Error>>;

async fn run_p3(
    service: &p3::bindings::Service,
    accessor: &Accessor<StoreData>,
    request: http::Request<WasiBody>,
    context: CallContext,
    answer: oneshot::Sender<Response>,
) -> wasmtime::Result<()> {
    let handler = service.wasi_http_handler().func_handle();
    let (call, sent) = accessor.with(|mut access| {
        let mut store = access.as_context_mut();
        let (request, sent): (_, Sent) = {
            let http = store.data_mut().http();
            let (request, sent) = p3::Request::from_http(http.hooks, request);
            (http.table.push(request)?, Box::pin(sent))
        };
        let call = handler.start_call_concurrent(&mut store, (request,))?;
        state::begin(&mut store, call.task(), context);
        wasmtime::error::Ok((call, sent))
    })?;
    let response = match handler.finish_call_concurrent(accessor, call).await?.0 {
        Ok(response) => accessor.with(|mut access| {
            let mut store = access.as_context_mut();
            let response = store.data_mut().http().table.delete(response)?;
            response.into_http(&mut store, sent)
        }),
        Err(code) => Err(code.into()),
    };
    // Here and below: whoever has given up needs no answer.
    let _ = answer.send(response);
    Ok(())
}

async fn run_p2(
    proxy: &p2::bindings::Proxy,
    accessor: &Accessor<StoreData>,
    request: http::Request<WasiBody>,
    context: CallContext,
    answer: oneshot::Sender<Response>,
) -> wasmtime::Result<()> {
    let handler = proxy.wasi_http_incoming_handler().func_handle();
    // It answers when it likes, and that may be never.
    let answer = Arc::new(Mutex::new(Some(answer)));
    let take = |answer: &Mutex<Option<_>>| locked(answer).take();
    let call = accessor.with(|mut access| {
        let mut store = access.as_context_mut();
        let mut http = store.data_mut().http();
        let request = http.new_incoming_request(p2::bindings::http::types::Scheme::Http, request)?;
        let answer = answer.clone();
        let out = http.new_response_outparam_from_callback(move |response| {
            if let Some(answer) = take(&answer) {
                let _ = answer.send(response.map_err(Into::into));
            }
        })?;
        let call = handler.start_call_concurrent(&mut store, (request, out))?;
        state::begin(&mut store, call.task(), context);
        wasmtime::error::Ok(call)
    })?;
    handler.finish_call_concurrent(accessor, call).await?;
    if let Some(answer) = take(&answer) {
        let _ = answer.send(Err(wasmtime::format_err!("the function returned and has not set its response")));
    }
    Ok(())
}
