//! Who calls, and whether the route lets them. A route that is not public is closed unless a token or an API key opens it.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::Either;
use http::Response;
use tower::Service;
use weft_core::manifest::Access;

use super::{Or, Routed, always_ready, answer};
use crate::auth::api_key::API_KEY;
use crate::auth::{Authenticator, Identity};
use crate::body::ResponseBody;
use crate::problem::Problem;

#[derive(Clone, Debug)]
pub(crate) struct Authorise<S> {
    pub inner: S,
}

impl<S> Service<Routed> for Authorise<S>
where
    S: Service<Routed, Response = Response<ResponseBody>, Error = Problem>,
{
    type Response = Response<ResponseBody>;
    type Error = Problem;
    type Future = Or<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Problem>> {
        always_ready(context)
    }

    fn call(&mut self, mut routed: Routed) -> Self::Future {
        match authorise(&routed) {
            Ok(identity) => {
                routed.identity = identity;
                let auth = routed.exchange.record.shared.auth.as_ref();
                if auth.is_some_and(Authenticator::takes_api_keys) {
                    // It has served its purpose, and is a secret.
                    routed.exchange.head.headers.remove(API_KEY);
                }
                Either::Right(self.inner.call(routed))
            }
            Err(problem) => answer(Err(problem)),
        }
    }
}

fn authorise(routed: &Routed) -> Result<Option<Arc<Identity>>, Problem> {
    let record = &routed.exchange.record;
    let identity = match &record.shared.auth {
        Some(auth) => auth.identify(&routed.exchange.head.headers, record.shared.clock.now_ms())?,
        None => None,
    };
    if let Some(identity) = &identity {
        // For the access log, also if the route stays closed. The record is new and this its only writer.
        let _ = record.identity.set(Arc::clone(identity));
    }
    match (&routed.route.config.access, &identity) {
        (Access::Public, _) => Ok(identity),
        (Access::Authenticated { .. }, None) => Err(Problem::token_missing()),
        (Access::Authenticated { roles, permissions }, Some(caller)) => {
            if !roles.is_empty() && !roles.iter().any(|role| **role == *caller.role()) {
                return Err(Problem::forbidden("Your role may not use this route."));
            }
            if !permissions.iter().all(|needed| caller.permissions().iter().any(|own| **own == **needed)) {
                return Err(Problem::forbidden("You lack a permission that this route needs."));
            }
            Ok(identity)
        }
    }
}
