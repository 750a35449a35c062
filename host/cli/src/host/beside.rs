//! Deploying versions beside the manifest's components into a host that stands, and what becomes of them when the manifest is deployed
//! anew. What versions are is in [`crate::versions`].

use std::sync::Arc;

use anyhow::Context as _;

use super::{Host, deployment};
use crate::versions::{self, Version, VersionError, Versions};
use crate::{assemble, keys};

impl Host {
    /// The versions beside the manifest's components.
    #[must_use]
    pub fn versions(&self) -> &Versions {
        &self.versions
    }

    /// The versions that the manifest puts beside its components.
    #[must_use]
    pub fn declared_versions(&self) -> Vec<Version> {
        versions::declared(&self.manifest(), |function| self.parts.engine.digest(function))
    }

    fn split(&self, by_hand: &[Version]) {
        self.parts.mesh.split(versions::splits(by_hand, &self.declared_versions()));
    }

    /// Drops the versions that stand beside code which is no longer the manifest's, and those that the engine has left out.
    pub(super) fn drop_overtaken(&self) {
        let engine = &self.parts.engine;
        let running = engine.function_ids();
        let is_kept = |version: &Version| {
            running.contains(&version.function()) && engine.digest(&version.component).as_ref() == Some(&version.beside)
        };
        let all = self.versions.all();
        let dropped: Vec<&Version> = all.iter().filter(|version| !is_kept(version)).collect();
        for version in &dropped {
            tracing::info!(component = %version.component, version = version.name(), "a version was dropped");
            engine.remove_version(&version.function());
        }
        let drop_them = |all: &mut Vec<Version>| {
            all.retain(|version| is_kept(version));
            Ok(())
        };
        let split = |all: &[Version]| self.split(all);
        if dropped.is_empty() {
            return self.versions.with(split);
        }
        match self.versions.change(drop_them, split) {
            Ok(()) => self.versions.sweep(),
            // The manifest is deployed; calls that name a version which is gone go to its component, and the next start drops it again.
            Err(error) => tracing::error!(%error, "that versions were dropped is not kept"),
        }
    }

    /// Puts a version, whose file is in the data directory, beside the manifest's. It serves nothing but what asks for it by header.
    ///
    /// # Errors
    /// If there is no such component or file, or it does not fit in the place of the other. Nothing has changed then.
    pub async fn deploy_version(
        self: Arc<Self>,
        component: Arc<str>,
        digest: Arc<str>,
        mirror: u32,
        headers: Vec<(Arc<str>, Arc<str>)>,
    ) -> anyhow::Result<Version> {
        let deploying = tokio::task::spawn_blocking(move || {
            let _one_at_a_time = self.deployed.changing.clone().blocking_lock_owned();
            let deployed = self.deploy_one(component, digest, mirror, headers);
            if deployed.is_err() {
                self.versions.sweep();
            }
            deployed
        });
        deploying.await.context("a deployment was cut short")?
    }

    fn deploy_one(
        &self,
        component: Arc<str>,
        digest: Arc<str>,
        mirror: u32,
        headers: Vec<(Arc<str>, Arc<str>)>,
    ) -> anyhow::Result<Version> {
        let manifest = self.manifest();
        let Some(found) = manifest.components.get(&component).filter(|_| !manifest.is_replaced(&component)) else {
            return Err(VersionError::Missing(format!("there is no component {component:?}")).into());
        };
        if found.durable {
            let text = format!(
                "{component} is durable: its sagas end on the code that they began with, and a deployment of the \
                 manifest begins new ones on the new"
            );
            return Err(VersionError::Conflict(text).into());
        }
        let file = versions::file(&self.parts.place.data, &digest);
        if !file.is_file() {
            return Err(VersionError::Missing(format!("{} is not there", file.display())).into());
        }
        let beside = self.parts.engine.digest(&component).unwrap_or_default();
        let version = Version { component, digest, weight: 0, mirror, headers, beside, canary: None, declared: None };
        // What is to be wrong with it is told before anything is compiled.
        versions::add(&mut self.versions.all().to_vec(), version.clone())?;
        let variables = keys::resolve(&manifest, &self.parts.place).map_err(assemble::refused)?;
        let of_manifest = deployment::functions_of(&self.parts, &manifest, &variables).map_err(assemble::refused)?;
        let functions = versions::functions(std::slice::from_ref(&version), &of_manifest, &self.parts.place.data);
        for spec in &functions {
            self.parts.engine.deploy_version(spec).map_err(|error| assemble::engine_refused(&manifest, error))?;
        }
        let added = version.clone();
        let split = |all: &[Version]| self.split(all);
        if let Err(error) = self.versions.change(|all| versions::add(all, added), split) {
            self.parts.engine.remove_version(&version.function());
            return Err(error.into());
        }
        Ok(version)
    }

    /// Takes a version away.
    ///
    /// # Errors
    /// If it cannot be kept so; nothing has changed then.
    pub async fn remove_version(self: Arc<Self>, gone: Version) -> anyhow::Result<()> {
        let removing = tokio::task::spawn_blocking(move || {
            let _one_at_a_time = self.deployed.changing.clone().blocking_lock_owned();
            let remove = |all: &mut Vec<Version>| {
                all.retain(|version| (&version.component, &version.digest) != (&gone.component, &gone.digest));
                Ok::<_, VersionError>(())
            };
            self.versions.change(remove, |left| self.split(left))?;
            self.parts.engine.remove_version(&gone.function());
            self.versions.sweep();
            Ok(())
        });
        removing.await.context("a removal was cut short")?
    }

    /// Changes how much versions serve, and how their canaries stand; not which there are.
    ///
    /// # Errors
    /// Those of `change`, and if it cannot be kept; nothing has changed then.
    pub async fn change_shares<T: Send + 'static>(
        self: Arc<Self>,
        change: impl FnOnce(&mut Vec<Version>) -> Result<T, VersionError> + Send + 'static,
    ) -> Result<T, VersionError> {
        let changing = tokio::task::spawn_blocking(move || self.versions.change(change, |all| self.split(all)));
        changing.await.map_err(|error| VersionError::Conflict(error.to_string()))?
    }
}
