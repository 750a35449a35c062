//! One call, through the policies in their order: authorisation, deadline, bulkhead, run. The order matters: a call
//! that is not permitted takes no place in a queue, and time in the queue counts against the deadline.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::future::BoxFuture;

use weft_core::{Call, CallContext, Clock, Failure, Fault, Invocation, Reason, Runner, id};

use crate::bulkhead::{Bulkhead, Permit};
use crate::policy::CalleePolicy;

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
    callees: ArcSwap<HashMap<Arc<str>, Arc<Callee>>>,
}

struct Callee {
    policy: CalleePolicy,
    bulkhead: Bulkhead,
    calls: AtomicU64,
    failures: AtomicU64,
}

/// Counts of one callee since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallStats {
    /// Calls made, HTTP requests included.
    pub calls: u64,
    /// Calls without an answer.
    pub failures: u64,
}

impl<V: Send + 'static> Mesh<V> {
    /// A mesh over `runner`, without callees.
    #[must_use]
    pub fn new(runner: Arc<dyn Runner<V>>, clock: Arc<dyn Clock>) -> Self {
        Self { inner: Arc::new(Inner { runner, clock, callees: ArcSwap::default() }) }
    }

    /// Replaces the policies. A callee whose bounds are unchanged keeps its queue and its counts.
    pub fn configure(&self, policies: Vec<CalleePolicy>) {
        let before = self.inner.callees.load();
        let callees = policies.into_iter().map(|policy| {
            let id = policy.component.clone();
            let kept = before.get(&id).filter(|callee| {
                callee.policy.max_concurrent == policy.max_concurrent
                    && callee.policy.max_pending == policy.max_pending
                    && callee.policy.callers == policy.callers
                    && callee.policy.deadline == policy.deadline
                    && callee.policy.durable == policy.durable
            });
            let callee = kept.cloned().unwrap_or_else(|| Arc::new(Callee::new(policy)));
            (id, callee)
        });
        self.inner.callees.store(Arc::new(callees.collect()));
    }

    /// Takes a place among the calls of a function that is not called through [`Call`] (an HTTP request).
    ///
    /// # Errors
    /// As [`Bulkhead::enter`]; unavailable if there is no such function.
    pub async fn admit(&self, component: &str, deadline: Duration) -> Result<Permit, Failure> {
        let callee = self.inner.callee(component)?;
        callee.calls.fetch_add(1, Ordering::Relaxed);
        let remaining = deadline.saturating_sub(self.inner.clock.monotonic());
        let admitted = callee.bulkhead.enter(remaining).await;
        if admitted.is_err() {
            callee.failures.fetch_add(1, Ordering::Relaxed);
        }
        admitted
    }

    /// Counts by callee.
    #[must_use]
    pub fn stats(&self) -> Vec<(Arc<str>, CallStats)> {
        let callees = self.inner.callees.load();
        let stats = callees.iter().map(|(id, callee)| {
            let calls = callee.calls.load(Ordering::Relaxed);
            (id.clone(), CallStats { calls, failures: callee.failures.load(Ordering::Relaxed) })
        });
        stats.collect()
    }
}

impl Callee {
    fn new(policy: CalleePolicy) -> Self {
        let bulkhead = Bulkhead::new(policy.component.clone(), policy.max_concurrent, policy.max_pending);
        Self { policy, bulkhead, calls: AtomicU64::new(0), failures: AtomicU64::new(0) }
    }

    /// A function may call only what its manifest declares. Linking has seen to it; this holds it for calls that
    /// come another way (a component kept from before a change of the manifest).
    fn authorise(&self, context: &CallContext) -> Result<(), Failure> {
        match &context.caller {
            Some(caller) if !self.policy.callers.contains(caller) => {
                let message = format!("{caller} may not call {}", self.policy.component);
                Err(Failure::not_attempted(Fault::Guest, Reason::Denied, message))
            }
            _ => Ok(()),
        }
    }
}

impl<V> Inner<V> {
    fn callee(&self, component: &str) -> Result<Arc<Callee>, Failure> {
        self.callees.load().get(component).cloned().ok_or_else(|| {
            let message = format!("there is no function {component}");
            Failure::not_attempted(Fault::Host, Reason::Unavailable, message)
        })
    }
}

impl<V: Clone + Send + Sync + 'static> Inner<V> {
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
        let remaining = || deadline.saturating_sub(self.clock.monotonic());
        let too_late = |_| {
            let message = format!("function {} did not answer in time", callee.policy.component);
            Err(Failure::unknown(Fault::Guest, Reason::Deadline, message))
        };
        if callee.policy.durable {
            // What a caller of a durable function gives up is only its wait.
            return tokio::time::timeout(remaining(), self.run_durable(&callee, invocation))
                .await
                .unwrap_or_else(too_late);
        }
        let permit = callee.bulkhead.enter(remaining()).await?;
        let answer = tokio::time::timeout(remaining(), self.runner.run(invocation)).await;
        drop(permit);
        answer.unwrap_or_else(too_late)
    }

    /// Runs a durable function, and again when its run has ended to wait and the wait is over.
    async fn run_durable(&self, callee: &Callee, invocation: Invocation<V>) -> Result<Vec<V>, Failure> {
        let Invocation { target, arguments, context } = invocation;
        loop {
            let remaining = context.deadline.saturating_sub(self.clock.monotonic());
            let permit = callee.bulkhead.enter(remaining).await?;
            let (target, context) = (target.clone(), context.clone());
            let again = Invocation { target: target.clone(), arguments: arguments.clone(), context };
            let answer = detached(self.runner.run(again), permit).await;
            match self.runner.answered_later(&target, &arguments, &answer) {
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

impl<V: Clone + Send + Sync + 'static> Call<V> for Mesh<V> {
    fn call(&self, invocation: Invocation<V>) -> BoxFuture<'static, Result<Vec<V>, Failure>> {
        let inner = self.inner.clone();
        Box::pin(async move {
            let callee = inner.callee(&invocation.target.component)?;
            callee.calls.fetch_add(1, Ordering::Relaxed);
            let answer = inner.call(callee.clone(), invocation).await;
            if let Err(failure) = &answer {
                callee.failures.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(callee = %callee.policy.component, %failure, "call failed");
            }
            answer
        })
    }
}
