//! What a component may use: from its `tool.weft` table where it has one that does not leave that to Spin, else from
//! Spin's own keys. Both are read by the same code, so a store means the same in both.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use crate::outbound::AllowedHost;
use crate::push::ChannelPattern;
use crate::topic::TopicPattern;

use super::diagnostic::Located;
use super::names;
use super::section::Section;
use super::source::Files;
use super::template::Template;

/// What one component may use; nothing by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// The context whose database it reaches by `weft:sql`.
    pub context: Option<Located<Arc<str>>>,
    /// The components it may call, by the full name of the interface that it imports.
    pub calls: BTreeMap<Arc<str>, Located<Arc<str>>>,
    /// The topics it may publish to.
    pub topics: Vec<Located<TopicPattern>>,
    /// The channels it may push to; `user:<id>` is a user's.
    pub push: Vec<Located<ChannelPattern>>,
    /// The durable components whose sagas it sees by `weft:durable/handles`.
    pub sagas: Vec<Located<Arc<str>>>,
    /// Labels of key-value stores.
    pub key_value_stores: Vec<Located<Arc<str>>>,
    /// Labels of `spin:sqlite` databases.
    pub sqlite_databases: Vec<Located<Arc<str>>>,
    /// Hosts it may reach; checked where they name no variable. [`super::Variables::outbound_hosts`] has the rest.
    pub allowed_outbound_hosts: Vec<Located<Template>>,
    /// Its variables by name.
    pub variables: BTreeMap<Arc<str>, Located<Template>>,
    /// Its environment variables.
    pub environment: BTreeMap<Arc<str>, Arc<str>>,
    /// Files it may read; of Spin components alone.
    pub files: Vec<FileMount>,
    /// Globs of files that [`Self::files`] would show and that stay hidden.
    pub exclude_files: Vec<Arc<str>>,
}

/// Files that a component may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileMount {
    /// Files that match a glob relative to the manifest's folder, shown under the same relative path.
    Glob(Arc<str>),
    /// A folder shown at an absolute path.
    Folder {
        /// The folder.
        source: PathBuf,
        /// Where the component sees it.
        destination: Arc<str>,
    },
}

impl Grants {
    /// The keys that Spin and `tool.weft` share.
    pub(super) fn read_shared(section: &Section<'_>) -> Self {
        Self {
            key_value_stores: section.names("key_value_stores", names::is_label, "a label (kebab-case or snake_case)"),
            sqlite_databases: section.names("sqlite_databases", names::is_label, "a label (kebab-case or snake_case)"),
            allowed_outbound_hosts: outbound_hosts(section),
            variables: variables(section),
            environment: environment(section),
            ..Self::default()
        }
    }

    /// Spin's own keys.
    pub(super) fn read_spin(section: &Section<'_>, files: &Files) -> Self {
        let mut grants = Self {
            files: mounts(section, files),
            exclude_files: section.strings("exclude_files").into_iter().map(|glob| glob.value).collect(),
            ..Self::read_shared(section)
        };
        grants.allowed_outbound_hosts.extend(http_hosts(section));
        grants
    }

    /// The keys of `tool.weft`.
    pub(super) fn read_weft(section: &Section<'_>) -> Self {
        Self {
            context: section.string("context"),
            calls: calls(section),
            topics: topics(section),
            push: parsed(section, "push", "a pattern of channels"),
            sagas: section.names("sagas", names::is_kebab, "a component's id"),
            ..Self::read_shared(section)
        }
    }
}

/// The grants and the work that only Weft has.
const ONLY_WEFTS: [&str; 9] =
    ["context", "calls", "topics", "push", "sagas", "durable", "schedules", "subscriptions", "projections"];
/// What stands in a component's own table where Spin's keys grant.
const ALSO_SPINS: [&str; 6] =
    ["source", "key_value_stores", "sqlite_databases", "allowed_outbound_hosts", "variables", "environment"];

/// Whether a `tool.weft` table leaves the grants to Spin's keys: `grants = "spin"`. Then it says how the component runs,
/// and nothing else.
pub(super) fn are_spins(section: &Section<'_>) -> bool {
    let Some(written) = section.string("grants") else { return false };
    if &*written.value != "spin" {
        let message = format!("`{}` is \"spin\" or is not there", section.name("grants"));
        let help = "write grants = \"spin\" to keep what Spin's keys grant, or remove it and name the grants here";
        section.report_with_help(written.line, message, help);
    }
    true
}

/// Refuses what has no place in a `tool.weft` table of a component with Spin's grants.
pub(super) fn refuse_beside_spins(section: &Section<'_>, component: &str) {
    for key in ONLY_WEFTS {
        if let Some(entry) = section.get(key) {
            let help = "remove `grants`, and name here all that the component may use";
            entry.report_with_help("is not for a component whose grants are Spin's", help);
        }
    }
    for key in ALSO_SPINS {
        if let Some(entry) = section.get(key) {
            let help = format!("write it in [component.{component}], or remove `grants`");
            entry.report_with_help("stands in the component's own table where its grants are Spin's", help);
        }
    }
}

/// Whether Spin has this key in a component's table.
pub(super) fn is_spin_key(key: &str) -> bool {
    [
        "description",
        "variables",
        "files",
        "exclude_files",
        "allowed_http_hosts",
        "allowed_outbound_hosts",
        "key_value_stores",
        "sqlite_databases",
        "ai_models",
        "targets",
        "tool",
        "dependencies_inherit_configuration",
        "profile",
    ]
    .contains(&key)
}

/// Each string of the array behind `key`, parsed.
fn parsed<T>(section: &Section<'_>, key: &'static str, what: &str) -> Vec<Located<T>>
where
    T: FromStr<Err: Display>,
{
    let parse = |text: Located<Arc<str>>| match text.parse() {
        Ok(value) => Some(Located::new(value, text.line)),
        Err(error) => {
            let name = section.name(key);
            section.report(text.line, format!("`{name}`: {:?} is not {what}: {error}", &*text.value));
            None
        }
    };
    section.strings(key).into_iter().filter_map(parse).collect()
}

fn topics(section: &Section<'_>) -> Vec<Located<TopicPattern>> {
    parsed(section, "topics", "a pattern of topics")
}

fn outbound_hosts(section: &Section<'_>) -> Vec<Located<Template>> {
    let hosts: Vec<Located<Template>> = parsed(section, "allowed_outbound_hosts", "an allowed host");
    for host in hosts.iter().filter(|host| host.is_literal()) {
        if let Err(error) = host.as_str().parse::<AllowedHost>() {
            let (name, text) = (section.name("allowed_outbound_hosts"), host.as_str());
            section.report(host.line, format!("`{name}`: {text:?} is not an allowed host: {error}"));
        }
    }
    hosts
}

/// What the deprecated `allowed_http_hosts` means in the words of `allowed_outbound_hosts`, as in Spin: each host by
/// http and by https; `insecure:allow-all` for all.
fn http_hosts(section: &Section<'_>) -> Vec<Located<Template>> {
    let mut hosts = Vec::new();
    for written in section.strings("allowed_http_hosts") {
        let bare = written.strip_prefix("http://").or_else(|| written.strip_prefix("https://")).unwrap_or(&written);
        let meant: Vec<String> = match bare.strip_suffix('/').unwrap_or(bare) {
            "insecure:allow-all" => ["http://*:*", "https://*:*", "http://self"].map(str::to_owned).into(),
            "self" => vec!["http://self".to_owned()],
            host => vec![format!("http://{host}"), format!("https://{host}")],
        };
        let valid = meant.iter().all(|host| host.parse::<AllowedHost>().is_ok()) && !bare.contains('*');
        let parsed: Vec<Template> = meant.iter().filter_map(|host| host.parse().ok()).collect();
        if !valid || parsed.iter().any(|host| !host.is_literal()) {
            let name = section.name("allowed_http_hosts");
            section.report_with_help(
                written.line,
                format!("`{name}`: {:?} is not a host with or without a port", &*written.value),
                "write allowed_outbound_hosts = [\"https://example.com\"]",
            );
            continue;
        }
        hosts.extend(parsed.into_iter().map(|host| Located::new(host, written.line)));
    }
    hosts
}

fn variables(section: &Section<'_>) -> BTreeMap<Arc<str>, Located<Template>> {
    let mut variables = BTreeMap::new();
    for (name, entry) in section.section("variables").map(|table| table.entries()).unwrap_or_default() {
        if !names::is_variable(&name) {
            entry.report("is no name for a variable (snake_case in lower case)");
        }
        let Some(text) = entry.string() else { continue };
        match text.parse() {
            Ok(template) => drop(variables.insert(name.value, Located::new(template, name.line))),
            Err(error) => entry.report(format!("is no template: {error}")),
        }
    }
    variables
}

/// `environment`.
pub(super) fn environment(section: &Section<'_>) -> BTreeMap<Arc<str>, Arc<str>> {
    let mut environment = BTreeMap::new();
    for (name, entry) in section.section("environment").map(|table| table.entries()).unwrap_or_default() {
        if name.is_empty() || name.contains(['=', '\0']) {
            entry.report("is no name for an environment variable");
        }
        if let Some(text) = entry.string() {
            environment.insert(name.value, text.value);
        }
    }
    environment
}

fn calls(section: &Section<'_>) -> BTreeMap<Arc<str>, Located<Arc<str>>> {
    let mut calls = BTreeMap::new();
    for (interface, entry) in section.section("calls").map(|table| table.entries()).unwrap_or_default() {
        if !names::is_interface(&interface) {
            entry.report_with_help(
                "names no interface",
                "write the import's full name, such as \"education:courses/seats@1.0.0\"",
            );
        } else if ["weft:", "wasi:", "spin:", "fermyon:"].iter().any(|host| interface.starts_with(host)) {
            entry.report("names an interface of the host, which no component provides");
        }
        if let Some(target) = entry.string() {
            calls.insert(interface.value, target);
        }
    }
    calls
}

fn mounts(section: &Section<'_>, files: &Files) -> Vec<FileMount> {
    let items = section.get("files").and_then(|entry| entry.items()).unwrap_or_default();
    let mount = |entry: super::section::Entry<'_>| {
        if entry.is_string() {
            return entry.string().map(|glob| FileMount::Glob(glob.value));
        }
        let folder = entry.section()?;
        let source = folder.required_string("source");
        let destination = folder.required_string("destination");
        if let Some(path) = destination.as_ref().filter(|path| !path.starts_with('/')) {
            folder.report(path.line, format!("the destination {:?} is not an absolute path", &*path.value));
        }
        let source = source.and_then(|path| files.inside(&path, &folder));
        folder.finish();
        Some(FileMount::Folder { source: source?, destination: destination?.value })
    };
    items.into_iter().filter_map(mount).collect()
}
