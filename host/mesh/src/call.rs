//! One call, through the policies in their order:
//!
//! 1. *authorisation*, by callers and by rules: what is not permitted costs nothing and counts nowhere;
//! 2. *deadline*: all that follows, waits included, counts against it;
//! 3. *bulkhead*: so many run, so many wait, the rest is refused;
//! 4. *version*, where there are several beside each other;
//! 5. *breaker*: a callee that mostly fails is left alone. It sees what a caller would see: a call that was made again and succeeded
//!    is a success;
//! 6. *retry*, within its budget, and *hedging* (`attempts`);
//! 7. for each attempt: its own timeout, *faults* on purpose, and the run itself.
//!
//! A request to a service goes the same way (`service`); in the place of the version each of its attempts is *balanced* over the instances
//! that are neither critical nor *ejected*.
//!
//! Others see to some calls by policies of their own. Inside a step of a saga nothing is made again, and a durable callee goes on
//! when its caller gives up. What the host itself calls (deliveries, schedules, what an operator asks for) is called as it is, without 5 and 6.
//! A copy of a call, and what that calls, has no effects and counts nowhere: 1 to 4, and the run.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::future::BoxFuture;
use tokio::sync::{broadcast, oneshot};

use weft_core::generation::Part;
use weft_core::manifest::access::Operation;
use weft_core::manifest::mesh::FaultRule;
use weft_core::{Call, Clock, Failure, Fault, Generation, Invocation, Origin, Reason, Runner, id};

use crate::attempts::{Attempts, within};
use crate::bulkhead::Permit;
use crate::callee::{BreakerEvent, BreakerOrder, Callee, CalleeDetail, CalleeView, Passage};
use crate::faults::{Faults, Random, Struck, TooManyFaults};
use crate::mirror::MirrorView;
use crate::policy::{CalleePolicy, Policies, ServicePolicy};
use crate::registry::Registry;
use crate::retry;
use crate::versions::{Called, Choice, Chosen, Sample, Split, Versions};

/// Changes of breakers that a slow listener may be behind.
const MAX_EVENTS: usize = 256;

/// Calls functions under policy. `V` is the engine's type of values.
pub struct Mesh<V> {
    pub(crate) inner: Arc<Inner<V>>,
}

impl<V> Clone for Mesh<V> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

pub(crate) struct Inner<V> {
    runner: Arc<dyn Runner<V>>,
    pub clock: Arc<dyn Clock>,
    pub random: Random,
    /// Functions, other halves of them, and services: no two have one name.
    callees: ArcSwap<Callees>,
    pub faults: Faults,
    versions: Versions,
    pub registry: Arc<Registry>,
    told: broadcast::Sender<BreakerEvent>,
}

/// By name.
type Callees = HashMap<Arc<str>, Arc<Callee>>;

/// Callees that nobody calls yet.
pub struct CalleeSet {
    callees: Arc<Callees>,
    services: Vec<(ServicePolicy, Arc<Callee>)>,
    faults: Vec<FaultRule>,
}

impl CalleeSet {
    /// The callees, for [`Generation`].
    #[must_use]
    pub fn part(&self) -> Part {
        self.callees.clone()
    }
}

/// An HTTP request, as far as policy looks at it.
pub struct Asked<'a> {
    /// The component that sends it; none for a client of the gateway.
    pub caller: Option<&'a str>,
    /// Its method.
    pub method: &'a str,
    /// Who stays on a version.
    pub user: Option<&'a str>,
    /// The value of one of its headers.
    pub header: &'a (dyn Fn(&str) -> Option<&'a str> + Sync),
    /// Whether it is what a copy of a call asks, which counts nowhere.
    pub mirrored: bool,
    /// What was deployed when it all began.
    pub generation: Option<&'a Generation>,
}

/// What is asked of a callee that is not there, or has nothing of the kind. Client fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// No component or service of that name.
    #[error("there is no component or service {0:?}")]
    NoCallee(String),
    /// Its policy says that it has none, or it is durable.
    #[error("{0:?} has no breaker")]
    NoBreaker(String),
}

impl<V: Send + 'static> Mesh<V> {
    /// A mesh over `runner`, without callees.
    #[must_use]
    pub fn new(runner: Arc<dyn Runner<V>>, clock: Arc<dyn Clock>, random: Random) -> Self {
        let (callees, faults, versions) = (ArcSwap::default(), Faults::default(), Versions::default());
        let registry = Arc::new(Registry::new(clock.clone()));
        let told = broadcast::Sender::new(MAX_EVENTS);
        Self { inner: Arc::new(Inner { runner, clock, random, callees, faults, versions, registry, told }) }
    }

    /// Replaces the policies on functions and on services, and the faults that are declared: [`Self::prepare`] and [`Self::publish`].
    pub fn configure(&self, policies: Policies) {
        self.publish(self.prepare(policies));
    }

    /// Makes callees of the policies on functions and on services; they are called once [`Self::publish`] has them. A callee whose policy
    /// is unchanged keeps its queue, its breaker and its counts. To be made and given by one at a time.
    #[must_use]
    pub fn prepare(&self, policies: Policies) -> CalleeSet {
        let Policies { functions, halves, services, faults } = policies;
        let before = self.inner.callees.load();
        let callee = |policy: CalleePolicy| {
            let kept = before.get(&policy.component).filter(|callee| callee.policy == policy);
            kept.cloned().unwrap_or_else(|| Arc::new(Callee::new(policy, self.inner.told.clone())))
        };
        let named = |callee: Arc<Callee>| (callee.policy.component.clone(), callee);
        let services: Vec<_> = services.into_iter().map(|(of_callee, own)| (own, callee(of_callee))).collect();
        let of_services = services.iter().map(|(_, callee)| named(callee.clone()));
        let mut callees: Callees =
            functions.into_iter().map(|policy| named(callee(policy))).chain(of_services).collect();
        let of_halves = halves.into_iter().filter_map(|(half, whole)| Some((half, callees.get(&whole)?.clone())));
        callees.extend(of_halves.collect::<Vec<_>>());
        CalleeSet { callees: Arc::new(callees), services, faults }
    }

    /// Replaces all callees, and the faults that are declared. A service keeps the instances that were registered, and each instance what is
    /// known of it.
    pub fn publish(&self, prepared: CalleeSet) {
        let CalleeSet { callees, services, faults } = prepared;
        self.inner.callees.store(callees);
        self.inner.registry.configure(services);
        self.inner.faults.declare(faults);
    }

    /// What breakers do from now on.
    #[must_use]
    pub fn breaker_events(&self) -> broadcast::Receiver<BreakerEvent> {
        self.inner.told.subscribe()
    }

    /// Takes a place among the calls of a function that is not called through [`Call`]: an HTTP request. What came of it is to be told
    /// to the passage.
    ///
    /// # Errors
    /// As [`crate::bulkhead::Bulkhead::enter`]; denied if a rule is against it; unavailable if there is no such function or its breaker
    /// is open.
    pub async fn admit(
        &self,
        component: &str,
        deadline: Duration,
        asked: &Asked<'_>,
    ) -> Result<(Permit, Passage), Failure> {
        let (function, callee) = self.inner.found(asked.generation, component)?;
        let whole = asked.caller.and_then(|caller| self.inner.whole(asked.generation, caller));
        let caller = whole.as_deref().or(asked.caller);
        callee.begin();
        let admitted = self.inner.admit(&callee, &function, deadline, caller, asked).await;
        if admitted.is_err() {
            callee.failed();
        }
        admitted
    }

    /// Replaces which components have several versions, and which of them serves how much.
    pub fn split(&self, splits: Vec<Split>) {
        self.inner.versions.set(splits);
    }

    /// What calls carry on from a request, so that versions are chosen by it on all its way; nothing where all components have one.
    #[must_use]
    pub fn origin<'a>(&self, user: Option<&str>, header: impl Fn(&str) -> Option<&'a str>) -> Option<Arc<Origin>> {
        self.inner.versions.origin(user, header).map(Arc::new)
    }

    /// How the versions of a component do since they are beside each other, that of the manifest first; none where there is one.
    #[must_use]
    pub fn versions(&self, component: &str) -> Vec<(Arc<str>, Sample)> {
        self.inner.versions.samples(component)
    }

    /// What became of the copies of calls that the versions of a component got.
    #[must_use]
    pub fn mirrored(&self, component: &str) -> Vec<(Arc<str>, MirrorView)> {
        self.inner.versions.mirrored(component)
    }

    /// All callees, by name.
    #[must_use]
    pub fn callees(&self) -> Vec<CalleeView> {
        let now = self.inner.clock.monotonic();
        let callees = self.inner.callees.load();
        let wholes = callees.iter().filter(|(name, callee)| **name == callee.policy.component);
        let mut views: Vec<_> = wholes.map(|(_, callee)| callee.view(now)).collect();
        views.sort_by(|one, other| one.component.cmp(&other.component));
        views
    }

    /// The policy on all callees, by name, and how each stands.
    #[must_use]
    pub fn details(&self) -> Vec<CalleeDetail> {
        let (now, callees) = (self.inner.clock.monotonic(), self.inner.callees.load());
        let halves_of = |whole: &Arc<str>| {
            let named = callees.iter().filter(|(name, callee)| *name != whole && callee.policy.component == *whole);
            let mut halves: Vec<_> = named.map(|(name, _)| name.clone()).collect();
            halves.sort();
            halves
        };
        let wholes = callees.iter().filter(|(name, callee)| **name == callee.policy.component);
        let mut details: Vec<_> = wholes.map(|(name, callee)| callee.detail(halves_of(name), now)).collect();
        details.sort_by(|one, other| one.policy.component.cmp(&other.policy.component));
        details
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
    /// A function by its name, and what is kept of the component that it is, or is a half of: in the deployment which a request began
    /// under, or else in that of now.
    fn found(&self, generation: Option<&Generation>, name: &str) -> Result<(Arc<str>, Arc<Callee>), Failure> {
        let found = self.look(generation, |callees| {
            callees.get_key_value(name).map(|(function, callee)| (function.clone(), callee.clone()))
        });
        found.ok_or_else(|| {
            let message = format!("there is no function {name}");
            Failure::not_attempted(Fault::Host, Reason::Unavailable, message)
        })
    }

    /// The component that a caller is a half of, where it is one: rules and faults name that.
    pub fn whole(&self, generation: Option<&Generation>, caller: &str) -> Option<Arc<str>> {
        self.look(generation, |callees| {
            callees.get(caller).map(|callee| &callee.policy.component).filter(|whole| ***whole != *caller).cloned()
        })
    }

    /// Looks among the callees of a deployment, or among those of now.
    fn look<T>(&self, generation: Option<&Generation>, look: impl FnOnce(&Callees) -> T) -> T {
        match generation.and_then(Generation::callees::<Callees>) {
            Some(callees) => look(callees),
            None => look(&self.callees.load()),
        }
    }

    pub fn until(&self, deadline: Duration) -> Duration {
        deadline.saturating_sub(self.clock.monotonic())
    }

    async fn admit(
        &self,
        callee: &Arc<Callee>,
        function: &Arc<str>,
        deadline: Duration,
        caller: Option<&str>,
        asked: &Asked<'_>,
    ) -> Result<(Permit, Passage), Failure> {
        let called = Called { component: &callee.policy.component, function };
        callee.authorise(caller, Operation::Request { method: asked.method, header: asked.header })?;
        let permit = callee.bulkhead.enter(self.until(deadline)).await?;
        let choice = Choice { sticky: asked.user, header: asked.header };
        let chosen = self.versions.choose(called, &choice, (self.random)());
        if asked.mirrored {
            return Ok((permit, callee.pass_by(&self.clock, deadline).to(function).by(chosen).quiet()));
        }
        let is_counted = callee.policy.failures.breaks_http;
        let passage =
            if is_counted { callee.pass(&self.clock, deadline)? } else { callee.pass_by(&self.clock, deadline) };
        let passage = passage.to(function).by(chosen);
        let mirror = self.versions.mirror(called, passage.function(), (self.random)());
        let passage = passage.copied(mirror);
        let struck = Struck { callee: &callee.policy.component, caller, function: None };
        match self.faults.strike(struck, &*self.clock, self.random).await {
            Ok(()) => Ok((permit, passage)),
            Err(failure) => {
                let verdict = passage.verdict(Some(&failure));
                passage.end(verdict);
                Err(failure)
            }
        }
    }
}

impl<V: Clone + PartialEq + Send + Sync + 'static> Inner<V> {
    /// All calls of one user, or else of one trace, go to the same version.
    fn choose(&self, callee: &Callee, invocation: &Invocation<V>) -> Option<Chosen> {
        let (origin, trace) = (invocation.context.origin.as_deref(), invocation.context.trace.as_ref());
        let user = origin.and_then(|origin| origin.user.as_deref());
        let header = |name: &str| {
            let found = origin?.headers.iter().find(|(of, _)| &**of == name);
            found.map(|(_, value)| &**value)
        };
        let choice = Choice { sticky: user.or(trace.map(|trace| &*trace.trace_id)), header: &header };
        let called = Called { component: &callee.policy.component, function: &invocation.target.component };
        self.versions.choose(called, &choice, (self.random)())
    }

    async fn call(self: Arc<Self>, callee: Arc<Callee>, mut invocation: Invocation<V>) -> Result<Vec<V>, Failure> {
        let (caller, target) = (invocation.context.caller.as_deref(), &invocation.target);
        let operation = Operation::Function { interface: &target.interface, function: &target.function };
        callee.authorise(caller, operation)?;
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
        if context.mirrored {
            return self.call_mirrored(&callee, invocation).await;
        }
        if callee.policy.durable {
            // What a caller of a durable function gives up is only its wait.
            let run = self.run_durable(&callee, invocation);
            return within(&*self.clock, self.until(deadline), &callee, run).await;
        }
        let permit = callee.bulkhead.enter(self.until(deadline)).await?;
        let chosen = self.choose(&callee, &invocation);
        let is_by_host = invocation.context.caller.is_none();
        let passage =
            if is_by_host { callee.pass_by(&self.clock, deadline) } else { callee.pass(&self.clock, deadline)? };
        let passage = passage.to(&invocation.target.component).by(chosen);
        let copy = self.copy(&callee, &invocation, passage.function());
        invocation.target.component = passage.function().clone();
        let again = invocation.context.step.is_none() && !is_by_host;
        let is_idempotent =
            || invocation.keyed || retry::is_declared(&callee.policy.failures.retry, &invocation.target);
        let attempts = Attempts {
            callee: &callee,
            clock: &*self.clock,
            random: self.random,
            deadline,
            again,
            is_idempotent: &is_idempotent,
            is_free: &|_| false,
        };
        let answer = attempts.run(|| self.run(&callee, invocation.clone()));
        let answer = within(&*self.clock, self.until(deadline), &callee, answer).await;
        drop(permit);
        if let (Some(copy), Ok(values)) = (copy, &answer) {
            // It may have come to its end without waiting.
            let _ = copy.send(values.clone());
        }
        let verdict = passage.verdict(answer.as_ref().err());
        passage.end(verdict);
        answer
    }

    /// Makes a copy of the call, if a version is to get one; what the call is answered is to be told to it.
    fn copy(
        self: &Arc<Self>,
        callee: &Arc<Callee>,
        invocation: &Invocation<V>,
        by: &str,
    ) -> Option<oneshot::Sender<Vec<V>>> {
        let called = Called { component: &callee.policy.component, function: &invocation.target.component };
        let mirror = self.versions.mirror(called, by, (self.random)())?;
        let mut copy = invocation.clone();
        copy.target.component = mirror.name.clone();
        copy.context.mirrored = true;
        copy.context.step = None;
        let (told, answered) = oneshot::channel::<Vec<V>>();
        let (inner, callee) = (self.clone(), callee.clone());
        tokio::spawn(async move {
            let left = inner.until(copy.context.deadline);
            let answer = within(&*inner.clock, left, &callee, inner.runner.run(copy)).await;
            let is_alike = answered.await.ok().map(|call| answer.as_ref().is_ok_and(|values| *values == call));
            mirror.tell(answer.is_ok(), is_alike);
        });
        Some(told)
    }

    /// What the copy of a call calls. A saga cannot be begun without effects.
    async fn call_mirrored(&self, callee: &Callee, mut invocation: Invocation<V>) -> Result<Vec<V>, Failure> {
        if callee.policy.durable {
            let message = format!("a mirrored call has no effects, and {} is durable", callee.policy.component);
            return Err(Failure::not_attempted(Fault::Guest, Reason::Denied, message));
        }
        let deadline = invocation.context.deadline;
        let _permit = callee.bulkhead.enter(self.until(deadline)).await?;
        if let Some(chosen) = self.choose(callee, &invocation) {
            invocation.target.component = chosen.name;
        }
        within(&*self.clock, self.until(deadline), callee, self.runner.run(invocation)).await
    }

    async fn run(&self, callee: &Callee, invocation: Invocation<V>) -> Result<Vec<V>, Failure> {
        let target = &invocation.target;
        let struck = Struck {
            callee: &callee.policy.component,
            caller: invocation.context.caller.as_deref(),
            function: Some((&target.interface, &target.function)),
        };
        self.faults.strike(struck, &*self.clock, self.random).await?;
        self.runner.run(invocation).await
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

impl<V: Clone + PartialEq + Send + Sync + 'static> Call<V> for Mesh<V> {
    fn call(&self, mut invocation: Invocation<V>) -> BoxFuture<'static, Result<Vec<V>, Failure>> {
        let inner = self.inner.clone();
        Box::pin(async move {
            let (_, callee) = inner.found(invocation.context.generation.as_ref(), &invocation.target.component)?;
            let context = &mut invocation.context;
            let whole = context.caller.as_deref().and_then(|caller| inner.whole(context.generation.as_ref(), caller));
            context.caller = whole.or(context.caller.take());
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
