//! One call, through the policies in their order:
//!
//! 1. *authorisation*: what is not permitted costs nothing and counts nowhere;
//! 2. *deadline*: all that follows, waits included, counts against it;
//! 3. *bulkhead*: so many run, so many wait, the rest is refused;
//! 4. *version*, where there are several beside each other;
//! 5. *breaker*: a callee that mostly fails is left alone. It sees what a caller would see: a call that was made again and succeeded
//!    is a success;
//! 6. *retry*, within its budget, and *hedging*;
//! 7. for each attempt: its own timeout, *faults* on purpose, and the run itself.
//!
//! Others see to some calls by policies of their own. Inside a step of a saga nothing is made again, and a durable callee goes on
//! when its caller gives up. What the host itself calls (deliveries, schedules, what an operator asks for) is called as it is, without 5 and 6.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::future::{BoxFuture, Either, select, select_ok};

use weft_core::manifest::mesh::FaultRule;
use weft_core::{Call, Clock, Failure, Fault, Invocation, Reason, Runner, id};

use crate::bulkhead::Permit;
use crate::callee::{BreakerOrder, Callee, CalleeView, Passage};
use crate::faults::{Faults, Random, Struck, TooManyFaults};
use crate::policy::CalleePolicy;
use crate::retry;
use crate::versions::{Choice, Chosen, Sample, Split, Versions};

/// Calls functions under policy. `V` is the engine's type of values.
pub struct Mesh<V> {
    inner: Arc<Inner<V>>,
}

impl<V> Clone for Mesh<V> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

struct Inner<V> {
    runner: Arc<dyn Runner<V>>,
    clock: Arc<dyn Clock>,
    random: Random,
    callees: ArcSwap<HashMap<Arc<str>, Arc<Callee>>>,
    faults: Faults,
    versions: Versions,
}

/// What is asked of a callee that is not there, or has nothing of the kind. Client fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// No component of that name.
    #[error("there is no component {0:?}")]
    NoCallee(String),
    /// Its policy says that it has none, or it is durable.
    #[error("component {0:?} has no breaker")]
    NoBreaker(String),
}

impl<V: Send + 'static> Mesh<V> {
    /// A mesh over `runner`, without callees.
    #[must_use]
    pub fn new(runner: Arc<dyn Runner<V>>, clock: Arc<dyn Clock>, random: Random) -> Self {
        let (callees, faults, versions) = (ArcSwap::default(), Faults::default(), Versions::default());
        Self { inner: Arc::new(Inner { runner, clock, random, callees, faults, versions }) }
    }

    /// Replaces the policies, and the faults that are declared. A callee whose policy is unchanged keeps its queue, its breaker
    /// and its counts.
    pub fn configure(&self, policies: Vec<CalleePolicy>, faults: Vec<FaultRule>) {
        let before = self.inner.callees.load();
        let callees = policies.into_iter().map(|policy| {
            let id = policy.component.clone();
            let kept = before.get(&id).filter(|callee| callee.policy == policy);
            (id, kept.cloned().unwrap_or_else(|| Arc::new(Callee::new(policy))))
        });
        self.inner.callees.store(Arc::new(callees.collect()));
        self.inner.faults.declare(faults);
    }

    /// Takes a place among the calls of a function that is not called through [`Call`]: an HTTP request. What came of it is to be told
    /// to the passage.
    ///
    /// # Errors
    /// As [`crate::bulkhead::Bulkhead::enter`]; unavailable if there is no such function or its breaker is open.
    pub async fn admit(
        &self,
        component: &str,
        deadline: Duration,
        choice: &Choice<'_>,
    ) -> Result<(Permit, Passage), Failure> {
        let callee = self.inner.callee(component)?;
        callee.begin();
        let admitted = self.inner.admit(&callee, deadline, choice).await;
        if admitted.is_err() {
            callee.failed();
        }
        admitted
    }

    /// Replaces which components have several versions, and which of them serves how much.
    pub fn split(&self, splits: Vec<Split>) {
        self.inner.versions.set(splits);
    }

    /// How the versions of a component do since they are beside each other, that of the manifest first; none where there is one.
    #[must_use]
    pub fn versions(&self, component: &str) -> Vec<(Arc<str>, Sample)> {
        self.inner.versions.samples(component)
    }

    /// All callees, by name.
    #[must_use]
    pub fn callees(&self) -> Vec<CalleeView> {
        let now = self.inner.clock.monotonic();
        let mut views: Vec<_> = self.inner.callees.load().values().map(|callee| callee.view(now)).collect();
        views.sort_by(|one, other| one.component.cmp(&other.component));
        views
    }

    /// Does something to a breaker by hand.
    ///
    /// # Errors
    /// [`OrderError`] if there is none.
    pub fn order_breaker(&self, component: &str, order: BreakerOrder) -> Result<(), OrderError> {
        let callee = self.inner.callees.load().get(component).cloned();
        let callee = callee.ok_or_else(|| OrderError::NoCallee(component.to_owned()))?;
        let is_done = callee.order(order, self.inner.clock.monotonic());
        if is_done { Ok(()) } else { Err(OrderError::NoBreaker(component.to_owned())) }
    }

    /// Makes some calls fail on purpose, until [`Self::clear_faults`] or the end of the process.
    ///
    /// # Errors
    /// If there are as many as there may be.
    pub fn add_fault(&self, rule: &FaultRule) -> Result<(), TooManyFaults> {
        self.inner.faults.add(rule)
    }

    /// Takes away the faults that were added by hand; answers how many.
    #[must_use]
    pub fn clear_faults(&self) -> usize {
        self.inner.faults.clear()
    }

    /// The faults that the manifest declares, and those by hand.
    #[must_use]
    pub fn faults(&self) -> (Arc<Vec<FaultRule>>, Arc<Vec<FaultRule>>) {
        self.inner.faults.rules()
    }
}

impl<V> Inner<V> {
    fn callee(&self, component: &str) -> Result<Arc<Callee>, Failure> {
        self.callees.load().get(component).cloned().ok_or_else(|| {
            let message = format!("there is no function {component}");
            Failure::not_attempted(Fault::Host, Reason::Unavailable, message)
        })
    }

    fn until(&self, deadline: Duration) -> Duration {
        deadline.saturating_sub(self.clock.monotonic())
    }

    async fn admit(
        &self,
        callee: &Arc<Callee>,
        deadline: Duration,
        choice: &Choice<'_>,
    ) -> Result<(Permit, Passage), Failure> {
        let permit = callee.bulkhead.enter(self.until(deadline)).await?;
        let chosen = self.versions.choose(&callee.policy.component, choice, (self.random)());
        let is_counted = callee.policy.failures.breaks_http;
        let passage = if is_counted { callee.pass(&self.clock)? } else { callee.pass_by(&self.clock) }.by(chosen);
        let struck = Struck { callee: &callee.policy.component, caller: None, function: None };
        self.faults.strike(struck, &*self.clock, self.random).await?;
        Ok((permit, passage))
    }
}

impl<V: Send + Sync + 'static> Inner<V> {
    /// All calls of one trace to a component go to the same version.
    fn choose(&self, invocation: &Invocation<V>) -> Option<Chosen> {
        let sticky = invocation.context.trace.as_ref().map(|trace| &*trace.trace_id);
        let choice = Choice { sticky, header: &|_| None };
        self.versions.choose(&invocation.target.component, &choice, (self.random)())
    }

    async fn call(self: Arc<Self>, callee: Arc<Callee>, mut invocation: Invocation<V>) -> Result<Vec<V>, Failure> {
        callee.authorise(&invocation.context)?;
        let now = self.clock.monotonic();
        let context = &mut invocation.context;
        // Inside a saga's step the step's timeout rules; else the callee's own deadline, if it is the nearer one.
        if context.step.is_none() {
            context.deadline = context.deadline.min(now + callee.policy.deadline);
        }
        if let Some(trace) = &mut context.trace {
            trace.span_id = id::new_span_id();
        }
        let deadline = context.deadline;
        if callee.policy.durable {
            // What a caller of a durable function gives up is only its wait.
            let run = self.run_durable(&callee, invocation);
            return self.within(self.until(deadline), &callee, run).await;
        }
        let permit = callee.bulkhead.enter(self.until(deadline)).await?;
        let chosen = self.choose(&invocation);
        let is_by_host = invocation.context.caller.is_none();
        let passage = if is_by_host { callee.pass_by(&self.clock) } else { callee.pass(&self.clock)? }.by(chosen);
        invocation.target.component = passage.function().clone();
        let answer = self.within(self.until(deadline), &callee, self.attempts(&callee, invocation)).await;
        drop(permit);
        let verdict = passage.verdict(&answer);
        passage.end(verdict);
        answer
    }

    /// The call, and the call again while that is worth it.
    async fn attempts(&self, callee: &Callee, invocation: Invocation<V>) -> Result<Vec<V>, Failure> {
        let policy = &callee.policy.failures.retry;
        callee.earn(self.clock.monotonic());
        if invocation.context.step.is_some() || invocation.context.caller.is_none() {
            return self.attempt(callee, invocation).await;
        }
        let is_idempotent = || invocation.keyed || retry::is_declared(policy, &invocation.target);
        let mut ended = 0;
        loop {
            let answer = match callee.policy.failures.hedge_after.filter(|_| is_idempotent()) {
                Some(after) => self.hedged(callee, &invocation, after).await,
                None => self.attempt(callee, invocation.clone()).await,
            };
            ended += 1;
            let Err(failure) = &answer else { return answer };
            if ended > policy.max_retries || !retry::is_worth_it(failure, is_idempotent) {
                return answer;
            }
            let wait_ms = policy.backoff.wait_ms(ended, failure.retry_after_ms, (self.random)());
            let wait = Duration::from_millis(wait_ms);
            // Nobody would see what comes of it.
            if wait >= self.until(invocation.context.deadline) || !callee.may_retry(self.clock.monotonic()) {
                return answer;
            }
            tracing::debug!(callee = %callee.policy.component, %failure, wait_ms, "a call is made again");
            self.clock.sleep(wait).await;
        }
    }

    /// A call, and after a while a second beside it: the first answer counts.
    async fn hedged(&self, callee: &Callee, invocation: &Invocation<V>, after: Duration) -> Result<Vec<V>, Failure> {
        let first = Box::pin(self.attempt(callee, invocation.clone()));
        let first = match select(first, self.clock.sleep(after)).await {
            Either::Left((answer, _)) => return answer,
            Either::Right(((), first)) => first,
        };
        if !callee.may_hedge(self.clock.monotonic()) {
            return first.await;
        }
        let second = Box::pin(self.attempt(callee, invocation.clone()));
        select_ok([first, second]).await.map(|(answer, _)| answer)
    }

    async fn attempt(&self, callee: &Callee, invocation: Invocation<V>) -> Result<Vec<V>, Failure> {
        let attempt = async {
            let target = &invocation.target;
            let struck = Struck {
                callee: &callee.policy.component,
                caller: invocation.context.caller.as_deref(),
                function: Some((&target.interface, &target.function)),
            };
            self.faults.strike(struck, &*self.clock, self.random).await?;
            self.runner.run(invocation).await
        };
        match callee.policy.failures.retry.attempt_timeout {
            Some(timeout) => self.within(timeout, callee, attempt).await,
            None => attempt.await,
        }
    }

    async fn within<T>(
        &self,
        time: Duration,
        callee: &Callee,
        answer: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        match select(pin!(answer), self.clock.sleep(time)).await {
            Either::Left((answer, _)) => answer,
            Either::Right(_) => {
                let message = format!("function {} did not answer in time", callee.policy.component);
                Err(Failure::unknown(Fault::Guest, Reason::Deadline, message))
            }
        }
    }

    /// Runs a durable function, and again when its run has ended to wait and the wait is over.
    async fn run_durable(&self, callee: &Callee, invocation: Invocation<V>) -> Result<Vec<V>, Failure> {
        loop {
            let permit = callee.bulkhead.enter(self.until(invocation.context.deadline)).await?;
            let answer = detached(self.runner.run(invocation.clone()), permit).await;
            match self.runner.answered_later(&invocation.target, &invocation.arguments, &answer) {
                Some(answered) => answered.await,
                None => return answer,
            }
        }
    }
}

async fn detached<V: Send + 'static>(
    run: BoxFuture<'static, Result<Vec<V>, Failure>>,
    permit: Permit,
) -> Result<Vec<V>, Failure> {
    let task = tokio::spawn(async move {
        let answer = run.await;
        drop(permit);
        answer
    });
    task.await.unwrap_or_else(|error| {
        tracing::error!(%error, "the task of a durable function ended without an answer");
        Err(Failure::unknown(Fault::Host, Reason::Internal, "the function stopped without an answer"))
    })
}

impl<V: Send + Sync + 'static> Call<V> for Mesh<V> {
    fn call(&self, invocation: Invocation<V>) -> BoxFuture<'static, Result<Vec<V>, Failure>> {
        let inner = self.inner.clone();
        Box::pin(async move {
            let callee = inner.callee(&invocation.target.component)?;
            callee.begin();
            let answer = inner.call(callee.clone(), invocation).await;
            if let Err(failure) = &answer {
                callee.failed();
                tracing::debug!(callee = %callee.policy.component, %failure, "call failed");
            }
            answer
        })
    }
}

#[cfg(test)]
mod tests;
