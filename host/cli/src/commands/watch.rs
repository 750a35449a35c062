//! `weft up --watch`: when a watched source changes, builds, and deploys the result at once and whole. Requests in
//! work end on the functions that they began with; a build or a check that fails leaves everything as it is.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::ArcSwapOption;
use notify::{RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use weft_core::manifest::{Auth, Build, Located, Manifest, PolicyFile};
use weft_gateway::{AuthSettings, Limits, Policy, RouteTable};

use crate::api_keys::Keyring;
use crate::commands::build;
use crate::commands::up::{self, Edge};
use crate::host::Host;
use crate::https::Serving;
use crate::{assemble, keys};

/// Editors write a file in several steps; changes within this time are one.
const SETTLE: Duration = Duration::from_millis(200);
/// Where cargo puts what it builds.
const BUILD_OUTPUT: &str = "target";

/// Watches until `stop` is cancelled.
///
/// # Errors
/// If the system cannot watch the sources.
pub fn start(following: Following, stop: CancellationToken) -> anyhow::Result<()> {
    let manifest = following.host.manifest();
    let (changed, changes) = mpsc::channel(1);
    let root = std::path::absolute(&manifest.root)?;
    let wanted = Wanted::new(&manifest, &root)?;
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| match event {
        Ok(event) if !event.kind.is_access() && event.paths.iter().any(|path| wanted.covers(path)) => {
            // A change that is already noted needs no second note.
            let _ = changed.try_send(());
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "watching sources"),
    })?;
    for (folder, mode) in folders(&manifest, &root)? {
        watcher.watch(&folder, mode).with_context(|| format!("cannot watch {}", folder.display()))?;
    }
    tokio::spawn(async move {
        // The watcher lives as long as this task.
        let _watcher = watcher;
        tokio::select! {
            () = following.follow(changes) => {}
            () = stop.cancelled() => {}
        }
    });
    tracing::info!("watching sources");
    Ok(())
}

/// What follows the sources.
pub struct Following {
    /// What runs the functions.
    pub host: Arc<Host>,
    /// What serves them.
    pub edge: Arc<Edge>,
    /// HTTPS.
    pub serving: Serving,
    /// The API keys, if any are taken.
    pub api_keys: Arc<ArcSwapOption<Keyring>>,
    /// Whether the manifest's rate limits mean nothing.
    pub no_rate_limits: bool,
}

impl Following {
    async fn follow(mut self, mut changes: mpsc::Receiver<()>) {
        while changes.recv().await.is_some() {
            tokio::time::sleep(SETTLE).await;
            while changes.try_recv().is_ok() {}
            match self.redeploy().await {
                Ok(()) => {
                    let manifest = self.host.manifest();
                    self.serving.follow(&manifest).await;
                    tracing::info!("deployed");
                }
                Err(error) => tracing::error!("not deployed, everything stays as it is: {error:#}"),
            }
        }
    }

    async fn redeploy(&self) -> anyhow::Result<()> {
        let (host, edge) = (&self.host, &self.edge);
        let before = host.manifest();
        let place = host.parts().place.clone();
        let manifest = place.load().map_err(assemble::refused)?;
        build::build(&manifest, None).await?;
        let (deploying, routes) = (host.clone(), RouteTable::of(&manifest));
        let rate_limits = up::rate_limits(&manifest, self.no_rate_limits);
        // What may be missing for it, such as a key, is missed before anything changes.
        let callers = self.callers(&before, &manifest).await?;
        let deployed = tokio::task::spawn_blocking(move || -> anyhow::Result<()> {
            let variables = keys::resolve(&manifest, &place).map_err(assemble::refused)?;
            deploying.deploy(manifest, &variables)
        });
        deployed.await??;
        match callers {
            Some((auth, api_keys)) => {
                edge.deploy_with_auth(routes, &rate_limits, auth)?;
                self.api_keys.store(api_keys);
            }
            None => edge.deploy(routes, &rate_limits)?,
        }
        let manifest = host.manifest();
        edge.set_policy(Policy::of(&manifest));
        edge.set_limits(Limits::from(&manifest.gateway), &manifest.gateway.overload);
        host.run_schedules();
        host.serve_subscriptions().await?;
        host.serve_projections().await
    }

    /// Who may call, if the manifest now says otherwise than before.
    async fn callers(&self, before: &Manifest, manifest: &Manifest) -> anyhow::Result<Option<Callers>> {
        if same_auth(before.auth.as_ref(), manifest.auth.as_ref()) {
            return Ok(None);
        }
        let api_keys = up::keyring(&self.host, manifest, self.api_keys.load_full()).await?;
        let variables = keys::resolve(manifest, &self.host.parts().place).map_err(assemble::refused)?;
        let auth = up::auth(&self.host, manifest, &variables, api_keys.clone())?;
        Ok(Some((auth, api_keys)))
    }
}

type Callers = (Option<AuthSettings>, Option<Arc<Keyring>>);

/// Whether both say the same, wherever it stands. The files of keys are read when something else changes.
fn same_auth(one: Option<&Auth>, other: Option<&Auth>) -> bool {
    let without_lines = |auth: &Auth| {
        let keys = auth.keys.iter().map(|key| Located::new(key.value.clone(), 0)).collect();
        let revocations = auth.revocations.as_ref().map(|label| Located::new(label.value.clone(), 0));
        let policies = auth.policies.iter().map(|file| PolicyFile { line: 0, ..file.clone() }).collect();
        Auth { keys, revocations, policies, line: 0, ..auth.clone() }
    };
    one.map(without_lines) == other.map(without_lines)
}

/// The `watch` patterns with the folder that each is relative to: the manifest's own for the application, the build's
/// `workdir` for a component of Spin.
fn patterns<'m>(manifest: &'m Manifest, root: &Path) -> anyhow::Result<Vec<(PathBuf, &'m str)>> {
    let of = |folder: &Path, build: &'m Build| {
        let folder = folder.to_owned();
        build.watch.iter().map(move |pattern| (folder.clone(), &**pattern)).collect::<Vec<_>>()
    };
    let mut patterns: Vec<_> = manifest.build.iter().flat_map(|build| of(root, build)).collect();
    for component in manifest.components.values().filter(|component| !component.is_weft()) {
        if let Some(build) = &component.build {
            patterns.extend(of(&std::path::absolute(&build.workdir)?, build));
        }
    }
    Ok(patterns)
}

/// Which paths are sources: the manifest and what `watch` patterns cover.
struct Wanted {
    manifest: PathBuf,
    patterns: Vec<(PathBuf, globset::GlobMatcher)>,
}

impl Wanted {
    fn new(manifest: &Manifest, root: &Path) -> anyhow::Result<Self> {
        let mut compiled = Vec::new();
        for (folder, pattern) in patterns(manifest, root)? {
            compiled.push((folder, globset::Glob::new(pattern)?.compile_matcher()));
        }
        Ok(Self { manifest: std::path::absolute(&manifest.path)?, patterns: compiled })
    }

    fn covers(&self, path: &Path) -> bool {
        // Build output lies beside the sources and must not set off another build.
        let is_source = |relative: &Path| !relative.components().any(|part| part.as_os_str() == BUILD_OUTPUT);
        let covers = |(folder, pattern): &(PathBuf, globset::GlobMatcher)| {
            path.strip_prefix(folder).is_ok_and(|relative| is_source(relative) && pattern.is_match(relative))
        };
        path == self.manifest || self.patterns.iter().any(covers)
    }
}

/// The folders to watch: the manifest's own, and those that the patterns begin with, without the build output in
/// them, which would be watched in vain at every build.
fn folders(manifest: &Manifest, root: &Path) -> anyhow::Result<Vec<(PathBuf, RecursiveMode)>> {
    let fixed = |(folder, pattern): (PathBuf, &str)| {
        let parts = pattern.split('/').take_while(|part| !part.contains(['*', '?', '[', '{']));
        parts.fold(folder, |path, part| path.join(part))
    };
    let tops = patterns(manifest, root)?.into_iter().map(fixed);
    // A pattern without wildcards names a file; its folder is watched for it.
    let tops = tops.map(|path| if path.is_file() { path.parent().map(Path::to_owned).unwrap_or(path) } else { path });
    let tops: BTreeSet<PathBuf> = tops.filter(|path| path.is_dir()).collect();
    let mut folders = vec![(root.to_owned(), RecursiveMode::NonRecursive)];
    for top in tops.into_iter().filter(|top| *top != root) {
        for entry in std::fs::read_dir(&top)? {
            let path = entry?.path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != BUILD_OUTPUT) {
                folders.push((path, RecursiveMode::Recursive));
            }
        }
        folders.push((top, RecursiveMode::NonRecursive));
    }
    Ok(folders)
}
