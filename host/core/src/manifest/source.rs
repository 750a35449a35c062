//! Files that a manifest names: paths are relative to its folder. Components that are said to be elsewhere are refused
//! here, since nothing is fetched over a network.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::diagnostic::Located;
use super::section::{Entry, Section};

/// The manifest's folder.
#[derive(Clone, Debug)]
pub(super) struct Files {
    root: PathBuf,
}

/// A file with a component, or with a module that is to be made one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// The file; it may not be built yet.
    pub path: PathBuf,
    /// The SHA-256 that it must have, as 64 hex digits in lower case, where the manifest says one.
    pub digest: Option<Arc<str>>,
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

/// A component's `source`: a file, `{ url, digest }` or `{ registry, package, version }`.
pub(super) fn component_source(entry: Entry<'_>, section: &Section<'_>, files: &Files) -> Option<Located<SourceFile>> {
    let line = entry.line;
    if !entry.is_table() {
        let path = entry.string()?;
        let file = SourceFile { path: files.inside(&path, section)?, digest: None };
        return Some(Located::new(file, path.line));
    }
    let table = entry.section()?;
    let file = match elsewhere(&table, files) {
        Some(file) => file,
        None => {
            let help = "write source = \"file.wasm\"";
            table.report_with_help(table.line, "`source` is a file, or { url, digest }", help);
            None
        }
    };
    table.finish();
    Some(Located::new(file?, line))
}

/// What a table says that names its component by URL or in a registry; `None` if it does neither. Only a `file:` URL
/// leads to a file; all else is reported.
pub(super) fn elsewhere(table: &Section<'_>, files: &Files) -> Option<Option<SourceFile>> {
    let in_registry = ["version", "registry", "package"].map(|key| table.get(key).map(|entry| (key, entry)));
    let (url, digest) = (table.string("url"), table.string("digest"));
    if let Some((_, entry)) = in_registry.into_iter().flatten().next() {
        entry.report_with_help(
            "is in a registry, from which Weft does not fetch",
            "download the component, and name its file",
        );
        return Some(None);
    }
    let Some(url) = url else {
        if let Some(digest) = digest {
            table.report_with_help(digest.line, "a digest goes with a `url`", "remove it, or add url = \"file:...\"");
            return Some(None);
        }
        return None;
    };
    let file = file_of_url(&url, table, files);
    let digest = match &digest {
        Some(written) => sha256(written, table),
        None => {
            let help = "add digest = \"sha256:...\", which `sha256sum` prints";
            table.report_with_help(url.line, "a `url` needs the digest of what is there", help);
            None
        }
    };
    Some(file.zip(digest).map(|(path, digest)| SourceFile { path, digest: Some(digest) }))
}

fn file_of_url(url: &Located<Arc<str>>, table: &Section<'_>, files: &Files) -> Option<PathBuf> {
    let Some(rest) = url.strip_prefix("file:") else {
        table.report_with_help(
            url.line,
            format!("{:?} is on a network, from which Weft does not fetch", &*url.value),
            "download it, and name the file by its path, or by a file: URL with the same digest",
        );
        return None;
    };
    // `file:///x` and `file://localhost/x` have an authority before the path, `file:x` has none.
    let path = match rest.strip_prefix("//") {
        Some(with_authority) => with_authority.strip_prefix("localhost").unwrap_or(with_authority),
        None => rest,
    };
    if path.contains(['%', '?', '#']) || (rest.starts_with("//") && !path.starts_with('/')) {
        let help = "write file:///absolute/path.wasm or file:relative/path.wasm";
        table.report_with_help(url.line, format!("{:?} is no plain file: URL", &*url.value), help);
        return None;
    }
    files.inside(&Located::new(path.into(), url.line), table)
}

fn sha256(written: &Located<Arc<str>>, table: &Section<'_>) -> Option<Arc<str>> {
    let hex = written.strip_prefix("sha256:").map(str::to_ascii_lowercase);
    let hex = hex.filter(|hex| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if hex.is_none() {
        let message = format!("the digest {:?} is not `sha256:` and 64 hex digits", &*written.value);
        table.report(written.line, message);
    }
    hex.map(Into::into)
}
