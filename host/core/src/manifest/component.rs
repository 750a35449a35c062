//! One component: where its code is, what it may use, how it runs.

use std::path::PathBuf;
use std::sync::Arc;

use super::build::Build;
use super::dependency::{self, Dependency};
use super::diagnostic::Located;
use super::grants::Grants;
use super::limits::{DEADLINE_MS, DEFAULT_CALL_DEADLINE_MS, Limits, Reuse};
use super::names;
use super::projection::Projection;
use super::sagas::Schedule;
use super::section::{Entry, Section};
use super::source::Files;
use super::subscription::Subscription;

/// Keys that mean something in `[component.<id>.tool.weft]` alone.
const WEFT_KEYS: [&str; 11] = [
    "context",
    "calls",
    "topics",
    "sagas",
    "durable",
    "schedules",
    "subscriptions",
    "projections",
    "reuse",
    "limits",
    "deadline_ms",
];

/// A component of the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// Its id.
    pub id: Arc<str>,
    /// For people; may be empty.
    pub description: Arc<str>,
    /// The component that Weft runs; it may not be built yet.
    pub source: Located<PathBuf>,
    /// What Spin runs, where there is a `tool.weft` table: the component composed with its providers. It is `source`
    /// itself if `tool.weft` names none.
    pub closed_form: Option<Located<PathBuf>>,
    /// How it is built, if it says so.
    pub build: Option<Build>,
    /// What it may use: with a `tool.weft` table exactly what that grants, else what Spin's keys grant.
    pub grants: Grants,
    /// What is composed into it; nothing where there is a `tool.weft` table, whose components are linked live.
    pub dependencies: Vec<Dependency>,
    /// What Spin's keys grant to the closed form, where there is a `tool.weft` table.
    pub closed_form_grants: Option<Grants>,
    /// Whether it exports `weft:durable/resumable`: its functions are sagas.
    pub durable: bool,
    /// The times at which its sagas begin by themselves, unique by name.
    pub schedules: Vec<Schedule>,
    /// Its subscriptions, unique by name.
    pub subscriptions: Vec<Subscription>,
    /// Its projections, unique by name and version.
    pub projections: Vec<Projection>,
    /// How its instances are reused.
    pub reuse: Reuse,
    /// Its bounds.
    pub limits: Limits,
    /// The deadline that it names for its calls, in milliseconds: 1 to 600,000.
    pub deadline_ms: Option<u32>,
    /// The line of `[component.<id>]`.
    pub line: usize,
    /// The line of `[component.<id>.tool.weft]`, if it has that table.
    pub weft_line: Option<usize>,
}

impl Component {
    /// Whether it is a component of Weft and not a plain one of Spin.
    #[must_use]
    pub fn is_weft(&self) -> bool {
        self.weft_line.is_some()
    }

    /// How long a call from another function may take, in milliseconds; 10,000 where it says nothing.
    #[must_use]
    pub fn call_deadline_ms(&self) -> u32 {
        self.deadline_ms.unwrap_or(DEFAULT_CALL_DEADLINE_MS)
    }

    pub(super) fn read(id: &Located<Arc<str>>, entry: Entry<'_>, files: &Files) -> Option<Self> {
        if !names::is_kebab(id) {
            entry.report("is no id for a component (kebab-case, each word starting with a letter)");
        }
        let section = entry.section()?.about(&format!("component {:?}", &*id.value));
        let spin_source = source(&section, files);
        let spin_grants = Grants::read_spin(&section, files);
        let build = section.section("build").map(|table| Build::read(table, files));
        let description = section.string("description").map(|text| text.value).unwrap_or_default();
        let tool = section.section("tool").and_then(|tool| tool.section("weft"));
        let dependencies = dependency::read(&section, files);
        refuse_unsupported(&section);
        let mut component = Self {
            id: id.value.clone(),
            description,
            source: Located::new(PathBuf::new(), id.line),
            closed_form: None,
            build,
            grants: Grants::default(),
            dependencies,
            closed_form_grants: None,
            durable: false,
            schedules: Vec::new(),
            subscriptions: Vec::new(),
            projections: Vec::new(),
            reuse: Reuse::default(),
            limits: Limits::default(),
            deadline_ms: None,
            line: id.line,
            weft_line: tool.as_ref().map(|tool| tool.line),
        };
        let weft_source = match tool {
            Some(tool) => {
                component.dependencies.clear();
                component.closed_form_grants = Some(spin_grants);
                component.read_weft(tool, files)
            }
            None => {
                component.grants = spin_grants;
                None
            }
        };
        component.closed_form = spin_source.clone().filter(|_| component.is_weft());
        let source = weft_source.or(spin_source);
        match source {
            Some(source) => component.source = source,
            None if section.get("source").is_some() => {}
            None => section.report_with_help(id.line, "names no source", "add source = \"file.wasm\""),
        }
        section.finish_with(|key| {
            WEFT_KEYS.contains(&key).then(|| format!("`{key}` stands in [component.{}.tool.weft]", id.value))
        });
        Some(component)
    }

    /// Reads `tool.weft`, and answers its source.
    fn read_weft(&mut self, section: Section<'_>, files: &Files) -> Option<Located<PathBuf>> {
        let source = section.string("source");
        let source = source.and_then(|path| Some(Located::new(files.inside(&path, &section)?, path.line)));
        self.grants = Grants::read_weft(&section);
        self.durable = section.flag("durable", false);
        let schedules = section.get("schedules").and_then(|entry| entry.items()).unwrap_or_default();
        self.schedules = schedules.into_iter().filter_map(Schedule::read).collect();
        let subscriptions = section.get("subscriptions").and_then(|entry| entry.items()).unwrap_or_default();
        self.subscriptions = subscriptions.into_iter().filter_map(Subscription::read).collect();
        let projections = section.get("projections").and_then(|entry| entry.items()).unwrap_or_default();
        self.projections = projections.into_iter().filter_map(Projection::read).collect();
        self.reuse = section.section("reuse").map(Reuse::read).unwrap_or_default();
        self.limits = section.section("limits").map(Limits::read).unwrap_or_default();
        self.deadline_ms = section.get("deadline_ms").and_then(|entry| entry.number(&DEADLINE_MS));
        self.check_weft(&section);
        section.finish_with(|key| super::limits::KEYS.contains(&key).then(|| format!("`{key}` stands in `limits`")));
        source
    }

    fn check_weft(&self, section: &Section<'_>) {
        for (number, subscription) in self.subscriptions.iter().enumerate() {
            if self.subscriptions.iter().take(number).any(|earlier| earlier.name == subscription.name) {
                let message = format!("two subscriptions are called {:?}", &*subscription.name);
                section.report_with_help(subscription.line, message, "give each a name of its own");
            }
        }
        for (number, schedule) in self.schedules.iter().enumerate() {
            if self.schedules.iter().take(number).any(|earlier| earlier.name == schedule.name) {
                let message = format!("two schedules are called {:?}", &*schedule.name);
                section.report_with_help(schedule.line, message, "give each a name of its own");
            }
        }
        for (number, projection) in self.projections.iter().enumerate() {
            let same =
                |earlier: &Projection| (&earlier.name, earlier.version) == (&projection.name, projection.version);
            if self.projections.iter().take(number).any(same) {
                let message =
                    format!("two projections are called {:?}, version {}", &*projection.name, projection.version);
                section.report_with_help(projection.line, message, "give each a name or a version of its own");
            }
        }
        if let Some(projection) = self.projections.first().filter(|_| self.grants.context.is_none()) {
            let help = "add context = \"<context>\", whose database has the projection's tables";
            section.report_with_help(projection.line, "a projection needs a database", help);
        }
        if !self.durable
            && let Some(schedule) = self.schedules.first()
        {
            section.report_with_help(schedule.line, "only sagas are scheduled", "add durable = true");
        }
        if self.durable && self.reuse.is_reused() {
            section.report_with_help(
                section.line,
                "a durable component is not reused: each saga has an instance with a clock and random source of its own",
                "remove `reuse`",
            );
        }
    }
}

fn source(section: &Section<'_>, files: &Files) -> Option<Located<PathBuf>> {
    let entry = section.get("source")?;
    if entry.is_table() {
        entry.report_with_help(
            "must be a file: sources by URL or from a registry are not supported yet",
            "download the component and name the file",
        );
        return None;
    }
    let path = entry.string()?;
    Some(Located::new(files.inside(&path, section)?, path.line))
}

/// Keys of Spin that would change what the component does and that Weft does not have.
fn refuse_unsupported(section: &Section<'_>) {
    let refuse = |key: &'static str, message: &str, help: &str| {
        if let Some(entry) = section.get(key).filter(|entry| !entry.is_empty()) {
            entry.report_with_help(message, help);
        }
    };
    refuse("allowed_http_hosts", "is deprecated", "write allowed_outbound_hosts = [\"https://example.com\"]");
    refuse("ai_models", "is not supported yet: Weft has no AI models", "remove it");
    section.ignore(&["targets", "profile"]);
}
