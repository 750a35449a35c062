//! Who calls, and whether the route lets them. A route that is not public is closed unless a token or an API key opens it.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::{BoxFuture, Either};
use http::Response;
use tower::Service;
use weft_core::manifest::Access;

use super::{Answered, Or, Routed, always_ready, answer};
use crate::auth::api_key::API_KEY;
use crate::auth::{Identity, Refusal};
use crate::body::ResponseBody;
use crate::problem::Problem;

#[derive(Clone, Debug)]
pub(crate) struct Authorise<S> {
    pub inner: S,
}

impl<S> Service<Routed> for Authorise<S>
where
    S: Service<Routed, Response = Response<ResponseBody>, Error = Problem, Future: Send> + Clone + Send + 'static,
{
    type Response = Response<ResponseBody>;
    type Error = Problem;
    /// A token whose key has to be looked for first takes its time, and only such a one is boxed.
    type Future = Either<Or<S::Future>, BoxFuture<'static, Answered>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Problem>> {
        always_ready(context)
    }

    fn call(&mut self, mut routed: Routed) -> Self::Future {
        match authorise(&routed) {
            Ok(identity) => {
                identified(&mut routed, identity);
                Either::Left(Either::Right(self.inner.call(routed)))
            }
            Err(Refusal::Invalid(problem)) => Either::Left(answer(Err(problem))),
            Err(Refusal::UnknownKey(problem)) => Either::Right(Box::pin(again(self.inner.clone(), routed, problem))),
        }
    }
}

/// Notes who calls.
fn identified(routed: &mut Routed, identity: Option<Arc<Identity>>) {
    routed.identity = identity;
    if routed.auth.as_ref().is_some_and(|auth| auth.takes_api_keys()) {
        // It has served its purpose, and is a secret.
        routed.exchange.head.headers.remove(API_KEY);
    }
}

/// Looks for the key that the token names, and then once more at the token.
async fn again<S>(mut inner: S, mut routed: Routed, problem: Problem) -> Answered
where
    S: Service<Routed, Response = Response<ResponseBody>, Error = Problem>,
{
    let record = Arc::clone(&routed.exchange.record);
    if let Some(auth) = &routed.auth {
        auth.look_for_keys(&*record.shared.clock).await;
    }
    match authorise(&routed) {
        Ok(identity) => {
            identified(&mut routed, identity);
            inner.call(routed).await
        }
        Err(Refusal::Invalid(problem)) => Err(problem),
        Err(Refusal::UnknownKey(_)) => Err(problem),
    }
}

fn authorise(routed: &Routed) -> Result<Option<Arc<Identity>>, Refusal> {
    let record = &routed.exchange.record;
    let identity = match &routed.auth {
        Some(auth) => auth.identify(&routed.exchange.head.headers, record.shared.clock.now_ms())?,
        None => None,
    };
    if let Some(identity) = &identity {
        // For the access log, also if the route stays closed. The record is new and this its only writer.
        let _ = record.identity.set(Arc::clone(identity));
    }
    match (&routed.route.config.access, &identity) {
        (Access::Public, _) => Ok(identity),
        (Access::Authenticated { .. }, None) => Err(Problem::token_missing().into()),
        (Access::Authenticated { roles, permissions }, Some(caller)) => {
            if !roles.is_empty() && !roles.iter().any(|role| **role == *caller.role()) {
                return Err(Problem::forbidden("Your role may not use this route.").into());
            }
            if !permissions.iter().all(|needed| caller.permissions().iter().any(|own| **own == **needed)) {
                return Err(Problem::forbidden("You lack a permission that this route needs.").into());
            }
            Ok(identity)
        }
    }
}
