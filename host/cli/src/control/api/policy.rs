//! The policy on calls to each component and service over the control socket, as it holds now, and how it stands.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use weft_core::manifest::access::AccessRule;
use weft_mesh::{CalleeDetail, FunctionView, Kind, RetryPolicy, WHOLE};

use super::mesh::BreakerEntry;

/// One entry of `GET /v1/mesh`: a component or service that is called.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct PolicyEntry {
    /// The component or service.
    pub name: String,
    /// `function` or `service`.
    pub kind: String,
    /// Whether it is durable: the saga engine sees to its calls, and breaker, retry and hedging do not.
    pub durable: bool,
    /// Its other halves, behind middleware of their own, which all of this is about as well.
    pub halves: Vec<String>,
    /// How long a call may take, in milliseconds.
    pub deadline_ms: u64,
    /// How many calls may run.
    pub max_concurrent: usize,
    /// How many do.
    pub running: usize,
    /// How many may wait for one of those to end.
    pub max_pending: usize,
    /// How many do.
    pub pending: usize,
    /// When it is left alone; nothing without a breaker.
    pub breaker: Option<BreakerPolicyEntry>,
    /// When a call is made again; nothing where none ever is.
    pub retry: Option<RetryEntry>,
    /// After how long without an answer a second call is made, in milliseconds.
    pub hedge_after_ms: Option<u64>,
    /// Components whose manifest lets them call it.
    pub callers: Vec<String>,
    /// Which of their calls are let through; all without a rule.
    pub rules: Vec<RuleEntry>,
    /// Its versions, that of the manifest first; none for a service.
    pub versions: Vec<ShareEntry>,
    /// How it stands.
    pub now: BreakerEntry,
}

/// When a callee is left alone, as the manifest has it.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct BreakerPolicyEntry {
    /// It opens at no fewer failures within the window,
    pub failure_threshold: u32,
    /// no fewer calls,
    pub volume_threshold: u32,
    /// and at least this share of failures.
    pub error_rate_percent: u32,
    /// The window, in milliseconds.
    pub window_ms: u64,
    /// How long it is open before it lets calls through to see, in milliseconds.
    pub reset_after_ms: u64,
    /// So many successes in a row close it.
    pub success_threshold: u32,
    /// Whether requests from the gateway are its calls too.
    pub http: bool,
}

/// When a call is made again, as the manifest has it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct RetryEntry {
    /// How often at most.
    pub max_retries: u32,
    /// The longest first wait, in milliseconds.
    pub base_ms: u32,
    /// By how much the longest wait grows each time, in percent.
    pub factor_percent: u32,
    /// The longest wait, in milliseconds.
    pub cap_ms: u32,
    /// How long one attempt may take, in milliseconds; all the time there is without it.
    pub attempt_timeout_ms: Option<u64>,
    /// Of so many of a hundred calls one more may be made within ten seconds.
    pub budget_percent: u32,
    /// How many more may be made now.
    pub budget_left: u64,
    /// What may be called twice, beside what says so itself.
    pub idempotent: Vec<String>,
}

/// A rule on calls.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct RuleEntry {
    /// `allow` or `deny`.
    pub action: String,
    /// Whose calls it fits; anybody's without one.
    pub callers: Vec<String>,
    /// Which functions.
    pub functions: Vec<String>,
    /// Which methods.
    pub methods: Vec<String>,
    /// Which headers, as `name=value`.
    pub headers: Vec<String>,
}

/// How much a version serves.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct ShareEntry {
    /// Its name.
    pub version: String,
    /// Of a hundred calls so many.
    pub percent: f64,
}

impl PolicyEntry {
    /// What is kept of a callee, with the versions that the registry has of it.
    #[must_use]
    pub fn of(detail: CalleeDetail, function: Option<FunctionView>) -> Self {
        let CalleeDetail { view, policy, halves, running, pending, budget_left } = detail;
        let failures = &policy.failures;
        let is_retried = !policy.durable && failures.retry.max_retries > 0;
        let breaker = failures.breaker.filter(|_| view.breaker.is_some());
        let versions = function.into_iter().flat_map(|function| function.versions);
        Self {
            name: policy.component.to_string(),
            kind: if policy.kind == Kind::Function { super::FUNCTION } else { "service" }.to_owned(),
            durable: policy.durable,
            halves: texts(&halves),
            deadline_ms: ms(policy.deadline),
            max_concurrent: policy.max_concurrent,
            running,
            max_pending: policy.max_pending,
            pending,
            breaker: breaker.map(|breaker| BreakerPolicyEntry {
                failure_threshold: breaker.failure_threshold,
                volume_threshold: breaker.volume_threshold,
                error_rate_percent: breaker.error_rate_percent,
                window_ms: ms(breaker.window),
                reset_after_ms: ms(breaker.reset_after),
                success_threshold: breaker.success_threshold,
                http: failures.breaks_http,
            }),
            retry: is_retried.then(|| RetryEntry::of(&failures.retry, budget_left)),
            hedge_after_ms: failures.hedge_after.filter(|_| !policy.durable).map(ms),
            callers: texts(&policy.callers),
            rules: policy.rules.iter().map(RuleEntry::from).collect(),
            versions: versions
                .map(|one| ShareEntry { version: one.version.to_string(), percent: percent(one.weight) })
                .collect(),
            now: view.into(),
        }
    }

    /// Whether it is what a person means by a name: its own, or that of a half.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.halves.iter().any(|half| half == name)
    }
}

impl RetryEntry {
    fn of(policy: &RetryPolicy, budget_left: u64) -> Self {
        Self {
            max_retries: policy.max_retries,
            base_ms: policy.backoff.base_ms,
            factor_percent: policy.backoff.factor_percent,
            cap_ms: policy.backoff.cap_ms,
            attempt_timeout_ms: policy.attempt_timeout.map(ms),
            budget_percent: policy.budget_percent,
            budget_left,
            idempotent: texts(&policy.idempotent),
        }
    }
}

impl From<&AccessRule> for RuleEntry {
    fn from(rule: &AccessRule) -> Self {
        Self {
            action: if rule.allows { "allow" } else { "deny" }.to_owned(),
            callers: texts(&rule.callers),
            functions: texts(&rule.functions),
            methods: texts(&rule.methods),
            headers: rule.headers.iter().map(|(name, value)| format!("{name}={value}")).collect(),
        }
    }
}

fn texts<'a, T: ToString + 'a>(all: impl IntoIterator<Item = &'a T>) -> Vec<String> {
    all.into_iter().map(ToString::to_string).collect()
}

fn percent(weight: u32) -> f64 {
    f64::from(weight) * 100.0 / f64::from(WHOLE)
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
