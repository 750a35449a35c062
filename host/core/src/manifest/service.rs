//! External services that functions reach by name, and policy on the requests to them. Where their instances are at run
//! time, and keeping to the policy, belongs to the mesh.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::diagnostic::Located;
use super::mesh::CallPolicy;
use super::names;
use super::section::{Entry, Section};
use super::template::Template;
use crate::outbound::{EndpointAddress, is_instance_label};

/// Services of one application.
const MAX_SERVICES: usize = 256;
/// Instances of one service, registered ones included.
pub const MAX_INSTANCES: usize = 256;
/// Tags of one instance.
pub const MAX_TAGS: usize = 16;
/// The greatest weight of an instance.
pub const MAX_WEIGHT: u32 = 1_000;
/// The longest name: it is a label of a host's name.
const MAX_NAME_BYTES: usize = 63;
/// The longest time of any of these policies, in milliseconds.
const MAX_MS: u32 = 600_000;
/// Requests to one service at the same time, at most.
const MAX_CONCURRENT: u32 = 256;

/// `[application.tool.weft.mesh.services.<name>]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Functions reach it as `http://<name>.weft.internal`.
    pub name: Arc<str>,
    /// Where it is declared.
    pub line: usize,
    /// Instances that are always there.
    pub endpoints: Vec<Located<DeclaredEndpoint>>,
    /// What becomes of requests that fail.
    pub calls: CallPolicy,
    /// Which instance a request goes to.
    pub load_balance: LoadBalance,
    /// How it is known which instances are there.
    pub health: HealthCheck,
    /// When an instance that fails gets no requests for a while.
    pub ejection: Ejection,
    /// How long a request may take up to the head of its answer, in milliseconds: 1 to 600,000; what `deadlines.external_ms` says
    /// without it.
    pub deadline_ms: Option<u32>,
    /// Requests at the same time: 1 to 256, 100 by default.
    pub max_concurrent: u32,
    /// Requests that wait for one of those to end: 0 to 10,000, 100 by default.
    pub max_pending: u32,
    /// Whether instances with private addresses (loopback among them) may be registered while the host runs; not by
    /// default. Those that the manifest declares may have any address.
    pub allow_private: bool,
}

/// An instance that the manifest declares: its address, or a table with that and more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredEndpoint {
    /// An [`EndpointAddress`] once its variables have values. An empty one leaves the instance out.
    pub address: Template,
    /// How much of the requests it gets beside others: 1 to 1,000, 1 by default.
    pub weight: u32,
    /// The version of the service that it runs.
    pub version: Option<Arc<str>>,
    /// What else it is known by.
    pub tags: Vec<Arc<str>>,
}

/// How the instance is chosen that a request goes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LoadBalance {
    /// One after the other.
    RoundRobin,
    /// Any.
    Random,
    /// The one with the fewest requests under way.
    LeastConnections,
    /// Of two at random the one that answers sooner, by a moving average and the requests under way.
    #[default]
    PowerOfTwo,
}

impl LoadBalance {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::RoundRobin, Self::Random, Self::LeastConnections, Self::PowerOfTwo];

    /// As the manifest has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RoundRobin => "round-robin",
            Self::Random => "random",
            Self::LeastConnections => "least-connections",
            Self::PowerOfTwo => "p2c",
        }
    }

    fn read(section: &Section<'_>) -> Self {
        let Some(written) = section.string("load_balance") else { return Self::default() };
        let known = Self::ALL.into_iter().find(|one| one.as_str() == &*written.value);
        known.unwrap_or_else(|| {
            let message = format!("`{}`: there is no strategy {:?}", section.name("load_balance"), &*written.value);
            section.report_with_help(
                written.line,
                message,
                format!("one of {}", Self::ALL.map(Self::as_str).join(", ")),
            );
            Self::default()
        })
    }
}

/// `health`: each instance is asked now and then whether it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// Whether they are asked; they are by default.
    pub enabled: bool,
    /// What is asked for by GET, to be answered with success; without it that the instance takes a connection is enough.
    pub path: Option<Arc<str>>,
    /// How often, in milliseconds: 50 to 600,000, 10,000 by default.
    pub interval_ms: u32,
    /// How long an answer may take, in milliseconds: 1 to 600,000, 5,000 by default.
    pub timeout_ms: u32,
    /// After how long without a good answer a registered instance is removed, in milliseconds: 1 to 600,000, 60,000 by
    /// default.
    pub remove_after_ms: u32,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self { enabled: true, path: None, interval_ms: 10_000, timeout_ms: 5_000, remove_after_ms: 60_000 }
    }
}

impl HealthCheck {
    fn read(section: Section<'_>) -> Self {
        let default = Self::default();
        let path = section.string("path");
        let is_path = |path: &str| path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic());
        if let Some(path) = path.as_ref().filter(|path| !is_path(path)) {
            let message = format!("`{}`: {:?} is no path", section.name("path"), &*path.value);
            section.report_with_help(path.line, message, "write it as /healthz");
        }
        let health = Self {
            enabled: section.flag("enabled", default.enabled),
            path: path.map(|path| path.value),
            interval_ms: section.number("interval_ms", 50..=MAX_MS, default.interval_ms),
            timeout_ms: section.number("timeout_ms", 1..=MAX_MS, default.timeout_ms),
            remove_after_ms: section.number("remove_after_ms", 1..=MAX_MS, default.remove_after_ms),
        };
        section.finish();
        health
    }
}

/// `ejection`: an instance that fails again and again gets no requests for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// Whether there is such a thing; there is by default.
    pub enabled: bool,
    /// After so many failures in a row: 1 to 1,000, 5 by default.
    pub consecutive_failures: u32,
    /// For so long at first, twice as long the second time and so on, in milliseconds: 1 to 600,000, 30,000 by default.
    pub base_ms: u32,
    /// For so long at most, in milliseconds: 1 to 600,000, 300,000 by default.
    pub max_ms: u32,
    /// How often it is looked whose time is over, in milliseconds: 1 to 600,000, 10,000 by default.
    pub interval_ms: u32,
    /// How many of a hundred instances may be left out at the same time: 0 to 100, 50 by default.
    pub max_percent: u32,
}

impl Default for Ejection {
    fn default() -> Self {
        Self {
            enabled: true,
            consecutive_failures: 5,
            base_ms: 30_000,
            max_ms: 300_000,
            interval_ms: 10_000,
            max_percent: 50,
        }
    }
}

impl Ejection {
    fn read(section: Section<'_>) -> Self {
        let default = Self::default();
        let ejection = Self {
            enabled: section.flag("enabled", default.enabled),
            consecutive_failures: section.number("consecutive_failures", 1..=1_000, default.consecutive_failures),
            base_ms: section.number("base_ms", 1..=MAX_MS, default.base_ms),
            max_ms: section.number("max_ms", 1..=MAX_MS, default.max_ms),
            interval_ms: section.number("interval_ms", 1..=MAX_MS, default.interval_ms),
            max_percent: section.number("max_percent", 0..=100, default.max_percent),
        };
        section.finish();
        ejection
    }
}

impl DeclaredEndpoint {
    fn read(entry: &Entry<'_>, section: Option<Section<'_>>) -> Option<Located<Self>> {
        let Some(section) = section else {
            let address = address(entry, &entry.string()?)?;
            let endpoint = Self { address, weight: 1, version: None, tags: Vec::new() };
            return Some(Located::new(endpoint, entry.line));
        };
        let address = section.required_string("address").and_then(|text| address(entry, &text));
        let version = section.string("version");
        if let Some(version) = version.as_ref().filter(|version| !is_instance_label(version)) {
            let message = format!("`{}`: {:?} is no version", section.name("version"), &*version.value);
            section.report_with_help(version.line, message, "letters, digits, `.`, `-`, `_` and `+`, at most 64");
        }
        let tags =
            section.names("tags", is_instance_label, "a tag: letters, digits, `.`, `-`, `_` and `+`, at most 64");
        if tags.len() > MAX_TAGS {
            section.report(section.line, format!("an instance has at most {MAX_TAGS} tags"));
        }
        let weight = section.number("weight", 1..=MAX_WEIGHT, 1);
        section.finish();
        let version = version.map(|version| version.value);
        let tags = tags.into_iter().map(|tag| tag.value).collect();
        Some(Located::new(Self { address: address?, weight, version, tags }, entry.line))
    }
}

/// A template for an address; one without variables is an address already.
fn address(entry: &Entry<'_>, text: &Located<Arc<str>>) -> Option<Template> {
    let template: Template = match text.value.parse() {
        Ok(template) => template,
        Err(error) => {
            entry.report(format!("has {:?}: {error}", &*text.value));
            return None;
        }
    };
    if template.is_literal() && text.value.parse::<EndpointAddress>().is_err() {
        let help = "write it as http://10.0.0.1:8080 or https://api.example.com, without a path";
        entry.report_with_help(format!("has {:?}, which is no address of an instance", &*text.value), help);
    }
    Some(template)
}

impl Service {
    fn read(name: Located<Arc<str>>, entry: Entry<'_>) -> Option<Self> {
        let line = entry.line;
        let section = entry.section()?;
        let is_lower = !name.value.chars().any(|c| c.is_ascii_uppercase());
        if !names::is_kebab(&name) || !is_lower || name.value.len() > MAX_NAME_BYTES {
            let message = format!("{:?} is no name of a service", &*name.value);
            section.report_with_help(
                name.line,
                message,
                "words of lower-case letters and digits with `-` between them",
            );
        }
        let entries = section.get("endpoints").and_then(|entry| entry.items()).unwrap_or_default();
        if entries.len() > MAX_INSTANCES {
            section.report(line, format!("a service has at most {MAX_INSTANCES} instances"));
        }
        let endpoints: Vec<_> = entries.into_iter().filter_map(endpoint).collect();
        let mut seen = std::collections::BTreeSet::new();
        for endpoint in &endpoints {
            if !seen.insert(endpoint.value.address.as_str()) {
                let address = endpoint.value.address.as_str();
                section
                    .report(endpoint.line, format!("`{}`: {address:?} stands there twice", section.name("endpoints")));
            }
        }
        let service = Self {
            name: name.value,
            line,
            endpoints,
            calls: CallPolicy::of_service(&section),
            load_balance: LoadBalance::read(&section),
            health: section.section("health").map(HealthCheck::read).unwrap_or_default(),
            ejection: section.section("ejection").map(Ejection::read).unwrap_or_default(),
            deadline_ms: section.get("deadline_ms").and_then(|entry| entry.number(&(1..=MAX_MS))),
            max_concurrent: section.number("max_concurrent", 1..=MAX_CONCURRENT, 100),
            max_pending: section.number("max_pending", 0..=10_000, 100),
            allow_private: section.flag("allow_private", false),
        };
        section.finish();
        Some(service)
    }
}

fn endpoint(entry: Entry<'_>) -> Option<Located<DeclaredEndpoint>> {
    let section = if entry.is_table() { Some(entry.clone().section()?) } else { None };
    DeclaredEndpoint::read(&entry, section)
}

/// All services.
pub(super) fn read(section: Section<'_>) -> BTreeMap<Arc<str>, Service> {
    let entries = section.entries();
    if entries.len() > MAX_SERVICES {
        section.report(section.line, format!("at most {MAX_SERVICES} services are declared"));
    }
    let services = entries.into_iter().filter_map(|(name, entry)| Service::read(name, entry));
    services.map(|service| (service.name.clone(), service)).collect()
}
