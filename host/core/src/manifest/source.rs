//! Files that a manifest names: paths are relative to its folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::diagnostic::Located;
use super::section::Section;

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
    pub(super) fn inside(&self, written: &Located<Arc<str>>, section: &Section<'_>) -> Option<PathBuf> {
        let text = &*written.value;
        if text.is_empty() {
            section.report(written.line, "an empty path names no file");
            return None;
        }
        Some(if text == "." { self.root.clone() } else { self.root.join(text) })
    }

    /// Like [`Self::inside`] for a file that has to be there.
    pub(super) fn existing(&self, written: &Located<Arc<str>>, section: &Section<'_>) -> Option<PathBuf> {
        let path = self.inside(written, section)?;
        if !path.is_file() {
            section.report(written.line, format!("there is no file {}", path.display()));
        }
        Some(path)
    }
}
