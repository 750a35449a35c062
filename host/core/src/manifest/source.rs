//! Files that a manifest names: paths are relative to its folder.

use std::path::{Path, PathBuf};

use super::diagnostic::Located;
use super::problems::Problems;

/// The manifest's folder.
#[derive(Clone, Debug)]
pub(super) struct Files {
    root: PathBuf,
}

impl Files {
    pub(super) fn beside(manifest: &Path) -> Self {
        let root = manifest.parent().filter(|folder| !folder.as_os_str().is_empty());
        Self { root: root.unwrap_or(Path::new(".")).to_owned() }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The file or folder that `written` names, whether or not it exists.
    pub(super) fn inside(&self, written: &Located<impl AsRef<str>>, problems: &Problems) -> Option<PathBuf> {
        let text = written.value.as_ref();
        if text.is_empty() {
            problems.report(written.line, "an empty path names no file");
            return None;
        }
        Some(if text == "." { self.root.clone() } else { self.root.join(text) })
    }

    /// Like [`Self::inside`] for a file that has to be there.
    pub(super) fn existing(&self, written: &Located<impl AsRef<str>>, problems: &Problems) -> Option<PathBuf> {
        let path = self.inside(written, problems)?;
        if !path.is_file() {
            problems.report(written.line, format!("there is no file {}", path.display()));
        }
        Some(path)
    }
}
