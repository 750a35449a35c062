//! `[component.<id>.dependencies]`: the components that are composed into one, as Spin does it. Which bytes they are and
//! how they are put together is not known here.

use std::str::FromStr;
use std::sync::Arc;

use super::diagnostic::Located;
use super::names;
use super::section::{Entry, Section};
use super::source::{self, Files, SourceFile};

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
    File(SourceFile),
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

impl DependencyName {
    fn parts(&self) -> (&str, Option<&str>, Option<&str>) {
        let (path, version) = split_version(&self.text);
        let (package, interface) = match path.split_once('/') {
            Some((package, interface)) => (package, Some(interface)),
            None => (path, None),
        };
        (package, interface, version.strip_prefix('@'))
    }

    /// Whether it means every interface of a package.
    fn is_whole_package(&self) -> bool {
        let (package, interface, _) = self.parts();
        package.contains(':') && interface.is_none()
    }

    /// Whether an import may be meant by both: the same package, and neither interfaces nor versions keep them apart.
    /// Versions do if they are not compatible, as in semantic versioning.
    fn overlaps(&self, other: &Self) -> bool {
        let ((package, interface, version), (other_package, other_interface, other_version)) =
            (self.parts(), other.parts());
        let apart = |one: Option<&str>, other: Option<&str>| one.zip(other).is_some_and(|(one, other)| one != other);
        package.contains(':')
            && package == other_package
            && !apart(interface, other_interface)
            && !apart(version.map(compatible), other_version.map(compatible))
    }
}

/// What compatible versions share: all of one with a pre-release tag, else the numbers up to the first that is not zero.
fn compatible(version: &str) -> &str {
    let version = version.split('+').next().unwrap_or_default();
    if version.contains('-') {
        return version;
    }
    let mut end = 0;
    for number in version.split('.') {
        end += number.len();
        if number.bytes().any(|digit| digit != b'0') {
            break;
        }
        end += 1;
    }
    version.get(..end).unwrap_or(version)
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

/// A dependency as it is written, before it is known what the component says for all of them.
pub(super) struct Written {
    dependency: Dependency,
    /// Whether it says for itself what it inherits.
    says_what_it_inherits: bool,
}

/// The `dependencies` of a table, each read by itself.
pub(super) fn written(section: &Section<'_>, files: &Files) -> Vec<Written> {
    let entries = section.section("dependencies").map(|table| table.entries()).unwrap_or_default();
    entries.into_iter().filter_map(|(name, entry)| one(&name, entry, files)).collect()
}

/// The dependencies of a component: its own, with those of the profile in the place of ones of the same name.
pub(super) fn resolve(section: &Section<'_>, own: Vec<Written>, of_profile: Vec<Written>) -> Vec<Dependency> {
    let for_all = section.get("dependencies_inherit_configuration");
    let line = for_all.as_ref().map_or(section.line, |entry| entry.line);
    let for_all = for_all.and_then(|entry| entry.flag());
    let replaced =
        |one: &Written| of_profile.iter().any(|other| other.dependency.name.as_str() == one.dependency.name.as_str());
    let mut all: Vec<Written> = own.into_iter().filter(|one| !replaced(one)).collect();
    all.extend(of_profile);
    if for_all.is_some() && all.iter().any(|one| one.says_what_it_inherits) {
        section.report_with_help(
            line,
            "`dependencies_inherit_configuration` stands beside an `inherit_configuration` of a dependency",
            "say it once for all, or for each dependency",
        );
    }
    let mut dependencies: Vec<Dependency> = all.into_iter().map(|one| one.dependency).collect();
    if for_all == Some(true) {
        dependencies.iter_mut().for_each(|one| one.inherits = Inherits::All);
    }
    for (number, one) in dependencies.iter().enumerate() {
        let other = dependencies.iter().take(number).find(|other| other.name.overlaps(&one.name));
        if let Some(other) = other {
            section.report_with_help(
                one.name.line,
                format!(
                    "the dependencies {:?} and {:?} may be for the same import",
                    other.name.as_str(),
                    one.name.as_str()
                ),
                "name versions that are not compatible, or different interfaces",
            );
        }
    }
    dependencies
}

fn one(name: &Located<Arc<str>>, entry: Entry<'_>, files: &Files) -> Option<Written> {
    let Ok(parsed) = name.parse::<DependencyName>() else {
        let help = "write the import, such as \"example:calc/add@1.0.0\", or its package \"example:calc\"";
        entry.report_with_help("names no import", help);
        return None;
    };
    if entry.is_string() {
        entry.report_with_help(
            "is in a registry, from which Weft does not fetch",
            "download the component, and write { path = \"file.wasm\" }",
        );
        return None;
    }
    let table = entry.section()?;
    let export = table.string("export");
    if let Some(export) = export.as_ref().filter(|_| parsed.is_whole_package()) {
        table.report_with_help(
            export.line,
            format!("{:?} means a whole package, which one export cannot stand for", parsed.as_str()),
            "name the interface, such as \"example:calc/add\", or remove `export`",
        );
    }
    let own = table.get("inherit_configuration").is_some();
    let inherits = inherits(&table);
    let source = source(&table, files);
    table.finish();
    let export = export.map(|export| export.value);
    let dependency = Dependency { name: Located::new(parsed, name.line), source: source?, export, inherits };
    Some(Written { dependency, says_what_it_inherits: own })
}

/// Where a dependency is: `component`, `path`, `url`, or a registry.
pub(super) fn source(table: &Section<'_>, files: &Files) -> Option<DependencySource> {
    if let Some(file) = source::elsewhere(table, files) {
        return file.map(DependencySource::File);
    }
    match (table.string("component"), table.string("path")) {
        (Some(id), None) => Some(DependencySource::Component(id)),
        (None, Some(path)) => {
            let path = files.inside(&path, table)?;
            Some(DependencySource::File(SourceFile { path, digest: None }))
        }
        _ => {
            let help = "write { path = \"file.wasm\" } or { component = \"<id>\" }";
            table.report_with_help(table.line, "a dependency has a path or a component, one of them", help);
            None
        }
    }
}

/// What a dependency says that it inherits; nothing if it says nothing.
pub(super) fn inherits(table: &Section<'_>) -> Inherits {
    let nothing = Inherits::Keys(Vec::new());
    let Some(entry) = table.get("inherit_configuration") else { return nothing };
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
        Some(false) | None => nothing,
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

    #[test]
    fn names_that_may_mean_one_import_overlap() {
        let overlap = |a: &str, b: &str| a.parse::<DependencyName>().unwrap().overlaps(&b.parse().unwrap());
        for (a, b) in [
            ("foo:bar@0.1.0", "foo:bar@0.2.0"),
            ("foo:bar/baz@0.1.0", "foo:bar/baz@0.2.0"),
            ("foo:bar/baz@0.1.0", "foo:bar/bub@0.1.0"),
            ("foo:bar@0.1.0", "foo:bar/bub@0.2.0"),
            ("foo:bar@1.0.0", "foo:bar@2.0.0"),
            ("foo:bar@0.1.0", "foo:bar@1.0.0"),
            ("foo:bar/baz", "foo:bar/bub"),
            ("foo:bar/baz@0.1.0-alpha", "foo:bar/baz@0.1.0-beta"),
            ("foo:bar@0.0.1", "foo:bar@0.0.2"),
            ("foo", "bar"),
        ] {
            assert!(!overlap(a, b) && !overlap(b, a), "{a} {b}");
        }
        for (a, b) in [
            ("foo:bar@0.1.0", "foo:bar@0.1.1"),
            ("foo:bar@1.2.0", "foo:bar@1.3.4+build"),
            ("foo:bar/baz@0.1.0", "foo:bar@0.1.0"),
            ("foo:bar", "foo:bar@0.1.0"),
            ("foo:bar", "foo:bar/baz"),
            ("foo:bar@0.1.0-pre", "foo:bar@0.1.0-pre"),
        ] {
            assert!(overlap(a, b) && overlap(b, a), "{a} {b}");
        }
    }
}
