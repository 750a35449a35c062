//! What was registered while the host ran, kept in `services.json` of the data directory and there again after a restart. It is on the
//! medium before whoever registers or deregisters is answered.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use weft_core::whole;
use weft_mesh::{Instance, RegistryError};

use super::ExternalServices;

/// Why something is not registered or deregistered.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The registry does not do it.
    #[error(transparent)]
    Refused(#[from] RegistryError),
    /// It could not be kept. Nothing has changed then.
    #[error("the registered instances cannot be kept in {}: {source}", path.display())]
    Kept {
        /// Where.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// One registered instance.
#[derive(Debug, Deserialize, Serialize)]
struct Kept {
    service: Arc<str>,
    id: Arc<str>,
    address: String,
    weight: u32,
    version: Option<Arc<str>>,
    tags: Vec<Arc<str>>,
    ttl_ms: Option<u64>,
}

type Registered = Vec<(Arc<str>, Arc<Instance>)>;

impl ExternalServices {
    /// Registers what was kept. What no longer fits the manifest is dropped, and the log says so. Blocks.
    ///
    /// # Errors
    /// If what is kept cannot be read.
    pub fn restore(&self) -> Result<(), KeepError> {
        let path = &self.inner.file;
        let failed = |source| KeepError::Kept { path: path.clone(), source };
        let kept: Vec<Kept> = match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| failed(error.into()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed(error)),
        };
        for Kept { service, id, address, weight, version, tags, ttl_ms } in kept {
            let address = address.parse().map_err(|error| failed(io::Error::other(error)))?;
            let ttl = ttl_ms.map(Duration::from_millis);
            let instance = Instance { id: id.clone(), address, weight, version, tags, ttl, declared: false };
            if let Err(error) = self.inner.mesh.registry().register(&service, instance) {
                tracing::warn!(%service, instance = %id, %error, "an instance that was registered is dropped");
            }
        }
        Ok(())
    }

    /// Registers an instance, in the place of one that is called so.
    ///
    /// # Errors
    /// [`KeepError`].
    pub async fn register(&self, service: &str, instance: Instance) -> Result<(), KeepError> {
        let registry = self.inner.mesh.registry();
        let _one_at_a_time = self.inner.changing.lock().await;
        registry.may_register(service, &instance)?;
        let mut all = registry.registered();
        let is_other = |one: &(Arc<str>, Arc<Instance>)| *one.0 != *service || one.1.id != instance.id;
        all.retain(is_other);
        all.push((service.into(), Arc::new(instance.clone())));
        self.keep(all).await?;
        Ok(registry.register(service, instance)?)
    }

    /// Takes a registered instance out.
    ///
    /// # Errors
    /// [`KeepError`].
    pub async fn deregister(&self, service: &str, id: &str) -> Result<Arc<Instance>, KeepError> {
        let registry = self.inner.mesh.registry();
        let _one_at_a_time = self.inner.changing.lock().await;
        let mut all = registry.registered();
        all.retain(|(name, instance)| **name != *service || *instance.id != *id);
        self.keep(all).await?;
        Ok(registry.deregister(service, id)?)
    }

    /// Keeps what is registered now.
    pub(super) async fn keep_what_there_is(&self) -> Result<(), KeepError> {
        let _one_at_a_time = self.inner.changing.lock().await;
        self.keep(self.inner.mesh.registry().registered()).await
    }

    async fn keep(&self, all: Registered) -> Result<(), KeepError> {
        let kept = all.iter().map(|(service, instance)| Kept {
            service: service.clone(),
            id: instance.id.clone(),
            address: instance.address.to_string(),
            weight: instance.weight,
            version: instance.version.clone(),
            tags: instance.tags.clone(),
            ttl_ms: instance.ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)),
        });
        let kept: Vec<Kept> = kept.collect();
        let path = self.inner.file.clone();
        let write = move || whole::write(&path, &serde_json::to_vec_pretty(&kept)?);
        let written = tokio::task::spawn_blocking(write).await.map_err(io::Error::other).and_then(|written| written);
        written.map_err(|source| KeepError::Kept { path: self.inner.file.clone(), source })
    }
}
