//! Deploying versions beside the manifest's components into a host that stands, and what becomes of them when the manifest is deployed
//! anew. What versions are is in [`crate::versions`].

use std::sync::{Arc, PoisonError};

use anyhow::Context as _;

use weft_core::manifest::{Manifest, Variables};

use super::Host;
use crate::versions::{self, Version, VersionError, Versions};
use crate::{assemble, keys};

impl Host {
    /// Deploys a manifest with the versions that are beside its components. Those that it has overtaken are dropped; and all of them, if it
    /// can be deployed only without them, for a version that was tried by hand must not keep a host from starting.
    pub(super) fn deploy_beside(&self, manifest: &Manifest, variables: &Variables) -> anyhow::Result<()> {
        let beside = self.versions.all();
        let dropped = match self.deploy_with(manifest.clone(), variables, &beside) {
            Ok(overtaken) => overtaken,
            Err(error) if beside.is_empty() => return Err(error),
            Err(error) => {
                // It is the manifest's own error if it is there without versions as well.
                self.deploy_with(manifest.clone(), variables, &[]).map(drop)?;
                tracing::error!(%error, "versions beside the manifest's components do not fit it and are dropped");
                beside
            }
        };
        if dropped.is_empty() {
            return Ok(());
        }
        for version in &dropped {
            tracing::info!(component = %version.component, version = version.name(), "a version was dropped");
        }
        let drop_them = |all: &mut Vec<Version>| {
            all.retain(|version| !dropped.contains(version));
            Ok::<_, VersionError>(())
        };
        Ok(self.versions.change(drop_them, |_| Ok(()))?)
    }

    /// The versions beside the manifest's components.
    #[must_use]
    pub fn versions(&self) -> &Versions {
        &self.versions
    }

    /// Puts a version, whose file is in the data directory, beside the manifest's. It serves nothing but what asks for it by header.
    ///
    /// # Errors
    /// If there is no such component or file, or it does not fit in the place of the other.
    pub async fn deploy_version(
        self: Arc<Self>,
        component: Arc<str>,
        digest: Arc<str>,
        headers: Vec<(Arc<str>, Arc<str>)>,
    ) -> anyhow::Result<Version> {
        let manifest = self.manifest();
        let Some(found) = manifest.components.get(&component).filter(|_| !manifest.is_replaced(&component)) else {
            return Err(VersionError::Missing(format!("there is no component {component:?}")).into());
        };
        if found.durable {
            let text = format!(
                "{component} is durable: its sagas end on the code that they began with, and a deployment of the manifest begins new ones on the new"
            );
            return Err(VersionError::Conflict(text).into());
        }
        let file = versions::file(&self.parts.place.data, &digest);
        if !file.is_file() {
            return Err(VersionError::Missing(format!("{} is not there", file.display())).into());
        }
        let beside = self.parts.engine.digest(&component).unwrap_or_default();
        let version = Version { component, digest, weight: 0, headers, beside, canary: None };
        let added = version.clone();
        self.change_versions(move |all| versions::add(all, added)).await?;
        Ok(version)
    }

    /// Takes a version away.
    ///
    /// # Errors
    /// If it cannot be kept so.
    pub async fn remove_version(self: Arc<Self>, gone: Version) -> anyhow::Result<()> {
        let file = versions::file(&self.parts.place.data, &gone.digest);
        let host = self.clone();
        host.change_versions(move |all| {
            all.retain(|version| (&version.component, &version.digest) != (&gone.component, &gone.digest));
            Ok(())
        })
        .await?;
        let is_used =
            self.versions.all().iter().any(|version| versions::file(&self.parts.place.data, &version.digest) == file);
        if !is_used && let Err(error) = std::fs::remove_file(&file) {
            tracing::warn!(file = %file.display(), %error, "the file of a version is left behind");
        }
        Ok(())
    }

    /// Changes which versions there are: all of it, or nothing of it happens.
    async fn change_versions(
        self: Arc<Self>,
        change: impl FnOnce(&mut Vec<Version>) -> Result<(), VersionError> + Send + 'static,
    ) -> anyhow::Result<()> {
        let changing = tokio::task::spawn_blocking(move || {
            let _one_at_a_time = self.deploying.lock().unwrap_or_else(PoisonError::into_inner);
            let manifest = self.manifest();
            let variables = keys::resolve(&manifest, &self.parts.place).map_err(assemble::refused)?;
            let deploy =
                |changed: &[Version]| self.deploy_with(Manifest::clone(&manifest), &variables, changed).map(drop);
            self.versions.change(|all| change(all).map_err(anyhow::Error::from), deploy)
        });
        changing.await.context("a deployment was cut short")?
    }

    /// Changes how much versions serve, and how their canaries stand; not which there are.
    ///
    /// # Errors
    /// Those of `change`, and if it cannot be kept.
    pub async fn change_shares<T: Send + 'static>(
        self: Arc<Self>,
        change: impl FnOnce(&mut Vec<Version>) -> Result<T, VersionError> + Send + 'static,
    ) -> Result<T, VersionError> {
        let changing = tokio::task::spawn_blocking(move || {
            let answer = self.versions.change(change, |_| Ok(()))?;
            // After it is kept: what the mesh does is what a restart would do.
            self.parts.mesh.split(versions::splits(&self.versions.all()));
            Ok(answer)
        });
        changing.await.map_err(|error| VersionError::Conflict(error.to_string()))?
    }
}
