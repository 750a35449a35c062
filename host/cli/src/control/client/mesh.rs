//! What the client asks about the mesh.

use hyper::Method;

use super::super::api::{Act, AddFault, BreakerChange, BreakerEntry, Cleared, FaultEntry, PolicyEntry};
use super::{ANSWER_TIMEOUT, Client, escaped_id};

impl Client {
    /// All components that are called, with their breakers.
    ///
    /// # Errors
    /// If the host does not answer.
    pub async fn breakers(&self) -> anyhow::Result<Vec<BreakerEntry>> {
        self.get("/v1/breakers").await
    }

    /// The policy on all of them, and how each stands.
    ///
    /// # Errors
    /// If the host does not answer.
    pub async fn policies(&self) -> anyhow::Result<Vec<PolicyEntry>> {
        self.get("/v1/mesh").await
    }

    /// Hands each change of a breaker to `each`, until the host goes away or `each` refuses.
    ///
    /// # Errors
    /// If the host does not answer or stops in between, or what `each` says.
    pub async fn watch_breakers(&self, each: impl FnMut(BreakerChange) -> anyhow::Result<()>) -> anyhow::Result<()> {
        self.lines("/v1/breakers/watch", each).await
    }

    /// Does something to a breaker: `open`, `close` or `reset`.
    ///
    /// # Errors
    /// If there is none, or no answer.
    pub async fn order_breaker(&self, component: &str, order: &str, act: &Act) -> anyhow::Result<()> {
        let path = format!("/v1/breakers/{}/{order}", escaped_id(component));
        self.exchange(Method::POST, &path, serde_json::to_vec(act)?, ANSWER_TIMEOUT).await
    }

    /// The faults that there are.
    ///
    /// # Errors
    /// If the host does not answer.
    pub async fn faults(&self) -> anyhow::Result<Vec<FaultEntry>> {
        self.get("/v1/faults").await
    }

    /// Makes calls fail on purpose.
    ///
    /// # Errors
    /// If the fault makes no sense, or no answer.
    pub async fn add_fault(&self, add: &AddFault) -> anyhow::Result<()> {
        self.exchange(Method::POST, "/v1/faults", serde_json::to_vec(add)?, ANSWER_TIMEOUT).await
    }

    /// Takes away the faults by hand.
    ///
    /// # Errors
    /// If the host does not answer.
    pub async fn clear_faults(&self, act: &Act) -> anyhow::Result<Cleared> {
        self.exchange(Method::DELETE, "/v1/faults", serde_json::to_vec(act)?, ANSWER_TIMEOUT).await
    }
}
