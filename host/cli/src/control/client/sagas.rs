//! What the client asks about sagas.

use hyper::Method;
use serde::de::DeserializeOwned;

use super::super::api::{Begun, Migrated, Order, Ordered, Saga, SagaEntry, SagaList, Start, Timeline, Transition};
use super::{ANSWER_TIMEOUT, Client, escaped, escaped_id, query};

/// How long a host may take for what a function has to run for.
const RUN_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(120);

impl Client {
    /// Sagas, newest first. `query` is made by [`query`].
    ///
    /// # Errors
    /// If the host does not answer.
    pub async fn sagas(&self, query: &str) -> anyhow::Result<SagaList> {
        self.get(&format!("/v1/sagas{query}")).await
    }

    /// One saga.
    ///
    /// # Errors
    /// If there is no such saga, or no answer.
    pub async fn saga(&self, id: &str) -> anyhow::Result<Saga> {
        self.get(&format!("/v1/sagas/{}", escaped_id(id))).await
    }

    /// The saga of this id, or all those of this correlation id.
    ///
    /// # Errors
    /// If there is none, or no answer.
    pub async fn timeline(&self, id: &str) -> anyhow::Result<Timeline> {
        self.get(&format!("/v1/sagas/{}/timeline", escaped_id(id))).await
    }

    /// What a saga has exposed under a name.
    ///
    /// # Errors
    /// If there is no such saga, it has exposed nothing under that name, or no answer.
    pub async fn query_saga(&self, id: &str, name: &str) -> anyhow::Result<serde_json::Value> {
        self.get(&format!("/v1/sagas/{}/queries/{}", escaped_id(id), escaped(name))).await
    }

    /// Hands each transition of all sagas, or of one, to `each`, until that one ends or `each` refuses.
    ///
    /// # Errors
    /// If there is no such saga, the host does not answer or goes away, or what `each` says.
    pub async fn transitions(
        &self,
        id: Option<&str>,
        each: impl FnMut(Transition) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let query = query(&[("saga", id.map(ToOwned::to_owned))]);
        self.lines(&format!("/v1/sagas/events{query}"), each).await
    }

    /// Starts a saga.
    ///
    /// # Errors
    /// Why it has not begun.
    pub async fn start(&self, start: &Start) -> anyhow::Result<Begun> {
        self.exchange(Method::POST, "/v1/sagas", serde_json::to_vec(start)?, RUN_TIMEOUT).await
    }

    /// Does something to a saga, but for [`Order::Migrate`]. Answers where it stands then.
    ///
    /// # Errors
    /// Why it is not done.
    pub async fn order(&self, id: &str, ordered: &Ordered) -> anyhow::Result<SagaEntry> {
        self.ordered(id, ordered, ANSWER_TIMEOUT).await
    }

    /// Moves a saga to its component's current code, or tries whether that fits.
    ///
    /// # Errors
    /// Why it is not done, such as what does not fit.
    pub async fn migrate(&self, id: &str, actor: String, reason: String, dry_run: bool) -> anyhow::Result<Migrated> {
        self.ordered(id, &Ordered { actor, reason, order: Order::Migrate { dry_run } }, RUN_TIMEOUT).await
    }

    async fn ordered<T: DeserializeOwned>(
        &self,
        id: &str,
        ordered: &Ordered,
        timeout: std::time::Duration,
    ) -> anyhow::Result<T> {
        let path = format!("/v1/sagas/{}/{}", escaped_id(id), ordered.order.name());
        self.exchange(Method::POST, &path, ordered.to_body()?, timeout).await
    }
}
