//! HTTPS at the edge: where it is listened for, which follows the manifest, and certificates that are read again when their
//! files change. TLS itself is the gateway's.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use weft_core::manifest::{self, Diagnostic, Manifest};
use weft_gateway::{Tls, bind};

use crate::assemble;
use crate::edge::Edge;
use crate::exit::UsageError;
use crate::host::Host;
use crate::watched::WatchedFolders;

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
    let tls = read(manifest, settings).map_err(|problem| assemble::refused(vec![problem]))?;
    let tls = Arc::new(tls);
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
    /// Ends the watch with this.
    _watch: DropGuard,
}

/// What is to become of HTTPS. Dropped, nothing does.
pub struct Change(Kind);

enum Kind {
    Begin(TcpListener, Now),
    /// Elsewhere, if there is a listener; with the certificates of the manifest in any case.
    GoOn(Option<(TcpListener, SocketAddr)>),
    End,
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
        let manifest = serving.host.manifest();
        if let (Some(tls), Some(settings)) = (tls, &manifest.gateway.tls) {
            serving.now = Some(serving.watch(tls, &manifest, settings.listen)?);
        }
        Ok(serving)
    }

    fn watch(&self, tls: Arc<Tls>, manifest: &Manifest, listen: SocketAddr) -> anyhow::Result<Now> {
        let watch = self.stop.child_token();
        let certificates = Certificates::watch(Arc::clone(&self.host), tls, manifest, watch.clone())?;
        Ok(Now { listen, certificates, _watch: watch.drop_guard() })
    }

    /// Makes ready what this manifest says.
    ///
    /// # Errors
    /// Certificates that cannot be used, with their lines; an address that cannot be listened on.
    pub async fn prepare(&self, manifest: &Manifest) -> anyhow::Result<Change> {
        let Some(settings) = &manifest.gateway.tls else { return Ok(Change(Kind::End)) };
        let Some(now) = &self.now else {
            let Some(Https { listener, tls }) = open(manifest, self.listen).await? else {
                return Ok(Change(Kind::End));
            };
            return Ok(Change(Kind::Begin(listener, self.watch(tls, manifest, settings.listen)?)));
        };
        if let Some(problem) = problem(manifest) {
            return Err(assemble::refused(vec![problem]));
        }
        now.certificates.extend(manifest)?;
        if self.listen.is_some() || now.listen == settings.listen {
            return Ok(Change(Kind::GoOn(None)));
        }
        let listener = bind(settings.listen).await.context("HTTPS")?;
        Ok(Change(Kind::GoOn(Some((listener, settings.listen)))))
    }

    /// Does it. The manifest is the host's by now.
    pub fn apply(&mut self, change: Change) {
        match change.0 {
            Kind::End if self.now.take().is_some() => {
                self.edge.listen_tls(None);
                tracing::info!("HTTPS is not listened for any more");
            }
            Kind::End => {}
            Kind::Begin(listener, now) => {
                let address = listener.local_addr().ok();
                self.edge.listen_tls(Some((listener, Arc::clone(&now.certificates.tls))));
                self.now = Some(now);
                tracing::info!(address = address.map(tracing::field::display), "HTTPS is listened for");
            }
            Kind::GoOn(elsewhere) => {
                let Some(now) = &mut self.now else { return };
                now.certificates.reload(&self.host.manifest());
                if let Some((listener, listen)) = elsewhere {
                    let address = listener.local_addr().ok();
                    self.edge.listen_tls(Some((listener, Arc::clone(&now.certificates.tls))));
                    now.listen = listen;
                    tracing::info!(address = address.map(tracing::field::display), "HTTPS is listened for elsewhere");
                }
            }
        }
    }
}

/// Certificates under watch.
pub struct Certificates {
    tls: Arc<Tls>,
    watched: WatchedFolders,
}

impl Certificates {
    /// Watches the files until `stop` is cancelled.
    ///
    /// # Errors
    /// If the system cannot watch them.
    pub fn watch(
        host: Arc<Host>,
        tls: Arc<Tls>,
        manifest: &Manifest,
        stop: CancellationToken,
    ) -> anyhow::Result<Arc<Self>> {
        let (watched, mut changes) = WatchedFolders::new("certificates", |_| true)?;
        let certificates = Arc::new(Self { tls, watched });
        certificates.extend(manifest)?;
        let following = Arc::clone(&certificates);
        tokio::spawn(async move {
            let follow = async {
                while changes.next().await.is_some() {
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
    fn reload(&self, manifest: &Manifest) {
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
    }

    fn extend(&self, manifest: &Manifest) -> anyhow::Result<()> {
        let certificates = manifest.gateway.tls.iter().flat_map(|tls| &tls.certificates);
        self.watched.extend_to(certificates.flat_map(|pair| [&*pair.value.certificate, &*pair.value.key]))
    }
}
