//! What the client asks about versions of components.

use std::path::Path;
use std::time::Duration;

use hyper::Method;

use super::super::api::{DeployVersion, OrderVersion, VersionEntry};
use super::{Client, escaped_id};

/// How long a host may take to compile a version, or to ask it how it is.
const COMPILING: Duration = Duration::from_mins(5);

impl Client {
    /// The versions of all components that have several.
    ///
    /// # Errors
    /// If the host does not answer.
    pub async fn versions(&self) -> anyhow::Result<Vec<VersionEntry>> {
        self.get("/v1/versions").await
    }

    /// The data directory of the host.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Puts a version, whose file is in the data directory, beside the manifest's.
    ///
    /// # Errors
    /// If it is refused, or no answer.
    pub async fn deploy_version(&self, deploy: &DeployVersion) -> anyhow::Result<VersionEntry> {
        self.exchange(Method::POST, "/v1/versions", serde_json::to_vec(deploy)?, COMPILING).await
    }

    /// Does something to a version. Answers how the component's versions stand then.
    ///
    /// # Errors
    /// If there is none, it is refused, or no answer.
    pub async fn order_version(&self, component: &str, order: &OrderVersion) -> anyhow::Result<Vec<VersionEntry>> {
        let path = format!("/v1/versions/{}", escaped_id(component));
        self.exchange(Method::POST, &path, serde_json::to_vec(order)?, COMPILING).await
    }
}
