//! What the manifest says about calls to one function, in the units of the code that keeps to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use weft_core::manifest::access::AccessRule;
use weft_core::manifest::mesh::{Breaker, CallPolicy, FaultRule, Retry};
use weft_core::manifest::service::{Ejection, HealthCheck, LoadBalance};
use weft_core::{Backoff, Fault};

use crate::pool::{Instance, PoolPolicy};

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A function of the application.
    Function,
    /// A service outside of it.
    Service,
}

/// Policy on calls to one function or service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CalleePolicy {
    /// The function's id in the manifest, or the service's name.
    pub component: Arc<str>,
    /// Which of them it is.
    pub kind: Kind,
    /// Functions that may call it. The gateway, subscriptions, recovery and operators are not callers in this sense. Who may ask a
    /// service is looked at before the mesh is.
    pub callers: BTreeSet<Arc<str>>,
    /// Which of their calls are let through, as [`weft_core::manifest::access::permits`] has it; all, without a rule.
    pub rules: Vec<AccessRule>,
    /// How long a call may take where the caller has no step open (default 10 s). A shorter remaining deadline of the
    /// caller wins.
    pub deadline: Duration,
    /// Calls that run at the same time (default 100).
    pub max_concurrent: usize,
    /// Calls that wait for one of those to end (default 100). Past it a call fails at once.
    pub max_pending: usize,
    /// Whether a call goes on when its caller gives up. Then it is neither made again nor counted by a breaker: the saga
    /// engine sees to its end.
    pub durable: bool,
    /// What happens to calls that fail.
    pub failures: FailurePolicy,
}

impl CalleePolicy {
    /// How long one attempt may take.
    pub(crate) fn attempt_deadline(&self) -> Duration {
        self.failures.retry.attempt_timeout.map_or(self.deadline, |timeout| timeout.min(self.deadline))
    }
}

/// All that the mesh keeps to.
#[derive(Clone, Debug, Default)]
pub struct Policies {
    /// On functions.
    pub functions: Vec<CalleePolicy>,
    /// Functions that are other halves of components, behind middleware of their own: by their ids the components whose policy, counts,
    /// versions and rights to call are theirs as well.
    pub halves: BTreeMap<Arc<str>, Arc<str>>,
    /// On services.
    pub services: Vec<(CalleePolicy, ServicePolicy)>,
    /// What fails on purpose.
    pub faults: Vec<FaultRule>,
}

/// Policy on requests to one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePolicy {
    /// Which instance a request goes to.
    pub load_balance: LoadBalance,
    /// How it is known which instances are there.
    pub health: HealthCheck,
    /// When an instance is left out for a while.
    pub ejection: Ejection,
    /// Whether what is registered may have private addresses.
    pub allow_private: bool,
    /// The instances that are always there.
    pub instances: Vec<Instance>,
}

impl ServicePolicy {
    pub(crate) fn pool(&self) -> PoolPolicy {
        PoolPolicy { load_balance: self.load_balance, health: self.health.clone(), ejection: self.ejection }
    }
}

impl CalleePolicy {
    /// What is called, for a person.
    #[must_use]
    pub fn name(&self) -> String {
        match self.kind {
            Kind::Function => format!("function {}", self.component),
            Kind::Service => format!("service {}", self.component),
        }
    }

    /// Whose fault it is if it does not answer.
    pub(crate) fn fault(&self) -> Fault {
        match self.kind {
            Kind::Function => Fault::Guest,
            Kind::Service => Fault::Backend,
        }
    }
}

/// What becomes of calls that fail, and of their callee.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FailurePolicy {
    /// When the callee is left alone.
    pub breaker: Option<BreakerPolicy>,
    /// Whether requests from the gateway are the breaker's calls as well.
    pub breaks_http: bool,
    /// When a call is made again.
    pub retry: RetryPolicy,
    /// After how long without an answer a second call is made beside the first.
    pub hedge_after: Option<Duration>,
}

/// When a callee is left alone, as [`weft_core::manifest::mesh::Breaker`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// It opens at no fewer failures within the window.
    pub failure_threshold: u32,
    /// It closes after so many successes in a row; at least 1.
    pub success_threshold: u32,
    /// It opens at no fewer calls within the window.
    pub volume_threshold: u32,
    /// It opens when so many of a hundred calls failed.
    pub error_rate_percent: u32,
    /// Within this time.
    pub window: Duration,
    /// How long it is open before it lets a call through.
    pub reset_after: Duration,
}

/// When a call is made again, as [`weft_core::manifest::mesh::Retry`] says. Never by default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How often at most.
    pub max_retries: u32,
    /// After how long.
    pub backoff: Backoff,
    /// In percent of the calls that are made.
    pub budget_percent: u32,
    /// How long one attempt may take; else all the time there is.
    pub attempt_timeout: Option<Duration>,
    /// Functions that may be called again whatever happened, as `interface#function` or `*`.
    pub idempotent: BTreeSet<Arc<str>>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        let backoff = Backoff { base_ms: 0, factor_percent: 100, cap_ms: 0 };
        Self { max_retries: 0, backoff, budget_percent: 0, attempt_timeout: None, idempotent: BTreeSet::new() }
    }
}

impl FailurePolicy {
    /// What a callee's own tables say, else the application's, else the defaults.
    #[must_use]
    pub fn of(own: &CallPolicy, application: &CallPolicy) -> Self {
        let breaker = own.breaker.or(application.breaker).unwrap_or_default();
        let retry = own.retry.as_ref().or(application.retry.as_ref());
        Self {
            breaker: breaker.enabled.then(|| BreakerPolicy::from(&breaker)),
            breaks_http: breaker.http,
            retry: retry.map_or_else(|| RetryPolicy::from(&Retry::default()), RetryPolicy::from),
            hedge_after: own.hedge.or(application.hedge).map(|hedge| ms(hedge.after_ms)),
        }
    }
}

impl From<&Breaker> for BreakerPolicy {
    fn from(breaker: &Breaker) -> Self {
        Self {
            failure_threshold: breaker.failure_threshold,
            success_threshold: breaker.success_threshold.max(1),
            volume_threshold: breaker.volume_threshold,
            error_rate_percent: breaker.error_rate_percent,
            window: ms(breaker.window_ms),
            reset_after: ms(breaker.reset_after_ms),
        }
    }
}

impl From<&Retry> for RetryPolicy {
    fn from(retry: &Retry) -> Self {
        let Retry { max_retries, base_ms, factor_percent, cap_ms, budget_percent, .. } = *retry;
        Self {
            max_retries,
            backoff: Backoff { base_ms, factor_percent, cap_ms },
            budget_percent,
            attempt_timeout: retry.attempt_timeout_ms.map(ms),
            idempotent: retry.idempotent.iter().map(|function| function.value.clone()).collect(),
        }
    }
}

fn ms(ms: u32) -> Duration {
    Duration::from_millis(ms.into())
}
