//! What the client asks about the registry.

use std::time::Duration;

use hyper::Method;

use super::super::api::{Act, InstanceEntry, RegisterInstance, ServiceDetail, ServiceList};
use super::{ANSWER_TIMEOUT, Client, escaped, query};

/// A change that is waited for: after this index, for so long at most.
pub type Since = Option<(u64, Duration)>;

impl Client {
    /// All services and functions, once something has changed.
    ///
    /// # Errors
    /// If the host does not answer.
    pub async fn services(&self, since: Since) -> anyhow::Result<ServiceList> {
        let path = format!("/v1/services{}", query(&waited(since)));
        self.exchange(Method::GET, &path, Vec::new(), patience(since)).await
    }

    /// One of them with those of its instances that fit, once something of it has changed.
    ///
    /// # Errors
    /// If there is none, or no answer.
    pub async fn service(
        &self,
        name: &str,
        version: Option<&str>,
        tags: &[String],
        healthy: bool,
        since: Since,
    ) -> anyhow::Result<ServiceDetail> {
        let mut parameters = waited(since);
        parameters.push(("version", version.map(str::to_owned)));
        parameters.push(("healthy", healthy.then(|| "true".to_owned())));
        parameters.extend(tags.iter().map(|tag| ("tag", Some(tag.clone()))));
        let path = format!("/v1/services/{}{}", escaped(name), query(&parameters));
        self.exchange(Method::GET, &path, Vec::new(), patience(since)).await
    }

    /// Registers an instance.
    ///
    /// # Errors
    /// If it may not be, or no answer.
    pub async fn register_instance(&self, name: &str, register: &RegisterInstance) -> anyhow::Result<InstanceEntry> {
        let path = format!("/v1/services/{}/instances", escaped(name));
        self.exchange(Method::POST, &path, serde_json::to_vec(register)?, ANSWER_TIMEOUT).await
    }

    /// Takes a registered instance out.
    ///
    /// # Errors
    /// If there is none, or no answer.
    pub async fn deregister_instance(&self, name: &str, id: &str, act: &Act) -> anyhow::Result<()> {
        let path = format!("/v1/services/{}/instances/{}", escaped(name), escaped(id));
        self.exchange(Method::DELETE, &path, serde_json::to_vec(act)?, ANSWER_TIMEOUT).await
    }

    /// Says that a registered instance is there still.
    ///
    /// # Errors
    /// If there is none, or no answer.
    pub async fn renew_instance(&self, name: &str, id: &str) -> anyhow::Result<()> {
        let path = format!("/v1/services/{}/instances/{}/renew", escaped(name), escaped(id));
        self.exchange(Method::POST, &path, Vec::new(), ANSWER_TIMEOUT).await
    }
}

fn waited(since: Since) -> Vec<(&'static str, Option<String>)> {
    let index = since.map(|(index, _)| index.to_string());
    vec![("index", index), ("wait_ms", since.map(|(_, wait)| wait.as_millis().to_string()))]
}

fn patience(since: Since) -> Duration {
    since.map_or(Duration::ZERO, |(_, wait)| wait).saturating_add(ANSWER_TIMEOUT)
}
