//! `weft up --watch`: when a watched source changes, builds, and deploys the result at once and whole. Requests in
//! work end on the functions that they began with; a build or a check that fails leaves everything as it is.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use notify::{RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use weft_core::manifest::{Build, Manifest};
use weft_gateway::{Policy, RouteTable};

use crate::commands::build;
use crate::commands::up::{self, Edge};
use crate::host::Host;
use crate::https::Certificates;
use crate::{assemble, keys};

/// Editors write a file in several steps; changes within this time are one.
const SETTLE: Duration = Duration::from_millis(200);
/// Where cargo puts what it builds.
const BUILD_OUTPUT: &str = "target";

/// Watches until `stop` is cancelled.
///
/// # Errors
/// If the system cannot watch the sources.
pub fn start(
    host: Arc<Host>,
    edge: Arc<Edge>,
    certificates: Option<Arc<Certificates>>,
    no_rate_limits: bool,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let manifest = host.manifest();
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
            () = follow(&host, &edge, certificates.as_deref(), no_rate_limits, changes) => {}
            () = stop.cancelled() => {}
        }
    });
    tracing::info!("watching sources");
    Ok(())
}

async fn follow(
    host: &Arc<Host>,
    edge: &Arc<Edge>,
    certificates: Option<&Certificates>,
    no_rate_limits: bool,
    mut changes: mpsc::Receiver<()>,
) {
    while changes.recv().await.is_some() {
        tokio::time::sleep(SETTLE).await;
        while changes.try_recv().is_ok() {}
        match redeploy(host, edge, no_rate_limits).await {
            Ok(()) => {
                if let Some(certificates) = certificates {
                    certificates.reload(&host.manifest());
                }
                tracing::info!("deployed");
            }
            Err(error) => tracing::error!("not deployed, everything stays as it is: {error:#}"),
        }
    }
}

async fn redeploy(host: &Arc<Host>, edge: &Arc<Edge>, no_rate_limits: bool) -> anyhow::Result<()> {
    let place = host.parts().place.clone();
    let manifest = place.load().map_err(assemble::refused)?;
    build::build(&manifest, None).await?;
    let (deploying, routes) = (host.clone(), RouteTable::of(&manifest));
    let rate_limits = up::rate_limits(&manifest, no_rate_limits);
    let deployed = tokio::task::spawn_blocking(move || -> anyhow::Result<()> {
        let variables = keys::resolve(&manifest, &place).map_err(assemble::refused)?;
        deploying.deploy(manifest, &variables)
    });
    deployed.await??;
    edge.deploy(routes, &rate_limits)?;
    edge.set_policy(Policy::from(&host.manifest().gateway));
    host.run_schedules();
    host.serve_subscriptions().await?;
    host.serve_projections().await
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
