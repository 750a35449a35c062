//! What the client asks about events, subscriptions, dead letters and schemas.

use hyper::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::super::api::{
    DeadLetterEntry, DeadLetterOrder, Deprecate, EventEntry, EventList, Publish, Published, Reached, RegisterSchema,
    SchemaEntry, SetMode, SubscriptionEntry, SubscriptionOrder,
};
use super::Client;

/// How long a host may take for what writes much.
const WRITE_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(60);

impl Client {
    /// One page of events, newest first. `query` is made by [`super::query`].
    ///
    /// # Errors
    /// If the host does not answer.
    pub async fn events(&self, query: &str) -> anyhow::Result<EventList> {
        self.get(&format!("/v1/events{query}")).await
    }

    /// Hands each event to `each`, those to come as well, until the host goes or `each` refuses.
    ///
    /// # Errors
    /// If the host does not answer or goes away, or what `each` says.
    pub async fn tail_events(
        &self,
        query: &str,
        each: impl FnMut(EventEntry) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.lines(&format!("/v1/events/tail{query}"), each).await
    }

    /// Publishes events; they are durable when this answers.
    ///
    /// # Errors
    /// Why they are not.
    pub async fn publish(&self, publish: &Publish) -> anyhow::Result<Published> {
        self.post("/v1/events", publish).await
    }

    /// How subscriptions stand.
    ///
    /// # Errors
    /// If the host does not answer.
    pub async fn subscriptions(&self) -> anyhow::Result<Vec<SubscriptionEntry>> {
        self.get("/v1/subscriptions").await
    }

    /// Does something to a subscription: `pause`, `resume` or `seek`.
    ///
    /// # Errors
    /// Why it is not done.
    pub async fn order_subscription(&self, act: &str, order: &SubscriptionOrder) -> anyhow::Result<Reached> {
        self.post(&format!("/v1/subscriptions/{act}"), order).await
    }

    /// Dead letters, oldest first, without their data. `query` is made by [`super::query`].
    ///
    /// # Errors
    /// If the host does not answer.
    pub async fn dead_letters(&self, query: &str) -> anyhow::Result<Vec<DeadLetterEntry>> {
        self.get(&format!("/v1/dead-letters{query}")).await
    }

    /// One dead letter with its data.
    ///
    /// # Errors
    /// If there is none, or no answer.
    pub async fn dead_letter(&self, id: i64) -> anyhow::Result<DeadLetterEntry> {
        self.get(&format!("/v1/dead-letters/{id}")).await
    }

    /// Does something to dead letters: `edit`, `replay` or `purge`.
    ///
    /// # Errors
    /// Why it is not done.
    pub async fn order_dead_letters(&self, act: &str, order: &DeadLetterOrder) -> anyhow::Result<Reached> {
        self.post(&format!("/v1/dead-letters/{act}"), order).await
    }

    /// Registers the next version of a type.
    ///
    /// # Errors
    /// Why it is not registered.
    pub async fn register_schema(&self, order: &RegisterSchema) -> anyhow::Result<SchemaEntry> {
        self.post("/v1/schemas/register", order).await
    }

    /// Sets the mode of a type.
    ///
    /// # Errors
    /// If there is no such type, or no answer.
    pub async fn set_schema_mode(&self, order: &SetMode) -> anyhow::Result<SchemaEntry> {
        self.post("/v1/schemas/mode", order).await
    }

    /// Deprecates a field or a type.
    ///
    /// # Errors
    /// If there is none, or no answer.
    pub async fn deprecate_schema(&self, order: &Deprecate) -> anyhow::Result<SchemaEntry> {
        self.post("/v1/schemas/deprecate", order).await
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> anyhow::Result<T> {
        self.exchange(Method::POST, path, serde_json::to_vec(body)?, WRITE_TIMEOUT).await
    }
}
