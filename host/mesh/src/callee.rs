//! What the mesh keeps of one function or service that is called: its policy, its places, its breaker, its budget, its counts. In which order
//! they are asked belongs to `call`.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::broadcast;

use weft_core::manifest::access::{Operation, permits};
use weft_core::{Clock, Failure, Fault, Reason};

use crate::breaker::{Admission, Breaker, BreakerState, BreakerView, Transition, Verdict};
use crate::bulkhead::Bulkhead;
use crate::mirror::Mirror;
use crate::policy::CalleePolicy;
use crate::retry::{self, Budget};
use crate::versions::Chosen;

#[derive(Debug)]
pub(crate) struct Callee {
    pub policy: CalleePolicy,
    pub bulkhead: Bulkhead,
    breaker: Option<Mutex<Breaker>>,
    budget: Mutex<Budget>,
    calls: AtomicU64,
    failures: AtomicU64,
    retries: AtomicU64,
    hedges: AtomicU64,
    told: broadcast::Sender<BreakerEvent>,
}

/// A breaker changed its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakerEvent {
    /// Whose it is: a function's id or a service's name.
    pub component: Arc<str>,
    /// What it did.
    pub from: BreakerState,
    /// What it does now.
    pub to: BreakerState,
}

/// Of one callee, for operators. Counts are since the process began, or since its policy last changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CalleeView {
    /// The function's id, or the service's name.
    pub component: Arc<str>,
    /// Calls made, HTTP requests included.
    pub calls: u64,
    /// Calls without an answer.
    pub failures: u64,
    /// Calls that were made again.
    pub retries: u64,
    /// Calls that were made beside one that had no answer yet.
    pub hedges: u64,
    /// Its breaker, if it has one.
    pub breaker: Option<BreakerView>,
}

/// The policy on one callee as it holds, and how it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CalleeDetail {
    /// What is counted.
    pub view: CalleeView,
    /// What is kept to.
    pub policy: CalleePolicy,
    /// Its other halves, behind middleware of their own.
    pub halves: Vec<Arc<str>>,
    /// Calls that run.
    pub running: usize,
    /// Calls that wait.
    pub pending: usize,
    /// Calls that may be made beyond those that are asked for, now.
    pub budget_left: u64,
}

/// What is done to a breaker by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerOrder {
    /// Refuse all calls until it is reset.
    Open,
    /// Let all calls through until it is reset.
    Close,
    /// Close it, and leave it to itself.
    Reset,
}

impl Callee {
    /// What its breaker does is told to `told`.
    pub fn new(policy: CalleePolicy, told: broadcast::Sender<BreakerEvent>) -> Self {
        let bulkhead = Bulkhead::new(policy.name().into(), policy.max_concurrent, policy.max_pending);
        let breaker =
            policy.failures.breaker.filter(|_| !policy.durable).map(|breaker| Mutex::new(Breaker::new(breaker)));
        let budget = Mutex::new(Budget::new(policy.failures.retry.budget_percent));
        let [calls, failures, retries, hedges] = [(); 4].map(|()| AtomicU64::new(0));
        Self { policy, bulkhead, breaker, budget, calls, failures, retries, hedges, told }
    }

    /// A function may call only what its manifest declares. Linking has seen to it; this holds it for calls that
    /// come another way (a component kept from before a change of the manifest).
    pub fn authorise(&self, caller: Option<&str>, operation: Operation<'_>) -> Result<(), Failure> {
        let Some(caller) = caller else { return Ok(()) };
        // Who may send it requests is said by the hosts that a component may reach.
        let is_caller = matches!(operation, Operation::Request { .. }) || self.policy.callers.contains(caller);
        if is_caller && permits(&self.policy.rules, caller, operation) {
            return Ok(());
        }
        let what = match operation {
            Operation::Function { interface, function } => format!("call {interface}#{function} of"),
            Operation::Request { method, .. } => format!("send {method} to"),
        };
        let message = format!("{caller} may not {what} {}", self.policy.component);
        Err(Failure::not_attempted(Fault::Guest, Reason::Denied, message))
    }

    /// Lets a call through the breaker, if there is one.
    pub fn pass(self: &Arc<Self>, clock: &Arc<dyn Clock>, deadline: Duration) -> Result<Passage, Failure> {
        let admission = match &self.breaker {
            None => None,
            Some(breaker) => Some(self.admit(&mut locked(breaker), clock.monotonic())?),
        };
        let mut passage = self.pass_by(clock, deadline);
        passage.admission = admission;
        Ok(passage)
    }

    /// As [`Self::pass`] where no breaker counts.
    pub fn pass_by(self: &Arc<Self>, clock: &Arc<dyn Clock>, deadline: Duration) -> Passage {
        let (callee, function) = (self.clone(), self.policy.component.clone());
        let (clock, began) = (clock.clone(), clock.monotonic());
        Passage {
            callee,
            function,
            clock,
            began,
            deadline,
            admission: None,
            chosen: None,
            mirror: None,
            is_quiet: false,
        }
    }

    fn admit(&self, breaker: &mut Breaker, now: Duration) -> Result<Admission, Failure> {
        let (admitted, transition) = breaker.admit(now);
        self.note(transition);
        admitted.map_err(|wait| {
            let message = format!("{} fails too often and is left alone for a while", self.policy.name());
            let failure = Failure::not_attempted(self.policy.fault(), Reason::Unavailable, message);
            let wait_ms = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
            failure.retry_after_ms(wait_ms.max(1))
        })
    }

    /// Does something to the breaker by hand. `false` if there is none.
    pub fn order(&self, order: BreakerOrder, now: Duration) -> bool {
        let Some(breaker) = &self.breaker else { return false };
        let mut breaker = locked(breaker);
        let transition = match order {
            BreakerOrder::Open => breaker.force_open(now),
            BreakerOrder::Close => breaker.force_closed(),
            BreakerOrder::Reset => breaker.reset(),
        };
        self.note(transition);
        true
    }

    /// Notes a call that somebody asked for.
    pub fn begin(&self) {
        self.calls.fetch_add(1, Relaxed);
    }

    pub fn failed(&self) {
        self.failures.fetch_add(1, Relaxed);
    }

    pub fn earn(&self, now: Duration) {
        locked(&self.budget).earn(now);
    }

    /// Whether the call may be made again; in any case if that is free.
    pub fn may_retry(&self, is_free: bool, now: Duration) -> bool {
        if is_free {
            self.retries.fetch_add(1, Relaxed);
            return true;
        }
        self.may_spend(now, &self.retries)
    }

    /// Whether the call may be made beside one under way.
    pub fn may_hedge(&self, now: Duration) -> bool {
        self.may_spend(now, &self.hedges)
    }

    fn may_spend(&self, now: Duration, count: &AtomicU64) -> bool {
        let is_there = locked(&self.budget).spend(now);
        if is_there {
            count.fetch_add(1, Relaxed);
        }
        is_there
    }

    pub fn view(&self, now: Duration) -> CalleeView {
        CalleeView {
            component: self.policy.component.clone(),
            calls: self.calls.load(Relaxed),
            failures: self.failures.load(Relaxed),
            retries: self.retries.load(Relaxed),
            hedges: self.hedges.load(Relaxed),
            breaker: self.breaker.as_ref().map(|breaker| locked(breaker).view(now)),
        }
    }

    pub fn detail(&self, halves: Vec<Arc<str>>, now: Duration) -> CalleeDetail {
        let (running, pending) = self.bulkhead.occupied();
        let budget_left = locked(&self.budget).left(now);
        CalleeDetail { view: self.view(now), policy: self.policy.clone(), halves, running, pending, budget_left }
    }

    fn note(&self, transition: Option<Transition>) {
        if let Some(Transition { from, to }) = transition {
            // Nobody may be listening.
            let _ = self.told.send(BreakerEvent { component: self.policy.component.clone(), from, to });
            let (from, to) = (from.as_str(), to.as_str());
            tracing::warn!(component = %self.policy.component, from, to, "a breaker changed its state");
        }
    }
}

/// A call that went through the breaker, until it is known what came of it. Dropped before, it tells nothing, unless its deadline has
/// passed: whoever waited for it may have given up a moment before the answer that says so.
#[derive(Debug)]
#[must_use]
pub struct Passage {
    callee: Arc<Callee>,
    /// Which half of it was asked for.
    function: Arc<str>,
    clock: Arc<dyn Clock>,
    began: Duration,
    /// When the answer is no longer wanted.
    deadline: Duration,
    admission: Option<Admission>,
    chosen: Option<Chosen>,
    mirror: Option<Mirror>,
    /// It is a copy of a call, which counts nowhere.
    is_quiet: bool,
}

impl Passage {
    /// Tells what came of a request over HTTP. An answer may itself say that the function failed.
    pub fn tell<T>(self, answer: &Result<T, Failure>, says_failure: impl FnOnce(&T) -> bool) {
        if answer.is_err() {
            self.callee.failed();
        }
        let verdict = match answer {
            Ok(answer) if says_failure(answer) => Verdict::Failure,
            answer => self.verdict(answer.as_ref().err()),
        };
        self.end(verdict);
    }

    /// The half of the component that was asked for.
    pub(crate) fn to(mut self, function: &Arc<str>) -> Self {
        self.function = function.clone();
        self
    }

    /// The version that serves it, where there are several.
    pub(crate) fn by(mut self, chosen: Option<Chosen>) -> Self {
        self.chosen = chosen;
        self
    }

    /// A place for a copy of the call, where there is to be one.
    pub(crate) fn copied(mut self, mirror: Option<Mirror>) -> Self {
        self.mirror = mirror;
        self
    }

    /// The same for a copy of a call, which counts nowhere.
    pub(crate) fn quiet(mut self) -> Self {
        self.is_quiet = true;
        self
    }

    /// The copy that is to be made of the request, if there is to be one; who asks sees to it.
    pub fn mirror(&mut self) -> Option<Mirror> {
        self.mirror.take()
    }

    /// What the engine knows the function by that is to serve it.
    #[must_use]
    pub fn function(&self) -> &Arc<str> {
        self.chosen.as_ref().map_or(&self.function, |chosen| &chosen.name)
    }

    pub(crate) fn verdict(&self, failure: Option<&Failure>) -> Verdict {
        let took = self.clock.monotonic().saturating_sub(self.began);
        retry::verdict(failure, took, self.callee.policy.attempt_deadline())
    }

    pub(crate) fn end(mut self, verdict: Verdict) {
        self.record(verdict);
    }

    fn record(&mut self, verdict: Verdict) {
        if self.is_quiet {
            return;
        }
        if let Some(chosen) = self.chosen.take() {
            chosen.tell(verdict, self.clock.monotonic().saturating_sub(self.began));
        }
        if let (Some(admission), Some(breaker)) = (self.admission.take(), &self.callee.breaker) {
            let transition = locked(breaker).record(admission, verdict, self.clock.monotonic());
            self.callee.note(transition);
        }
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        if self.is_quiet || (self.admission.is_none() && self.chosen.is_none()) {
            return;
        }
        if self.clock.monotonic() < self.deadline {
            return self.record(Verdict::Nothing);
        }
        let late = Failure::unknown(self.callee.policy.fault(), Reason::Deadline, "");
        self.record(self.verdict(Some(&late)));
    }
}

/// What is behind these locks holds after each statement, so a panic leaves nothing half done.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
