//! Versions of a component that the manifest puts beside the one that it names, and which of them serves what. Choosing belongs to the
//! mesh; versions that are deployed by hand stand in no manifest.

use std::path::PathBuf;
use std::sync::Arc;

use super::diagnostic::Located;
use super::names;
use super::section::{Entry, Section};
use super::source::Files;

/// Versions of one component beside the one that it names.
pub const MAX_VERSIONS: usize = 8;
/// Headers by which one version can be asked for.
pub const MAX_VERSION_HEADERS: usize = 16;
/// The longest value of such a header, in bytes.
const MAX_VALUE_BYTES: usize = 256;

/// One of `[[component.<id>.tool.weft.versions]]`: other code for the same component, with the same grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Its name, unique in the component.
    pub name: Arc<str>,
    /// Its file.
    pub source: Located<PathBuf>,
    /// How many of a hundred calls it serves: 0 to 100, none by default; all of a component together at most 100.
    pub percent: u32,
    /// Of how many of a hundred calls that others serve it gets a copy, without effects: 0 to 100, none by default; all of a component
    /// together at most 100.
    pub mirror_percent: u32,
    /// Requests with one of these headers are served by it in any case: name in lower case, and value.
    pub headers: Vec<(Arc<str>, Arc<str>)>,
    /// The line it stands on.
    pub line: usize,
}

impl Version {
    fn read(entry: Entry<'_>, files: &Files) -> Option<Self> {
        let section = entry.section()?;
        let name = section.required_string("name");
        if let Some(name) = name.as_ref().filter(|name| !names::is_kebab(name)) {
            section.report(name.line, format!("{:?} is no name for a version (kebab-case)", &*name.value));
        }
        let source = section.required_string("source");
        let source = source.and_then(|path| Some(Located::new(files.inside(&path, &section)?, path.line)));
        let percent = section.number("percent", 0..=100, 0);
        let mirror_percent = section.number("mirror_percent", 0..=100, 0);
        let headers = section.section("headers").map(headers).unwrap_or_default();
        let line = section.line;
        section.finish();
        Some(Self { name: name?.value, source: source?, percent, mirror_percent, headers, line })
    }
}

/// The versions of a component.
pub(super) fn read(section: &Section<'_>, files: &Files) -> Vec<Version> {
    let entries = section.get("versions").and_then(|entry| entry.items()).unwrap_or_default();
    let versions: Vec<Version> = entries.into_iter().filter_map(|entry| Version::read(entry, files)).collect();
    if versions.len() > MAX_VERSIONS {
        section.report(section.line, format!("at most {MAX_VERSIONS} versions stand beside a component"));
    }
    for (number, version) in versions.iter().enumerate() {
        if versions.iter().take(number).any(|earlier| earlier.name == version.name) {
            let message = format!("two versions are called {:?}", &*version.name);
            section.report_with_help(version.line, message, "give each a name of its own");
        }
    }
    for (key, shares) in [
        ("percent", versions.iter().map(|version| version.percent).sum::<u32>()),
        ("mirror_percent", versions.iter().map(|version| version.mirror_percent).sum()),
    ] {
        if let Some(last) = versions.last().filter(|_| shares > 100) {
            section.report(last.line, format!("`{key}` of all versions together is {shares}, at most 100 is all"));
        }
    }
    versions
}

pub(super) fn headers(section: Section<'_>) -> Vec<(Arc<str>, Arc<str>)> {
    let entries = section.entries();
    if entries.len() > MAX_VERSION_HEADERS {
        section.report(section.line, format!("a version is asked for by {MAX_VERSION_HEADERS} headers at most"));
    }
    let header = |(name, entry): (Located<Arc<str>>, Entry<'_>)| {
        let value = entry.string()?.value;
        let is_value = value.bytes().all(|byte| (b' '..=b'~').contains(&byte)) && value.len() <= MAX_VALUE_BYTES;
        if !names::is_token(&name) || !is_value {
            entry.report(format!("is no header of visible ASCII, of up to {MAX_VALUE_BYTES} bytes"));
        }
        Some((name.value.to_ascii_lowercase().into(), value))
    };
    entries.into_iter().filter_map(header).collect()
}
