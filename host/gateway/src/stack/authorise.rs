//! Who calls, and whether the route lets them. A route that is not public is closed unless a token or an API key opens it.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::{BoxFuture, Either};
use http::Response;
use tower::Service;
use weft_core::manifest::{Access, Callers};
use weft_telemetry::{CallerKind, Decision, Verdict};

use super::{Answered, Or, Routed, always_ready, answer};
use crate::auth::api_key::{self, API_KEY};
use crate::auth::policies::Asked;
use crate::auth::{Caller, Identity, Refusal};
use crate::body::ResponseBody;
use crate::problem::Problem;
use crate::push;
use crate::route::path;

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
            Ok(caller) => {
                note_allowed(&routed);
                identified(&mut routed, caller);
                Either::Left(Either::Right(self.inner.call(routed)))
            }
            Err(Refusal::UnknownKey(_)) => Either::Right(Box::pin(again(self.inner.clone(), routed))),
            Err(refusal) => Either::Left(answer(Err(refused(&routed, refusal)))),
        }
    }
}

/// Notes who calls.
fn identified(routed: &mut Routed, caller: Option<Caller>) {
    routed.api_key = caller.as_ref().and_then(|caller| caller.api_key);
    routed.identity = caller.map(|caller| caller.identity);
    if routed.auth.as_ref().is_some_and(|auth| auth.takes_api_keys()) {
        // It has served its purpose, and is a secret.
        routed.exchange.head.headers.remove(API_KEY);
    }
}

/// Looks for the key that the token names, and then once more at the token.
async fn again<S>(mut inner: S, mut routed: Routed) -> Answered
where
    S: Service<Routed, Response = Response<ResponseBody>, Error = Problem>,
{
    let record = Arc::clone(&routed.exchange.record);
    if let Some(auth) = &routed.auth {
        auth.look_for_keys(&*record.shared.clock).await;
    }
    match authorise(&routed) {
        Ok(caller) => {
            note_allowed(&routed);
            identified(&mut routed, caller);
            inner.call(routed).await
        }
        Err(refusal) => Err(refused(&routed, refusal)),
    }
}

/// What the client is told; who was refused what, and why, is noted for the audit log.
fn refused(routed: &Routed, refusal: Refusal) -> Problem {
    let (problem, by) = match refusal {
        Refusal::Invalid(problem) | Refusal::UnknownKey(problem) => (problem, None),
        Refusal::Denied(by) => (Problem::forbidden("A policy does not let you use this route so."), Some(by)),
    };
    let detail = by.as_deref().unwrap_or(problem.detail());
    note(routed, Verdict::Refused { reason: problem.name(), detail });
    problem
}

/// Notes who was let in where not everyone is, if that is asked for.
fn note_allowed(routed: &Routed) {
    let is_asked_for = routed.auth.as_ref().is_some_and(|auth| auth.audits_allowed());
    if is_asked_for && routed.route.config.access != Access::Public {
        note(routed, Verdict::Allowed);
    }
}

fn note(routed: &Routed, verdict: Verdict<'_>) {
    let record = &routed.exchange.record;
    let Some(decisions) = &record.shared.decisions else { return };
    let identity = record.identity.get();
    let key = identity.and_then(|identity| identity.api_key()).map_or("", |key| key);
    let kind = match identity {
        None => CallerKind::Nobody,
        Some(_) if !key.is_empty() => CallerKind::ApiKey,
        Some(identity) if identity.service().is_some() => CallerKind::Service,
        Some(_) => CallerKind::User,
    };
    decisions.note(&Decision {
        verdict,
        method: routed.exchange.head.method.as_str(),
        route: &routed.route.config.pattern.to_string(),
        client: record.client_ip(),
        request_id: record.request_id(),
        kind,
        subject: identity.map_or("", |identity| identity.subject()),
        key,
    });
}

fn authorise(routed: &Routed) -> Result<Option<Caller>, Refusal> {
    let record = &routed.exchange.record;
    let caller = caller(routed)?;
    if let Some(caller) = &caller {
        // For the access log, also if the route stays closed. The record is new and this its only writer.
        let _ = record.identity.set(Arc::clone(&caller.identity));
    }
    match (&routed.route.config.access, &caller) {
        (Access::Public, _) => Ok(caller),
        (Access::Authenticated(_), None) => Err(Problem::token_missing().into()),
        (Access::Authenticated(callers), Some(Caller { identity, .. })) => {
            lets_in(callers, identity)?;
            if callers.policies {
                permitted(routed, identity)?;
            }
            Ok(caller)
        }
    }
}

/// Whether a route that is not for everyone is for this caller.
fn lets_in(callers: &Callers, identity: &Identity) -> Result<(), Problem> {
    let Callers { users, roles, permissions, .. } = callers;
    match identity.service() {
        Some(name) if !callers.has_service(name) => {
            return Err(Problem::forbidden("Your service may not use this route."));
        }
        None if !users => return Err(Problem::forbidden("This route is for services.")),
        None if !roles.is_empty() && !roles.iter().any(|role| **role == *identity.role()) => {
            return Err(Problem::forbidden("Your role may not use this route."));
        }
        Some(_) | None => {}
    }
    if !permissions.iter().all(|needed| identity.permissions().iter().any(|own| **own == **needed)) {
        return Err(Problem::forbidden("You lack a permission that this route needs."));
    }
    Ok(())
}

/// Whether the application's policies permit it, too.
fn permitted(routed: &Routed, identity: &Identity) -> Result<(), Refusal> {
    let record = &routed.exchange.record;
    let head = &routed.exchange.head;
    // As functions may read it: in another spelling, what is forbidden is forbidden still.
    let path = path::decode(head.uri.path()).map_err(Problem::bad_request)?;
    // Who was identified was so by somebody.
    let Some(auth) = &routed.auth else { return Err(Problem::token_missing().into()) };
    let headers = auth.policies().seen(&head.headers)?;
    let asked = Asked {
        identity,
        route: &routed.route.config,
        method: head.method.as_str(),
        path: &path,
        params: &routed.matched.params,
        headers: &headers,
        client: record.client_ip(),
        is_secure: record.scheme() == "https",
        now_ms: record.shared.clock.now_ms(),
    };
    auth.policies().decide(&asked).map_err(|denied| Refusal::Denied(denied.to_string()))
}

fn caller(routed: &Routed) -> Result<Option<Caller>, Refusal> {
    let record = &routed.exchange.record;
    let (Some(auth), headers) = (&routed.auth, &routed.exchange.head.headers) else { return Ok(None) };
    let now_ms = record.shared.clock.now_ms();
    let identity = auth.identify(headers, now_ms)?;
    let Some(endpoint) = routed.route.push else {
        return Ok(identity.map(|identity| Caller { identity, api_key: None }));
    };
    match (identity, push::shown_ticket(endpoint, &routed.exchange.head.uri)) {
        (Some(_), Some(_)) => Err(Problem::two_credentials().into()),
        (Some(identity), None) => {
            let api_key = identity.api_key().and_then(|_| api_key::shown(headers));
            Ok(Some(Caller { identity, api_key }))
        }
        (None, Some(ticket)) => {
            let push = record.shared.push.as_ref();
            let caller = push.and_then(|push| push.tickets.redeem(&ticket, record.shared.clock.monotonic()));
            let caller = caller.filter(|caller| auth.is_valid(caller, now_ms));
            caller.map(Some).ok_or_else(|| Problem::ticket_invalid().into())
        }
        (None, None) => Ok(None),
    }
}
