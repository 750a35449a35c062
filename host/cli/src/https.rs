//! HTTPS at the edge: where it is listened for, which follows the manifest, and certificates that are read again when their
//! files change. TLS itself is the gateway's.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use weft_core::manifest::{self, Diagnostic, Manifest};
use weft_gateway::{Tls, bind};

use crate::commands::up::Edge;
use crate::exit::UsageError;
use crate::host::Host;

/// Certificates and keys are written one after the other; changes within this time are one.
const SETTLE: Duration = Duration::from_millis(200);

/// HTTPS, ready to be served.
pub struct Https {
    /// Where it is listened for.
    pub listener: TcpListener,
    /// The certificates.
    pub tls: Arc<Tls>,
}

/// Listens where the command line or the manifest says, if the manifest has certificates.
///
/// # Errors
/// Certificates that cannot be used, with their lines; an address that cannot be listened on.
pub async fn open(manifest: &Manifest, listen: Option<SocketAddr>) -> anyhow::Result<Option<Https>> {
    let Some(settings) = &manifest.gateway.tls else {
        if listen.is_some() {
            let what = "--listen-tls needs certificates: add [application.tool.weft.gateway.tls] to the manifest";
            return Err(UsageError(what.into()).into());
        }
        return Ok(None);
    };
    let tls = Arc::new(read(manifest, settings)?);
    let listener = bind(listen.unwrap_or(settings.listen)).await.context("HTTPS")?;
    Ok(Some(Https { listener, tls }))
}

/// What is wrong with the certificates that the manifest names.
#[must_use]
pub fn problem(manifest: &Manifest) -> Option<Diagnostic> {
    read(manifest, manifest.gateway.tls.as_ref()?).err()
}

fn read(manifest: &Manifest, settings: &manifest::Tls) -> Result<Tls, Diagnostic> {
    Tls::new(settings).map_err(|error| manifest.problem(error.line(), error.to_string()))
}

/// HTTPS of a host that runs, as its manifest has it.
pub struct Serving {
    host: Arc<Host>,
    edge: Arc<Edge>,
    stop: CancellationToken,
    /// What the command line says outranks the manifest.
    listen: Option<SocketAddr>,
    now: Option<Now>,
}

struct Now {
    /// As the manifest has it.
    listen: SocketAddr,
    certificates: Arc<Certificates>,
    /// Ends the watch.
    watch: CancellationToken,
}

impl Serving {
    /// Follows what is served already, if HTTPS is.
    ///
    /// # Errors
    /// If the system cannot watch the certificates.
    pub fn new(
        host: Arc<Host>,
        edge: Arc<Edge>,
        listen: Option<SocketAddr>,
        tls: Option<Arc<Tls>>,
        stop: CancellationToken,
    ) -> anyhow::Result<Self> {
        let mut serving = Self { host, edge, stop, listen, now: None };
        if let (Some(tls), Some(settings)) = (tls, &serving.host.manifest().gateway.tls) {
            serving.now = Some(serving.watch(tls, settings.listen)?);
        }
        Ok(serving)
    }

    fn watch(&self, tls: Arc<Tls>, listen: SocketAddr) -> anyhow::Result<Now> {
        let watch = self.stop.child_token();
        let certificates = Certificates::watch(Arc::clone(&self.host), tls, watch.clone())?;
        Ok(Now { listen, certificates, watch })
    }

    /// Does as this manifest says. What cannot be done is told in the log, and what was there before stays.
    pub async fn follow(&mut self, manifest: &Manifest) {
        if let Err(error) = self.try_follow(manifest).await {
            tracing::error!("HTTPS goes on as before: {error:#}");
        }
    }

    async fn try_follow(&mut self, manifest: &Manifest) -> anyhow::Result<()> {
        let Some(settings) = &manifest.gateway.tls else {
            if let Some(now) = self.now.take() {
                now.watch.cancel();
                self.edge.listen_tls(None);
                tracing::info!("HTTPS is not listened for any more");
            }
            return Ok(());
        };
        let Some(now) = &mut self.now else {
            let Some(Https { listener, tls }) = open(manifest, self.listen).await? else { return Ok(()) };
            let (address, now) = (listener.local_addr()?, self.watch(Arc::clone(&tls), settings.listen)?);
            self.now = Some(now);
            self.edge.listen_tls(Some((listener, tls)));
            tracing::info!(%address, "HTTPS is listened for");
            return Ok(());
        };
        now.certificates.reload(manifest);
        if self.listen.is_none() && now.listen != settings.listen {
            let listener = bind(settings.listen).await?;
            let address = listener.local_addr()?;
            self.edge.listen_tls(Some((listener, Arc::clone(&now.certificates.tls))));
            now.listen = settings.listen;
            tracing::info!(%address, "HTTPS is listened for elsewhere");
        }
        Ok(())
    }
}

/// Certificates under watch.
pub struct Certificates {
    tls: Arc<Tls>,
    watched: Mutex<Watched>,
}

struct Watched {
    watcher: RecommendedWatcher,
    folders: BTreeSet<PathBuf>,
}

impl Certificates {
    /// Watches the files until `stop` is cancelled.
    ///
    /// # Errors
    /// If the system cannot watch them.
    pub fn watch(host: Arc<Host>, tls: Arc<Tls>, stop: CancellationToken) -> anyhow::Result<Arc<Self>> {
        let (changed, mut changes) = mpsc::channel(1);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| match event {
            Ok(event) if !event.kind.is_access() => {
                // A change that is already noted needs no second note.
                let _ = changed.try_send(());
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "watching certificates"),
        })?;
        let watched = Mutex::new(Watched { watcher, folders: BTreeSet::new() });
        let certificates = Arc::new(Self { tls, watched });
        certificates.extend(&host.manifest())?;
        let following = Arc::clone(&certificates);
        tokio::spawn(async move {
            let follow = async {
                while changes.recv().await.is_some() {
                    tokio::time::sleep(SETTLE).await;
                    while changes.try_recv().is_ok() {}
                    following.reload(&host.manifest());
                }
            };
            tokio::select! {
                () = follow => {}
                () = stop.cancelled() => {}
            }
        });
        Ok(certificates)
    }

    /// Reads the certificates that this manifest names. Those that cannot be used are told in the log, and what was there
    /// before stays.
    pub fn reload(&self, manifest: &Manifest) {
        let Some(settings) = &manifest.gateway.tls else {
            return;
        };
        match self.tls.reload(settings) {
            Ok(true) => tracing::info!(certificates = settings.certificates.len(), "took new certificates"),
            Ok(false) => {}
            Err(error) => {
                let problem = manifest.problem(error.line(), error.to_string());
                tracing::error!("new certificates are not taken, the old ones stay: {problem}");
            }
        }
        if let Err(error) = self.extend(manifest) {
            tracing::error!("changes of certificates may go unnoticed: {error:#}");
        }
    }

    /// Watches the folders rather than the files: new ones are moved in over the old, and symbolic links are changed.
    fn extend(&self, manifest: &Manifest) -> anyhow::Result<()> {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        for folder in folders(manifest) {
            if !watched.folders.contains(&folder) {
                let watch = watched.watcher.watch(&folder, RecursiveMode::NonRecursive);
                watch.with_context(|| format!("cannot watch {}", folder.display()))?;
                watched.folders.insert(folder);
            }
        }
        Ok(())
    }
}

fn folders(manifest: &Manifest) -> BTreeSet<PathBuf> {
    let certificates = manifest.gateway.tls.iter().flat_map(|tls| &tls.certificates);
    let files = certificates.flat_map(|pair| [&pair.value.certificate, &pair.value.key]);
    let folder = |file: &PathBuf| {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        folder.unwrap_or(Path::new(".")).to_owned()
    };
    files.map(folder).collect()
}
