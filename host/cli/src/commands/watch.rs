//! `weft up --watch`: when a watched source changes, builds, and deploys the result at once and whole. Requests in
//! work end on the functions that they began with; a build or a check that fails leaves everything as it is. How that is done is in
//! [`crate::reload`].

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use notify::RecursiveMode;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use weft_core::manifest::{Build, Manifest};

use crate::reload::{self, Reloader};
use crate::watched::{Changes, WatchedFolders};

/// Where cargo puts what it builds.
const BUILD_OUTPUT: &str = "target";

/// Watches until `stop` is cancelled.
///
/// # Errors
/// If the system cannot watch the sources.
pub fn start(reloader: Arc<Reloader>, stop: CancellationToken) -> anyhow::Result<()> {
    let manifest = reloader.host().manifest();
    let root = std::path::absolute(&manifest.root)?;
    let wanted = Arc::new(ArcSwap::from_pointee(Wanted::new(&manifest, &root)?));
    let asked = wanted.clone();
    let (watched, changes) = WatchedFolders::new("sources", move |path| asked.load().covers(path))?;
    watched.extend(folders(&manifest, &root)?)?;
    let taken = reloader.taken();
    let following = Following { reloader, watched, wanted };
    tokio::spawn(async move {
        following.follow(changes, taken, stop).await;
    });
    tracing::info!("watching sources");
    Ok(())
}

/// What follows the sources.
struct Following {
    reloader: Arc<Reloader>,
    watched: WatchedFolders,
    wanted: Arc<ArcSwap<Wanted>>,
}

impl Following {
    /// A reload is not left halfway: whoever stops the host waits for it.
    async fn follow(self, mut changes: Changes, mut taken: watch::Receiver<()>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                changed = changes.next() => match changed {
                    // The reload tells itself what became of it.
                    Some(()) => drop(self.reloader.reload(reload::Build::First).await),
                    None => return,
                },
                // Its own reloads, and those of others.
                Ok(()) = taken.changed() => {
                    if let Err(error) = self.watch_anew() {
                        tracing::error!("changes of sources may go unnoticed: {error:#}");
                    }
                }
            }
        }
    }

    /// Watches what the manifest says now.
    fn watch_anew(&self) -> anyhow::Result<()> {
        let manifest = self.reloader.host().manifest();
        let root = std::path::absolute(&manifest.root)?;
        self.wanted.store(Arc::new(Wanted::new(&manifest, &root)?));
        self.watched.extend(folders(&manifest, &root)?)
    }
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
