//! Takes up a changed manifest in a host that serves: whoever asks for it (`weft reload`, SIGHUP, `weft up --watch`), one at a time, and all of
//! it or nothing. First everything that may fail is made ready: components, schemas, keys, certificates, addresses. Then it is
//! taken up: functions and callees, and in one step what the gateway serves, so that each request belongs to one manifest. What begins by
//! itself (schedules, deliveries, projections) follows. Also reads the files of keys again when they change.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, bail};
use arc_swap::ArcSwapOption;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use weft_core::manifest::Manifest;
use weft_gateway::Deployment;

use crate::api_keys::Keyring;
use crate::assemble::{self, Dialect};
use crate::commands::build;
use crate::control::api::{ManifestStatus, ReloadError, Reloaded};
use crate::edge::{self, Edge};
use crate::host::{Host, Prepared};
use crate::https::Serving;
use crate::watched::{Changes, WatchedFolders};
use crate::{keys, restart};

/// Whether components are built before they are loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    /// As the manifest says.
    First,
    /// What is there is taken.
    No,
}

/// What a reload works on.
pub struct Parts {
    /// What runs the functions.
    pub host: Arc<Host>,
    /// What serves them.
    pub edge: Arc<Edge>,
    /// The API keys, if any are taken.
    pub api_keys: Arc<ArcSwapOption<Keyring>>,
    /// Whose application it is.
    pub dialect: Dialect,
    /// Whether the manifest's rate limits count.
    pub rate_limited: bool,
}

/// Reloads a host.
pub struct Reloader {
    parts: Parts,
    /// Held while the host is reloaded; nothing once it is not to be any more.
    serving: tokio::sync::Mutex<Option<Serving>>,
    key_files: WatchedFolders,
    status: Mutex<ManifestStatus>,
    /// Told after each manifest that was taken up.
    taken: watch::Sender<()>,
}

/// What was made ready.
struct Ready {
    prepared: Prepared,
    deployment: Deployment,
}

impl Reloader {
    /// For a host that serves its first manifest; until `stop` is cancelled the files of keys are watched.
    ///
    /// # Errors
    /// If the system cannot watch the files.
    pub fn start(parts: Parts, serving: Serving, stop: CancellationToken) -> anyhow::Result<Arc<Self>> {
        let (key_files, changes) = WatchedFolders::new("keys", |_| true)?;
        let manifest = parts.host.manifest();
        key_files.extend_to(edge::key_files(&manifest))?;
        let status = ManifestStatus {
            digest: manifest.digest.to_string(),
            deployed_ms: parts.host.parts().clock.now_ms(),
            last_error: None,
        };
        let (serving, status) = (tokio::sync::Mutex::new(Some(serving)), Mutex::new(status));
        let reloader = Arc::new(Self { parts, serving, key_files, status, taken: watch::Sender::default() });
        let following = reloader.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = following.follow_keys(changes) => {}
                () = stop.cancelled() => {}
            }
        });
        Ok(reloader)
    }

    /// The manifest that runs, and what became of the last reload.
    #[must_use]
    pub fn status(&self) -> ManifestStatus {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The host.
    #[must_use]
    pub fn host(&self) -> &Arc<Host> {
        &self.parts.host
    }

    /// Tells of each manifest that is taken up from now on.
    #[must_use]
    pub fn taken(&self) -> watch::Receiver<()> {
        self.taken.subscribe()
    }

    /// Waits for a reload that is under way; there is none after it, so that the host can be closed.
    pub async fn stop(&self) {
        self.serving.lock().await.take();
    }

    /// Takes up the manifest as it is in its file now.
    ///
    /// # Errors
    /// Why not: [`assemble::Refused`] with places where there are any. Everything is as before then.
    pub async fn reload(&self, build: Build) -> anyhow::Result<Reloaded> {
        let mut serving = self.serving.lock().await;
        let Some(serving) = &mut *serving else { bail!("the host is going down") };
        let reloaded = self.take_up(serving, build).await;
        let now_ms = self.parts.host.parts().clock.now_ms();
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        match &reloaded {
            Ok(Reloaded { digest, deployed_ms, needs_restart, behind }) => {
                tracing::info!(digest, "deployed");
                needs_restart.iter().for_each(|what| tracing::warn!("{what}"));
                behind.iter().for_each(|what| tracing::error!("deployed, but {what}"));
                let last_error =
                    (!behind.is_empty()).then(|| ReloadError { at_ms: now_ms, message: behind.join("\n") });
                *status = ManifestStatus { digest: digest.clone(), deployed_ms: *deployed_ms, last_error };
            }
            Err(error) => {
                tracing::error!("not deployed, everything stays as it is: {error:#}");
                status.last_error = Some(ReloadError { at_ms: now_ms, message: format!("{error:#}") });
            }
        }
        reloaded
    }

    async fn take_up(&self, serving: &mut Serving, build: Build) -> anyhow::Result<Reloaded> {
        let Parts { host, edge, api_keys, .. } = &self.parts;
        let place = host.parts().place.clone();
        let manifest = tokio::task::spawn_blocking(move || place.load()).await?.map_err(assemble::refused)?;
        if build == Build::First {
            build::build(&manifest, None).await?;
        }
        let keyring = edge::keyring(host, &manifest, api_keys.load_full()).await?;
        let Ready { prepared, deployment } = self.prepare(manifest, keyring.clone()).await?;
        let https = serving.prepare(prepared.manifest()).await?;
        let committing = host.clone();
        tokio::task::spawn_blocking(move || committing.commit(prepared)).await??;
        edge.deploy(deployment);
        api_keys.store(keyring);
        serving.apply(https);
        let manifest = host.manifest();
        let behind = self.follow(&manifest).await;
        self.taken.send_replace(());
        Ok(Reloaded {
            digest: manifest.digest.to_string(),
            deployed_ms: host.parts().clock.now_ms(),
            needs_restart: restart::told(host.started_with(), &manifest),
            behind,
        })
    }

    /// Everything that may fail, off the runtime's threads: it reads files and compiles.
    async fn prepare(&self, manifest: Manifest, api_keys: Option<Arc<Keyring>>) -> anyhow::Result<Ready> {
        let (host, dialect, rate_limited) = (self.parts.host.clone(), self.parts.dialect, self.parts.rate_limited);
        let preparing = move || -> anyhow::Result<Ready> {
            let (manifest, variables) = assemble::application(manifest, &host.parts().place, dialect)?;
            let prepared = host.prepare(manifest, &variables)?;
            let (manifest, behind) = (prepared.manifest(), prepared.behind());
            let deployment = edge::deployment(&host, manifest, &variables, api_keys, rate_limited, behind)?;
            Ok(Ready { prepared, deployment })
        };
        tokio::task::spawn_blocking(preparing).await.context("a reload was cut short")?
    }

    /// What goes by the manifest by itself. Answers what has not followed.
    async fn follow(&self, manifest: &Manifest) -> Vec<String> {
        let host = &self.parts.host;
        host.run_schedules();
        let followed = [
            host.serve_subscriptions().await,
            host.serve_projections().await,
            self.key_files.extend_to(edge::key_files(manifest)),
        ];
        followed.into_iter().filter_map(Result::err).map(|error| format!("{error:#}")).collect()
    }

    async fn follow_keys(&self, mut changes: Changes) {
        while changes.next().await.is_some() {
            match self.reread_keys().await {
                Ok(true) => tracing::info!("took new keys for tokens"),
                Ok(false) => {}
                Err(error) => tracing::error!("new keys for tokens are not taken, the old ones stay: {error:#}"),
            }
        }
    }

    /// Reads the keys that the manifest names again; says whether they are others.
    async fn reread_keys(&self) -> anyhow::Result<bool> {
        let _one_at_a_time = self.serving.lock().await;
        let host = self.parts.host.clone();
        let reading = move || {
            let manifest = host.manifest();
            let variables = keys::resolve(&manifest, &host.parts().place).map_err(assemble::refused)?;
            edge::keys(&manifest, &variables)
        };
        let keys = tokio::task::spawn_blocking(reading).await??;
        Ok(self.parts.edge.set_keys(&keys))
    }
}
