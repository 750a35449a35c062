//! Deploying versions beside the manifest's components into a host that stands, and what becomes of them when the manifest is deployed
//! anew. What versions are is in [`crate::versions`].

use std::sync::Arc;

use anyhow::Context as _;

use weft_mesh::{FunctionVersion, WHOLE};

use super::{Host, deployment};
use crate::versions::{self, NAME_DIGITS, Version, VersionError, Versions};
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

    /// Splits calls between the versions, and tells whoever watches the registry.
    fn split(&self, by_hand: &[Version]) {
        let (mesh, declared) = (&self.parts.mesh, self.declared_versions());
        mesh.split(versions::splits(by_hand, &declared));
        let beside: Vec<&Version> = by_hand.iter().chain(&declared).collect();
        let manifest = self.manifest();
        let wholes = manifest.running().filter(|component| component.split_from.is_none());
        let noted = wholes.map(|component| (component.id.clone(), self.versions_of(&component.id, &beside)));
        mesh.registry().note_functions(noted.collect());
    }

    fn versions_of(&self, component: &Arc<str>, beside: &[&Version]) -> Vec<FunctionVersion> {
        let digest = self.parts.engine.digest(component);
        let mut left = WHOLE;
        let mut versions = Vec::new();
        for version in beside.iter().filter(|version| version.component == *component) {
            let weight = version.weight.min(left);
            left -= weight;
            versions.push(FunctionVersion {
                name: version.function(),
                version: version.name().into(),
                digest: Some(version.digest.clone()),
                weight,
                declared: version.declared.is_some(),
            });
        }
        let version = digest.as_deref().and_then(|digest| digest.get(..NAME_DIGITS)).unwrap_or_default().into();
        let own = FunctionVersion { name: component.clone(), version, digest, weight: left, declared: true };
        versions.insert(0, own);
        versions
    }

    /// Drops the versions that stand beside code which is no longer the manifest's, and those that the engine has left out.
    pub(super) fn drop_overtaken(&self) {
        let (engine, manifest) = (&self.parts.engine, self.manifest());
        let running = engine.function_ids();
        let is_kept = |version: &Version| {
            let functions = version.functions(&manifest);
            !functions.is_empty()
                && functions.iter().all(|function| running.contains(function))
                && engine.digest(&version.component).as_ref() == Some(&version.beside)
        };
        let all = self.versions.all();
        let dropped: Vec<&Version> = all.iter().filter(|version| !is_kept(version)).collect();
        for version in &dropped {
            tracing::info!(component = %version.component, version = version.name(), "a version was dropped");
            self.unlink(version);
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
            Err(error) => {
                tracing::error!(%error, "that versions were dropped is not kept");
                let kept = |all: &[Version]| all.iter().filter(|version| is_kept(version)).cloned().collect::<Vec<_>>();
                self.versions.with(|all| self.split(&kept(all)));
            }
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
        if let Some(whole) = &found.split_from {
            let text = format!("{component} is {whole} behind middleware, and serves the versions that {whole} has");
            return Err(VersionError::Conflict(text).into());
        }
        if manifest.is_part(found) {
            let text = format!("{component} is only composed into others, and a version of it would serve nothing");
            return Err(VersionError::Conflict(text).into());
        }
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
        let functions = versions::functions(&version, &manifest, &of_manifest, &self.parts.place.data);
        let linked = functions.map_err(|problem| assemble::refused(vec![problem])).and_then(|functions| {
            let link = |spec| self.parts.engine.deploy_version(spec);
            functions.iter().try_for_each(link).map_err(|error| assemble::engine_refused(&manifest, error))
        });
        let split = |all: &[Version]| self.split(all);
        let added = linked.and_then(|()| Ok(self.versions.change(|all| versions::add(all, version.clone()), split)?));
        if added.is_err() {
            self.unlink(&version);
        }
        added.map(|()| version)
    }

    /// Takes the functions of a version away. Calls that have chosen it go to the manifest's, behind the same middleware.
    fn unlink(&self, version: &Version) {
        for function in version.functions(&self.manifest()) {
            self.parts.engine.remove_version(&function);
        }
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
            self.unlink(&gone);
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
