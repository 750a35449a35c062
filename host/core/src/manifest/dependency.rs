//! `[component.<id>.dependencies]`: the components that are composed into one, as Spin does it. Which bytes they are and
//! how they are put together is not known here.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use super::diagnostic::Located;
use super::names;
use super::section::{Entry, Section};
use super::source::Files;

/// A component whose exports take the place of some imports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// The imports whose place it takes.
    pub name: Located<DependencyName>,
    /// Where it is.
    pub source: DependencySource,
    /// Its export for that, if it is not called as the import is.
    pub export: Option<Arc<str>>,
    /// What it may use of what the component may.
    pub inherits: Inherits,
}

/// Where a dependency is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DependencySource {
    /// A component of this manifest.
    Component(Located<Arc<str>>),
    /// A file.
    File(PathBuf),
}

/// What of the component's configuration a dependency has too. Without it, what it asks of the host is denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inherits {
    /// All of it.
    All,
    /// What stands behind these keys of the manifest.
    Keys(Vec<Configuration>),
}

impl Inherits {
    /// Whether what stands behind `key` is inherited.
    #[must_use]
    pub fn has(&self, key: Configuration) -> bool {
        match self {
            Self::All => true,
            Self::Keys(keys) => keys.contains(&key),
        }
    }
}

/// A key of a component's table that a dependency may inherit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Configuration {
    /// `ai_models`
    AiModels,
    /// `allowed_outbound_hosts`
    AllowedOutboundHosts,
    /// `environment`
    Environment,
    /// `files`
    Files,
    /// `key_value_stores`
    KeyValueStores,
    /// `sqlite_databases`
    SqliteDatabases,
    /// `variables`
    Variables,
}

impl Configuration {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::AiModels,
        Self::AllowedOutboundHosts,
        Self::Environment,
        Self::Files,
        Self::KeyValueStores,
        Self::SqliteDatabases,
        Self::Variables,
    ];

    /// The key.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AiModels => "ai_models",
            Self::AllowedOutboundHosts => "allowed_outbound_hosts",
            Self::Environment => "environment",
            Self::Files => "files",
            Self::KeyValueStores => "key_value_stores",
            Self::SqliteDatabases => "sqlite_databases",
            Self::Variables => "variables",
        }
    }
}

/// Which imports a dependency is for: a plain name, or a package, perhaps one interface of it, perhaps at one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DependencyName {
    /// As it is written.
    text: Arc<str>,
    path: usize,
}

impl DependencyName {
    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it means the import of this name: `a:b/c@1.0.0` is meant by itself, by `a:b/c`, `a:b@1.0.0` and `a:b`.
    #[must_use]
    pub fn matches(&self, import: &str) -> bool {
        let (path, version) = (self.text.split_at(self.path).0, self.text.split_at(self.path).1);
        let (import_path, import_version) = split_version(import);
        let is_package_of = || import_path.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
        let same_path = import_path == path || (path.contains(':') && !path.contains('/') && is_package_of());
        same_path && (version.is_empty() || version == import_version)
    }
}

/// The name, and its version with the `@`, if it has one.
fn split_version(name: &str) -> (&str, &str) {
    name.split_at(name.find('@').unwrap_or(name.len()))
}

impl FromStr for DependencyName {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (path, version) = split_version(text);
        let is_package = |package: &str| {
            package.split_once(':').is_some_and(|(space, name)| names::is_kebab(space) && names::is_kebab(name))
        };
        let valid = match path.split_once('/') {
            _ if names::is_kebab(path) => version.is_empty(),
            None => is_package(path),
            Some((package, interface)) => is_package(package) && names::is_kebab(interface),
        };
        let valid = valid && (version.is_empty() || names::is_interface(&format!("a:b/c{version}")));
        if valid { Ok(Self { text: text.into(), path: path.len() }) } else { Err(()) }
    }
}

/// The dependencies of a component, in the order of their names.
pub(super) fn read(section: &Section<'_>, files: &Files) -> Vec<Dependency> {
    let inherits_all = section.flag("dependencies_inherit_configuration", false);
    let entries = section.section("dependencies").map(|table| table.entries()).unwrap_or_default();
    entries.into_iter().filter_map(|(name, entry)| one(&name, entry, inherits_all, files)).collect()
}

fn one(name: &Located<Arc<str>>, entry: Entry<'_>, inherits_all: bool, files: &Files) -> Option<Dependency> {
    const REGISTRY: &str = "is in a registry, which Weft does not fetch from";
    const DOWNLOAD: &str = "download it, and write { path = \"file.wasm\" }";
    let Ok(parsed) = name.parse::<DependencyName>() else {
        let help = "write the import, such as \"example:calc/add@1.0.0\", or its package \"example:calc\"";
        entry.report_with_help("names no import", help);
        return None;
    };
    if entry.is_string() {
        entry.report_with_help(REGISTRY, DOWNLOAD);
        return None;
    }
    let table = entry.section()?;
    for (key, problem) in
        [("version", REGISTRY), ("registry", REGISTRY), ("package", REGISTRY), ("url", "is elsewhere")]
    {
        if let Some(entry) = table.get(key) {
            entry.report_with_help(problem, DOWNLOAD);
            return None;
        }
    }
    table.ignore(&["digest"]);
    let export = table.string("export").map(|export| export.value);
    let inherits = inherits(&table, inherits_all);
    let source = match (table.string("component"), table.string("path")) {
        (Some(id), None) => Some(DependencySource::Component(id)),
        (None, Some(path)) => files.inside(&path, &table).map(DependencySource::File),
        _ => {
            let help = "write { path = \"file.wasm\" } or { component = \"<id>\" }";
            table.report_with_help(table.line, "a dependency has a path or a component, one of them", help);
            None
        }
    };
    table.finish();
    Some(Dependency { name: Located::new(parsed, name.line), source: source?, export, inherits })
}

pub(super) fn inherits(table: &Section<'_>, by_default: bool) -> Inherits {
    let otherwise = if by_default { Inherits::All } else { Inherits::Keys(Vec::new()) };
    let Some(entry) = table.get("inherit_configuration") else { return otherwise };
    if entry.is_list() {
        let mut keys = Vec::new();
        for key in entry.strings() {
            match Configuration::ALL.into_iter().find(|known| known.as_str() == &*key.value) {
                Some(known) => keys.push(known),
                None => {
                    let known = Configuration::ALL.map(Configuration::as_str).join(", ");
                    let message = format!("`inherit_configuration`: {:?} cannot be inherited", &*key.value);
                    table.report_with_help(key.line, message, format!("known: {known}"));
                }
            }
        }
        return Inherits::Keys(keys);
    }
    match entry.flag() {
        Some(true) => Inherits::All,
        Some(false) => Inherits::Keys(Vec::new()),
        None => otherwise,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_itself_its_interface_or_its_whole_package() {
        let matches = |name: &str, import: &str| name.parse::<DependencyName>().unwrap().matches(import);
        for name in ["foo:bar/baz@0.1.0", "foo:bar/baz", "foo:bar@0.1.0", "foo:bar"] {
            assert!(matches(name, "foo:bar/baz@0.1.0"), "{name}");
        }
        assert!(matches("foo-bar", "foo-bar"));
        for (name, import) in [
            ("foo:bar/baz@0.1.0", "foo:bar/baz"),
            ("foo:bar/baz", "foo:bar/bub"),
            ("foo:bar/baz", "foo:bar/baz-bub"),
            ("foo:bar/baz", "foo-bar"),
            ("foo:bar", "foo:bub/bib"),
            ("foo:bar", "foo:barn/bib"),
            ("foo:bar@0.1.0", "foo:bar/baz@0.1.1"),
            ("foo", "foo:bar/baz"),
        ] {
            assert!(!matches(name, import), "{name} {import}");
        }
        for wrong in ["", "foo:", "foo:bar/", "a/b", "foo@1.0.0", "foo:bar@1", "foo:bar/b z", ":b"] {
            assert!(wrong.parse::<DependencyName>().is_err(), "{wrong}");
        }
    }
}
