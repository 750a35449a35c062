//! What stands behind the gateway: a request goes through the mesh's bulkhead to the engine. Translates bodies and
//! the gateway's route match into the call's context; decides nothing.

use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use tower::Service;

use weft_core::{CallContext, Failure, Fault, Reason};
use weft_engine::{Engine, FunctionBodyError, Value};
use weft_gateway::{BodyError, BoxError, RequestBody, ResponseBody, RouteMatch};
use weft_mesh::Mesh;

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

    async fn serve(self, request: Request<RequestBody>) -> Result<Response<ResponseBody>, Failure> {
        let Some(route) = request.extensions().get::<RouteMatch>().cloned() else {
            return Err(Failure::not_attempted(Fault::Host, Reason::Internal, "a request without a route"));
        };
        let permit = self.mesh.admit(&route.component, route.deadline).await?;
        let context =
            CallContext { caller: None, deadline: route.deadline, trace: Some(route.trace), depth: 0, step: None };
        let request = request.map(|body| body.map_err(into_function).boxed_unsync());
        let response = self.engine.serve(&route.component, request, context, permit).await?;
        Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()))
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

fn into_function(error: BoxError) -> FunctionBodyError {
    match error.downcast_ref::<BodyError>() {
        Some(BodyError::TooLarge { limit_bytes }) => FunctionBodyError::HttpRequestBodySize(Some(*limit_bytes)),
        _ => FunctionBodyError::ConnectionTerminated,
    }
}
