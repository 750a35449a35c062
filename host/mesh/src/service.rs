//! One request to a service, through the policies that calls of functions go through, in their order (see `call`). What is different: there is
//! no version to choose; instead each attempt picks an instance, another one than those that were tried. An attempt tells its instance's
//! average and its ejection what came of it; the breaker sees what the caller sees. What did not begin at one instance is made again at another
//! without a budget: no more is done than was asked for.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use weft_core::manifest::access::Operation;
use weft_core::{Clock, Failure, Fault, Generation, Outcome, Reason};

use crate::attempts::{Attempts, Failing, within};
use crate::breaker::Verdict;
use crate::bulkhead::Permit;
use crate::call::{Inner, Mesh};
use crate::faults::Struck;
use crate::pool::{Instance, Token};
use crate::registry::{Registry, Service};
use crate::retry;

/// A request, as far as policy cares.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// Of which service.
    pub service: &'a str,
    /// Who asks.
    pub caller: Option<&'a str>,
    /// When the answer is no longer wanted, on the host clock's monotonic time.
    pub deadline: Duration,
    /// Its method.
    pub method: &'a str,
    /// The value of one of its headers.
    pub header: &'a (dyn Fn(&str) -> Option<&'a str> + Sync),
    /// Whether it has its effect once however often it is made.
    pub is_idempotent: bool,
    /// Whether it can be made more than once at all: a body that streams cannot be sent again, and a step of a saga says itself when
    /// something is made again.
    pub again: bool,
    /// Whether it is what a copy of a call asks: it is made once, and counts nowhere.
    pub mirrored: bool,
    /// What was deployed when it all began.
    pub generation: Option<&'a Generation>,
}

/// Where an attempt is to go.
#[derive(Clone, Debug)]
pub struct Destination {
    /// The instance.
    pub instance: Arc<Instance>,
    /// Whether its address may be a private one.
    pub may_be_private: bool,
}

/// A request's place among those of its service and of its instance, until its answer has been read.
#[derive(Debug)]
#[must_use]
pub struct Serving {
    _permit: Permit,
    _flight: Flight,
}

impl<V: Send + Sync + 'static> Mesh<V> {
    /// The services and their instances.
    #[must_use]
    pub fn registry(&self) -> &Arc<Registry> {
        &self.inner.registry
    }

    /// Makes a request to a service by `send`, under its policies. Until what comes with the answer is dropped, the request counts as
    /// under way.
    ///
    /// # Errors
    /// What `send` says of the last attempt, or a failure of the policies: as of a call.
    pub async fn request<T, E, S, M>(&self, ask: &Ask<'_>, send: S) -> Result<(T, Serving), E>
    where
        T: Send,
        E: Failing,
        S: Fn(Destination) -> M + Sync,
        M: Future<Output = Result<T, E>> + Send,
    {
        let service = self.inner.registry.find(ask.service).ok_or_else(|| {
            let message = format!("there is no service {}", ask.service);
            Failure::not_attempted(Fault::Client, Reason::Unavailable, message)
        })?;
        let whole = ask.caller.and_then(|caller| self.inner.whole(ask.generation, caller));
        let caller = whole.as_deref().or(ask.caller);
        service.callee.begin();
        let answer = self.inner.request(&service, ask, caller, &send).await;
        if let Err(error) = &answer {
            service.callee.failed();
            tracing::debug!(service = ask.service, failure = %error.failure(), "request failed");
        }
        answer
    }
}

impl<V: Send + Sync + 'static> Inner<V> {
    async fn request<T, E, S, M>(
        &self,
        service: &Arc<Service>,
        ask: &Ask<'_>,
        caller: Option<&str>,
        send: &S,
    ) -> Result<(T, Serving), E>
    where
        T: Send,
        E: Failing,
        S: Fn(Destination) -> M + Sync,
        M: Future<Output = Result<T, E>> + Send,
    {
        let callee = &service.callee;
        callee.authorise(caller, Operation::Request { method: ask.method, header: ask.header })?;
        let deadline = ask.deadline.min(self.clock.monotonic() + callee.policy.deadline);
        let permit = callee.bulkhead.enter(self.until(deadline)).await?;
        let passage = if ask.mirrored {
            callee.pass_by(&self.clock, deadline).quiet()
        } else {
            callee.pass(&self.clock, deadline)?
        };
        let is_idempotent =
            || ask.is_idempotent || retry::is_declared_method(&callee.policy.failures.retry, ask.method);
        let tried: Mutex<Vec<Token>> = Mutex::default();
        let is_free = |failure: &Failure| {
            let tried = tried.lock().unwrap_or_else(PoisonError::into_inner);
            failure.outcome == Outcome::NotAttempted && !tried.is_empty() && service.pool().has_other(&tried)
        };
        let attempts = Attempts {
            callee,
            clock: &*self.clock,
            random: self.random,
            deadline,
            again: ask.again && !ask.mirrored,
            is_idempotent: &is_idempotent,
            is_free: &is_free,
        };
        let one = || self.attempt(service, ask, caller, deadline, &tried, send);
        let answer = within(&*self.clock, self.until(deadline), callee, attempts.run(one)).await;
        let verdict = passage.verdict(answer.as_ref().err().map(E::failure));
        passage.end(verdict);
        answer.map(|(answer, flight)| (answer, Serving { _permit: permit, _flight: flight }))
    }

    async fn attempt<T, E, S, M>(
        &self,
        service: &Arc<Service>,
        ask: &Ask<'_>,
        caller: Option<&str>,
        deadline: Duration,
        tried: &Mutex<Vec<Token>>,
        send: &S,
    ) -> Result<(T, Flight), E>
    where
        E: Failing,
        S: Fn(Destination) -> M + Sync,
        M: Future<Output = Result<T, E>> + Send,
    {
        // A fault on purpose is nobody's fault: it says nothing of any instance.
        let struck = Struck { callee: ask.service, caller, function: None };
        self.faults.strike(struck, &*self.clock, self.random).await?;
        let picked = {
            let mut tried = tried.lock().unwrap_or_else(PoisonError::into_inner);
            let picked = self.registry.pick(service, &tried, (self.random)());
            tried.extend(picked.as_ref().map(|(token, _)| *token));
            picked
        };
        let Some((token, instance)) = picked else {
            let message = format!("{} has no instance", service.callee.policy.name());
            return Err(Failure::not_attempted(Fault::Backend, Reason::Unavailable, message).into());
        };
        let began = self.clock.monotonic();
        let own = service.callee.policy.failures.retry.attempt_timeout.map(|timeout| began + timeout);
        let flight = Flight {
            registry: self.registry.clone(),
            service: service.clone(),
            clock: self.clock.clone(),
            token,
            began,
            until: own.map_or(deadline, |own| own.min(deadline)),
            is_told: ask.mirrored,
        };
        let may_be_private = service.may_be_private(&instance);
        let answer = send(Destination { instance, may_be_private }).await;
        let flight = flight.tell(answer.as_ref().err().map(E::failure));
        answer.map(|answer| (answer, flight))
    }
}

/// A request that is under way at an instance. Dropped before it is told what came of it, it tells nothing, unless its time was over.
#[derive(Debug)]
struct Flight {
    registry: Arc<Registry>,
    service: Arc<Service>,
    clock: Arc<dyn Clock>,
    token: Token,
    began: Duration,
    /// When the answer is no longer wanted.
    until: Duration,
    is_told: bool,
}

impl Flight {
    fn tell(mut self, failure: Option<&Failure>) -> Self {
        if !self.is_told {
            self.record(failure);
        }
        self
    }

    fn record(&mut self, failure: Option<&Failure>) {
        let took = self.clock.monotonic().saturating_sub(self.began);
        let verdict = retry::verdict(failure, took, self.service.callee.policy.attempt_deadline());
        self.is_told = true;
        if verdict != Verdict::Nothing {
            self.registry.record(&self.service, self.token, verdict, took);
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.is_told && self.clock.monotonic() >= self.until {
            self.record(Some(&Failure::unknown(Fault::Backend, Reason::Deadline, "")));
        }
        self.service.pool().end(self.token);
    }
}

#[cfg(test)]
mod tests;
