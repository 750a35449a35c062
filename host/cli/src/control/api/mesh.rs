//! The mesh over the control socket: breakers, and faults on purpose.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use weft_core::manifest::mesh::{ABORTS, FaultRule, abort, is_function};
use weft_mesh::CalleeView;

/// One entry of `GET /v1/breakers`: a component or service that is called.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct BreakerEntry {
    /// The component or service.
    pub component: String,
    /// `closed`, `open` or `half-open`; `none` if it has no breaker.
    pub state: String,
    /// Whether it was put there by hand and stays until it is reset.
    pub forced: bool,
    /// Calls that ended within the breaker's window.
    pub window_calls: u64,
    /// Those of them that failed.
    pub window_failures: u64,
    /// How long until it lets a call through, in milliseconds.
    pub retry_after_ms: Option<u64>,
    /// How often it has opened.
    pub opened: u64,
    /// Calls that it has refused.
    pub refused: u64,
    /// Calls made, HTTP requests included. This and what follows: since the host started, or since the callee's policy changed.
    pub calls: u64,
    /// Calls without an answer.
    pub failures: u64,
    /// Calls made again.
    pub retries: u64,
    /// Calls made beside one without an answer yet.
    pub hedges: u64,
}

impl From<CalleeView> for BreakerEntry {
    fn from(view: CalleeView) -> Self {
        let breaker = view.breaker;
        let retry_after = breaker.and_then(|breaker| breaker.retry_after);
        Self {
            component: view.component.to_string(),
            state: breaker.map_or("none", |breaker| breaker.state.as_str()).to_owned(),
            forced: breaker.is_some_and(|breaker| breaker.forced),
            window_calls: breaker.map_or(0, |breaker| breaker.calls),
            window_failures: breaker.map_or(0, |breaker| breaker.failures),
            retry_after_ms: retry_after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
            opened: breaker.map_or(0, |breaker| breaker.opened),
            refused: breaker.map_or(0, |breaker| breaker.refused),
            calls: view.calls,
            failures: view.failures,
            retries: view.retries,
            hedges: view.hedges,
        }
    }
}

/// One line of `GET /v1/breakers/watch`: a breaker changed its state.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct BreakerChange {
    /// When, in milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// Whose breaker it is: a component or a service.
    pub component: String,
    /// `closed`, `open` or `half-open`.
    pub from: String,
    /// The same.
    pub to: String,
}

/// One entry of `GET /v1/faults`, and the fault of [`AddFault`].
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FaultEntry {
    /// The component or service that is called; any without it.
    #[serde(default)]
    pub callee: Option<Arc<str>>,
    /// The component that calls; anyone without it.
    #[serde(default)]
    pub caller: Option<Arc<str>>,
    /// The function, as `interface#function`; any without it.
    #[serde(default)]
    pub function: Option<Arc<str>>,
    /// How many of a hundred calls it strikes.
    pub percent: u32,
    /// How much later those calls begin, in milliseconds.
    #[serde(default)]
    pub delay_ms: Option<u32>,
    /// How those calls fail.
    #[serde(default)]
    pub abort: Option<String>,
    /// Whether the manifest declares it; else it was added by hand.
    #[serde(default)]
    pub declared: bool,
}

impl FaultEntry {
    /// A rule as it is shown.
    #[must_use]
    pub fn of(rule: &FaultRule, declared: bool) -> Self {
        let FaultRule { callee, caller, function, percent, delay_ms, abort } = rule.clone();
        let abort = abort.map(|reason| reason.as_str().to_owned());
        Self { callee, caller, function, percent, delay_ms, abort, declared }
    }

    /// The rule that it says.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn rule(&self) -> Result<FaultRule, String> {
        let reason = match &self.abort {
            None => None,
            Some(name) => Some(abort(name).ok_or_else(|| {
                let known = ABORTS.map(weft_core::Reason::as_str).join(", ");
                format!("{name:?} is no failure; there are {known}")
            })?),
        };
        if !(1..=100).contains(&self.percent) {
            return Err(format!("{} percent is not between 1 and 100", self.percent));
        }
        if self.delay_ms.is_some_and(|ms| !(1..=600_000).contains(&ms)) {
            return Err("a delay is between 1 and 600,000 milliseconds".to_owned());
        }
        if let Some(function) = self.function.as_deref().filter(|function| !is_function(function)) {
            return Err(format!("{function:?} is no function: write it as interface#function"));
        }
        if reason.is_none() && self.delay_ms.is_none() {
            return Err("a fault delays calls or makes them fail".to_owned());
        }
        let Self { callee, caller, function, percent, delay_ms, .. } = self.clone();
        Ok(FaultRule { callee, caller, function, percent, delay_ms, abort: reason })
    }
}

/// `POST /v1/faults`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AddFault {
    /// Who does it.
    pub actor: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// What fails.
    pub fault: FaultEntry,
}

/// What `DELETE /v1/faults` is answered with.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Cleared {
    /// Faults that were taken away.
    pub cleared: usize,
}
