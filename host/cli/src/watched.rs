//! Folders under watch, for what is read again when files change: certificates, keys, sources. What is read, and when that is done, is up to
//! who watches.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

/// Editors write a file in several steps, and a certificate comes with its key; changes within this time are one.
const SETTLE: Duration = Duration::from_millis(200);

/// Folders under watch, as long as this lives.
pub struct WatchedFolders(Mutex<Watched>);

struct Watched {
    watcher: RecommendedWatcher,
    folders: BTreeSet<PathBuf>,
}

/// Tells of changes.
pub struct Changes {
    noted: mpsc::Receiver<()>,
    /// Something has changed that was not told yet.
    is_pending: bool,
}

impl WatchedFolders {
    /// None yet. `what` is for the log; paths that `is_wanted` refuses mean nothing.
    ///
    /// # Errors
    /// If the system cannot watch.
    pub fn new(
        what: &'static str,
        is_wanted: impl Fn(&Path) -> bool + Send + 'static,
    ) -> anyhow::Result<(Self, Changes)> {
        let (changed, changes) = mpsc::channel(1);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| match event {
            Ok(event) if !event.kind.is_access() && event.paths.iter().any(|path| is_wanted(path)) => {
                // A change that is already noted needs no second note.
                let _ = changed.try_send(());
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "watching {what}"),
        })?;
        let watched = Mutex::new(Watched { watcher, folders: BTreeSet::new() });
        Ok((Self(watched), Changes { noted: changes, is_pending: false }))
    }

    /// Watches these as well.
    ///
    /// # Errors
    /// If one of them cannot be watched; those before it are.
    pub fn extend(&self, folders: impl IntoIterator<Item = (PathBuf, RecursiveMode)>) -> anyhow::Result<()> {
        let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (folder, mode) in folders {
            if !watched.folders.contains(&folder) {
                let watch = watched.watcher.watch(&folder, mode);
                watch.with_context(|| format!("cannot watch {}", folder.display()))?;
                watched.folders.insert(folder);
            }
        }
        Ok(())
    }

    /// Watches the folders of these files rather than the files: new ones are moved in over the old, and symbolic links are changed.
    ///
    /// # Errors
    /// As [`Self::extend`].
    pub fn extend_to<'f>(&self, files: impl IntoIterator<Item = &'f Path>) -> anyhow::Result<()> {
        let folder = |file: &Path| {
            let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
            folder.unwrap_or(Path::new(".")).to_owned()
        };
        self.extend(files.into_iter().map(|file| (folder(file), RecursiveMode::NonRecursive)))
    }
}

impl Changes {
    /// Resolves when something has changed and changes no more; answers nothing once the folders are not watched any longer.
    /// Dropped before, it forgets nothing.
    pub async fn next(&mut self) -> Option<()> {
        if !self.is_pending {
            self.noted.recv().await?;
            self.is_pending = true;
        }
        tokio::time::sleep(SETTLE).await;
        while self.noted.try_recv().is_ok() {}
        self.is_pending = false;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_moved_in_over_a_file_is_a_change_and_other_files_are_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key.pem");
        let wanted = file.clone();
        let (watched, mut changes) = WatchedFolders::new("keys", move |path| path == wanted).unwrap();
        watched.extend_to([&*file]).unwrap();
        let new = folder.path().join("new");
        std::fs::write(&new, "other").unwrap();
        std::fs::rename(&new, &file).unwrap();
        assert_eq!(changes.next().await, Some(()));
        assert!(watched.extend_to([&*folder.path().join("nowhere/key.pem")]).is_err());
        drop(watched);
        assert_eq!(changes.next().await, None, "and no change was left");
    }
}
