//! The stack every request goes down, as tower services. What goes down is typed: an [`Exchange`] becomes [`Routed`] at
//! the router, so that no stage can stand where it lacks what it needs. Errors go up as [`Problem`]s and become an
//! answer in one place. No stage boxes or allocates for its own sake.

mod admit;
mod authorise;
mod catch_panic;
mod check;
mod compress;
mod cors;
mod deadline;
mod fixed;
mod forward;
mod headers;
mod health;
mod idempotent;
mod limit;
mod observe;
mod push;
mod route;
mod secure;
mod shed;
mod transform;
mod validate;

use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::{Either, Ready, ready};
use http::{Request, Response};
use tower::{Service, ServiceBuilder};
use weft_core::Failure;

use crate::auth::{Authenticator, Identity};
use crate::body::{RequestBody, ResponseBody};
use crate::deployment::Served;
use crate::problem::Problem;
use crate::record::Record;
use crate::route::RouteMatch;
use crate::shared::Shared;

pub(crate) use headers::{Trust, strip};
pub(crate) use observe::{Arrival, Observe};

/// A request with its record.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub head: http::request::Parts,
    pub body: RequestBody,
    pub record: Arc<Record>,
    /// What was served when it came.
    pub served: Arc<Served>,
}

/// A request that has found its route.
#[derive(Debug)]
pub(crate) struct Routed {
    pub exchange: Exchange,
    pub route: Arc<crate::route::Route>,
    pub matched: RouteMatch,
    /// `spin-path-match-*` and `spin-path-info`.
    pub path_headers: Vec<(http::HeaderName, http::HeaderValue)>,
    /// Who looks at tokens and API keys.
    pub auth: Option<Arc<Authenticator>>,
    pub identity: Option<Arc<Identity>>,
    /// The hash of the API key that has said so, where it will be asked again.
    pub api_key: Option<[u8; 32]>,
}

/// What a stage answers.
pub(crate) type Answered = Result<Response<ResponseBody>, Problem>;
/// The future of a stage that either answers by itself or passes the request on.
pub(crate) type Or<F> = Either<Ready<Answered>, F>;

/// Answers at once.
fn answer<F>(answered: Answered) -> Or<F> {
    Either::Left(ready(answered))
}

/// What stands behind the gateway.
pub trait Upstream:
    Service<Request<RequestBody>, Response = Response<ResponseBody>, Error = Failure, Future: Send> + Clone + Send + 'static
{
}

impl<S> Upstream for S where
    S: Service<Request<RequestBody>, Response = Response<ResponseBody>, Error = Failure, Future: Send>
        + Clone
        + Send
        + 'static
{
}

/// The stack over `upstream`.
pub(crate) type Stack<S> = Observe<catch_panic::CatchPanic<cors::Permit<health::Health<secure::Secure<Admitted<S>>>>>>;
/// What takes a place among the requests in work.
type Admitted<S> = admit::Admit<check::Check<compress::Compress<headers::Strip<route::Find<Found<S>>>>>>;
/// What has a route.
type Found<S> = shed::Shed<limit::Limited<authorise::Authorise<limit::Limited<Allowed<S>>>>>;
/// What may use it.
type Allowed<S> = push::Pushing<fixed::Fixed<idempotent::Idempotent<deadline::Within<Changed<S>>>>>;
/// In the form that the function takes, and its answer in the form that the route gives.
type Changed<S> = validate::Validate<transform::Transformed<forward::Forward<S>>>;

/// Builds the stack, outermost first.
pub(crate) fn stack<S: Upstream>(shared: &Arc<Shared>, upstream: S) -> Stack<S> {
    let shared = || Arc::clone(shared);
    ServiceBuilder::new()
        // First, so that every answer has a request id, a trace, its time, its headers and a line in the access log.
        .layer_fn(|inner| Observe::new(shared(), inner))
        // Around everything that could panic, under what tells of it.
        .layer_fn(|inner| catch_panic::CatchPanic { inner })
        // Before any limit and any token: a preflight carries none, and a page shall see also why it was refused.
        .layer_fn(|inner| cors::Permit { inner })
        // Before any limit and any token: probes are answered while the house is full.
        .layer_fn(|inner| health::Health { inner })
        // After the probes, which come by plain HTTP; before anything secret of the request is used.
        .layer_fn(|inner| secure::Secure { inner })
        // Before any work goes into the request, since refusing must be cheap when there is too much of it.
        .layer_fn(|inner| admit::Admit { inner })
        // Before anything reads the request: sizes and shape.
        .layer_fn(|inner| check::Check { inner })
        // Around whatever a route answers, under the refusals, which are small.
        .layer_fn(|inner| compress::Compress { inner })
        // Before anything could believe them: headers that only we may set.
        .layer_fn(|inner| headers::Strip { inner })
        // Before the token, because the route says whether one is needed.
        .layer_fn(|inner| route::Find { inner })
        // After the route, which says how much it matters; before the token, since refusing must be cheap.
        .layer_fn(|inner| shed::Shed { inner })
        // After the route, which says what limits hold; before the token, so that guessing one is limited as well.
        .layer_fn(|inner| limit::Limited { when: limit::When::BeforeToken, inner })
        // After the route, before any of the function's time is spent.
        .layer_fn(|inner| authorise::Authorise { inner })
        // After the token, which says whose limits they are; who may not use the route uses up none of them.
        .layer_fn(|inner| limit::Limited { when: limit::When::AfterToken, inner })
        // After the token, by which it lives; outside of the deadline, which its connections do not have.
        .layer_fn(|inner| push::Pushing { inner })
        // After the token, which such a route may need like any other; no function runs for it.
        .layer_fn(|inner| fixed::Fixed { inner })
        // After the limits, which a repetition uses up like any request, and after the token: what was answered is its
        // caller's alone. Around the deadline, because it goes on where the client has gone.
        .layer_fn(|inner| idempotent::Idempotent { inner })
        // Around the function alone; of what stands above, only a request under a key waits.
        .layer_fn(|inner| deadline::Within { inner })
        // Under the deadline, which holds for a body that has to be read as well; the body as the client sent it.
        .layer_fn(|inner| validate::Validate { inner })
        // After that; before what only we may set.
        .layer_fn(|inner| transform::Transformed { inner })
        // Last: the request in the form that a function gets.
        .layer_fn(|inner| forward::Forward { inner })
        .service(upstream)
}

/// All our stages are ready always: waiting happens in the socket, not in a queue.
fn always_ready<E>(_context: &mut Context<'_>) -> Poll<Result<(), E>> {
    Poll::Ready(Ok(()))
}
