//! What stands behind the gateway: a request goes through the mesh's bulkhead to the engine. Translates bodies and
//! the gateway's route match into the call's context; decides nothing.

use std::task::{Context, Poll};

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt as _, BodyStream, Empty, StreamBody};
use tokio::sync::oneshot;
use tower::Service;

use weft_core::{CallContext, Failure, Fault, Reason, Trace, hops, id};
use weft_engine::{Engine, FunctionBody, FunctionBodyError, Value};
use weft_gateway::{BodyError, BoxError, RequestBody, ResponseBody, RouteMatch};
use weft_mesh::{Asked, Mesh, Mirror};

/// So much of a body is taken in before the request takes a place among its function's calls.
const WAITING_BODY_BYTES: usize = 64 * 1024;

/// Where the gateway says who the user is.
const USER_ID: &str = "x-user-id";

/// Serves what the gateway has admitted.
#[derive(Clone)]
pub struct Upstream {
    engine: Engine,
    mesh: Mesh<Value>,
}

impl Upstream {
    /// An upstream that runs functions of `engine` under the policies of `mesh`.
    #[must_use]
    pub fn new(engine: Engine, mesh: Mesh<Value>) -> Self {
        Self { engine, mesh }
    }

    async fn serve(self, mut request: Request<RequestBody>) -> Result<Response<ResponseBody>, Failure> {
        let Some(route) = request.extensions_mut().remove::<RouteMatch>() else {
            return Err(Failure::not_attempted(Fault::Host, Reason::Internal, "a request without a route"));
        };
        // Before it takes a place: a client that sends its body slowly must not keep others out.
        let arrived = Arrived::of(request).await;
        let headers = &arrived.head.headers;
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let (user, method) = (header(USER_ID), arrived.head.method.as_str());
        let generation = route.generation.as_ref();
        let asked = Asked { caller: None, method, user, header: &header, mirrored: false, generation };
        let (place, mut passage) = self.mesh.admit(&route.component, route.deadline, &asked).await?;
        let depth = hops::depth(headers.get_all(hops::HEADER).iter().map(HeaderValue::as_bytes));
        let context = CallContext {
            caller: None,
            deadline: route.deadline,
            trace: Some(route.trace),
            depth,
            step: None,
            mirrored: false,
            origin: self.mesh.origin(user, header),
            generation: route.generation.clone(),
        };
        let copy = passage.mirror().and_then(|mirror| self.copy(mirror, &arrived, &context));
        let response = self.engine.serve(passage.function(), arrived.into_request(), context, place).await;
        if let (Some(copy), Ok(response)) = (copy, &response) {
            // It may have come to its end without waiting.
            let _ = copy.send(response.status());
        }
        passage.tell(&response, |response| response.status().is_server_error());
        Ok(response?.map(|body| body.map_err(Into::into).boxed_unsync()))
    }

    /// Makes a copy of a request to a version that only shows what it would answer; what the request is answered is to be told to it.
    fn copy(&self, mirror: Mirror, arrived: &Arrived, context: &CallContext) -> Option<oneshot::Sender<StatusCode>> {
        let Some(request) = arrived.copy() else {
            mirror.skip();
            return None;
        };
        let span = |trace: &Trace| Trace { span_id: id::new_span_id(), ..trace.clone() };
        let context = CallContext { mirrored: true, trace: context.trace.as_ref().map(span), ..context.clone() };
        let (engine, (told, answered)) = (self.engine.clone(), oneshot::channel());
        tokio::spawn(async move {
            let status = match engine.serve(&mirror.name, request, context, ()).await {
                Ok(response) => {
                    let status = response.status();
                    // To its end, so that the function comes to its own. Its instance ends with the deadline.
                    let mut body = response.into_body();
                    while let Some(Ok(_)) = body.frame().await {}
                    Some(status)
                }
                Err(failure) => {
                    tracing::debug!(version = %mirror.name, %failure, "a copy of a request has no answer");
                    None
                }
            };
            let is_alike = answered.await.ok().map(|answered| status == Some(answered));
            mirror.tell(status.is_some_and(|status| !status.is_server_error()), is_alike);
        });
        Some(told)
    }
}

impl Service<Request<RequestBody>> for Upstream {
    type Response = Response<ResponseBody>;
    type Error = Failure;
    type Future = BoxFuture<'static, Result<Self::Response, Failure>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        Box::pin(self.clone().serve(request))
    }
}

/// A request once its body has come, or as much of it as is kept in memory while it waits; a longer one streams on
/// from there. The gateway bounds how long that takes.
struct Arrived {
    head: http::request::Parts,
    frames: Vec<Result<Frame<Bytes>, FunctionBodyError>>,
    rest: Option<RequestBody>,
}

impl Arrived {
    async fn of(request: Request<RequestBody>) -> Self {
        let (head, mut body) = request.into_parts();
        let mut frames = Vec::new();
        let mut bytes = 0;
        while bytes < WAITING_BODY_BYTES {
            let Some(frame) = body.frame().await else { break };
            let frame = frame.map_err(into_function);
            bytes += frame.as_ref().ok().and_then(Frame::data_ref).map_or(0, Bytes::len);
            frames.push(frame);
        }
        let rest = (!body.is_end_stream()).then_some(body);
        Self { head, frames, rest }
    }

    fn into_request(self) -> Request<FunctionBody> {
        let body = match self.rest {
            None if self.frames.is_empty() => Empty::new().map_err(|never| match never {}).boxed_unsync(),
            rest => {
                let rest = rest.map(|body| BodyStream::new(body.map_err(into_function)));
                StreamBody::new(stream::iter(self.frames).chain(stream::iter(rest).flatten())).boxed_unsync()
            }
        };
        Request::from_parts(self.head, body)
    }

    /// The same request once more, if all of it is here and is no more than what is kept.
    fn copy(&self) -> Option<Request<FunctionBody>> {
        if self.rest.is_some() {
            return None;
        }
        let data = |frame: &Result<Frame<Bytes>, _>| frame.as_ref().ok()?.data_ref().cloned();
        let frames: Vec<Bytes> = self.frames.iter().map(data).collect::<Option<_>>()?;
        if frames.iter().map(Bytes::len).sum::<usize>() > WAITING_BODY_BYTES {
            return None;
        }
        let body = StreamBody::new(stream::iter(frames.into_iter().map(|data| Ok(Frame::data(data))))).boxed_unsync();
        let mut request = Request::new(body);
        *request.method_mut() = self.head.method.clone();
        *request.uri_mut() = self.head.uri.clone();
        *request.headers_mut() = self.head.headers.clone();
        Some(request)
    }
}

fn into_function(error: BoxError) -> FunctionBodyError {
    match error.downcast_ref::<BodyError>() {
        Some(BodyError::TooLarge { limit_bytes }) => FunctionBodyError::HttpRequestBodySize(Some(*limit_bytes)),
        _ => FunctionBodyError::ConnectionTerminated,
    }
}
