//! What the client asks about the gateway: rate limits, API keys and push.

use hyper::Method;

use weft_core::push::PushStatus;

use super::super::api::{
    Act, ApiKeyEntry, LimitReport, MadeApiKey, MadeServiceToken, NewApiKey, NewServiceToken, OverloadReport,
};
use super::{ANSWER_TIMEOUT, Client, escaped};

impl Client {
    /// How all rate limits stand, with so many of the callers that have used most of each.
    ///
    /// # Errors
    /// If the host does not answer.
    pub async fn limits(&self, callers: usize) -> anyhow::Result<Vec<LimitReport>> {
        self.get(&format!("/v1/limits?callers={callers}")).await
    }

    /// How the adaptive limit on requests that run stands.
    ///
    /// # Errors
    /// If the host does not answer.
    pub async fn overload(&self) -> anyhow::Result<OverloadReport> {
        self.get("/v1/overload").await
    }

    /// How push stands, with so many channels and connections.
    ///
    /// # Errors
    /// If the host does not answer.
    pub async fn push(&self, entries: usize) -> anyhow::Result<PushStatus> {
        self.get(&format!("/v1/push?entries={entries}")).await
    }

    /// All API keys, oldest first.
    ///
    /// # Errors
    /// If the application takes none, or no answer.
    pub async fn api_keys(&self) -> anyhow::Result<Vec<ApiKeyEntry>> {
        self.get("/v1/api-keys").await
    }

    /// Makes an API key.
    ///
    /// # Errors
    /// If it makes no sense or cannot be kept, or no answer.
    pub async fn create_api_key(&self, wanted: &NewApiKey) -> anyhow::Result<MadeApiKey> {
        self.exchange(Method::POST, "/v1/api-keys", serde_json::to_vec(wanted)?, ANSWER_TIMEOUT).await
    }

    /// Makes a token of a service.
    ///
    /// # Errors
    /// If it makes no sense, the host has no key to sign with, or no answer.
    pub async fn create_service_token(&self, wanted: &NewServiceToken) -> anyhow::Result<MadeServiceToken> {
        self.exchange(Method::POST, "/v1/service-tokens", serde_json::to_vec(wanted)?, ANSWER_TIMEOUT).await
    }

    /// Voids all tokens of a service that were made until now.
    ///
    /// # Errors
    /// If the application keeps nowhere what is void, or no answer.
    pub async fn void_service_tokens(&self, service: &str, void: &Act) -> anyhow::Result<()> {
        let path = format!("/v1/service-tokens/{}/void", escaped(service));
        self.exchange(Method::POST, &path, serde_json::to_vec(void)?, ANSWER_TIMEOUT).await
    }

    /// Ends an API key.
    ///
    /// # Errors
    /// If there is none of that id, it cannot be taken out, or no answer.
    pub async fn revoke_api_key(&self, id: &str, revoke: &Act) -> anyhow::Result<ApiKeyEntry> {
        let path = format!("/v1/api-keys/{}/revoke", escaped(id));
        self.exchange(Method::POST, &path, serde_json::to_vec(revoke)?, ANSWER_TIMEOUT).await
    }
}
