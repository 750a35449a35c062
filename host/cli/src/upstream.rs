//! What stands behind the gateway: a request goes through the mesh's bulkhead to the engine. Translates bodies and
//! the gateway's route match into the call's context; decides nothing.

use std::task::{Context, Poll};

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream;
use http::{HeaderValue, Request, Response};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt as _, BodyStream, Empty, StreamBody};
use tower::Service;

use weft_core::{CallContext, Failure, Fault, Reason, hops};
use weft_engine::{Engine, FunctionBody, FunctionBodyError, Value};
use weft_gateway::{BodyError, BoxError, RequestBody, ResponseBody, RouteMatch};
use weft_mesh::{Choice, Mesh};

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
        let request = arrived(request).await;
        let headers = request.headers();
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let choice = Choice { sticky: header(USER_ID), header: &header };
        let (place, passage) = self.mesh.admit(&route.component, route.deadline, &choice).await?;
        let depth = hops::depth(request.headers().get_all(hops::HEADER).iter().map(HeaderValue::as_bytes));
        let context =
            CallContext { caller: None, deadline: route.deadline, trace: Some(route.trace), depth, step: None };
        let response = self.engine.serve(passage.function(), request, context, place).await;
        passage.tell(&response, |response| response.status().is_server_error());
        Ok(response?.map(|body| body.map_err(Into::into).boxed_unsync()))
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

/// The request once its body has come, or as much of it as is kept in memory while it waits; a longer one streams on
/// from there. The gateway bounds how long that takes.
async fn arrived(request: Request<RequestBody>) -> Request<FunctionBody> {
    let (head, mut body) = request.into_parts();
    let mut frames = Vec::new();
    let mut bytes = 0;
    while bytes < WAITING_BODY_BYTES {
        let Some(frame) = body.frame().await else { break };
        let frame = frame.map_err(into_function);
        bytes += frame.as_ref().ok().and_then(Frame::data_ref).map_or(0, Bytes::len);
        frames.push(frame);
    }
    let rest = (!body.is_end_stream()).then(|| BodyStream::new(body.map_err(into_function)));
    let body = match rest {
        None if frames.is_empty() => Empty::new().map_err(|never| match never {}).boxed_unsync(),
        rest => StreamBody::new(stream::iter(frames).chain(stream::iter(rest).flatten())).boxed_unsync(),
    };
    Request::from_parts(head, body)
}

fn into_function(error: BoxError) -> FunctionBodyError {
    match error.downcast_ref::<BodyError>() {
        Some(BodyError::TooLarge { limit_bytes }) => FunctionBodyError::HttpRequestBodySize(Some(*limit_bytes)),
        _ => FunctionBodyError::ConnectionTerminated,
    }
}
