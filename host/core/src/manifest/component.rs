//! One component: where its code is, what it may use, how it runs.

use std::path::PathBuf;
use std::sync::Arc;

use super::build::Build;
use super::dependency::{self, Dependency};
use super::diagnostic::Located;
use super::grants::{self, Grants};
use super::limits::{DEADLINE_MS, DEFAULT_CALL_DEADLINE_MS, Limits, Reuse};
use super::mesh::CallPolicy;
use super::names;
use super::profile;
use super::projection::Projection;
use super::sagas::Schedule;
use super::section::{Entry, Section};
use super::source::{self, Files, SourceFile};
use super::subscription::Subscription;
use super::target;
use super::trigger::Middleware;
use super::version::{self, Version};
use super::{Dialect, Mode};

/// Keys that mean something in `[component.<id>.tool.weft]` alone.
const WEFT_KEYS: [&str; 16] = [
    "grants",
    "context",
    "calls",
    "topics",
    "push",
    "sagas",
    "durable",
    "schedules",
    "subscriptions",
    "projections",
    "reuse",
    "limits",
    "mesh",
    "versions",
    "deadline_ms",
    "optional",
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
    /// The SHA-256 that its source must have, in hex, where the manifest says one.
    pub digest: Option<Arc<str>>,
    /// The component whose other half this is: a trigger or a route with middleware of its own runs it apart from others.
    pub split_from: Option<Arc<str>>,
    /// What stands in front of it on the routes that it serves, the outermost first, besides what their trigger has there.
    pub middleware: Vec<Middleware>,
    /// The names of its profiles.
    pub profiles: Vec<Arc<str>>,
    /// What Spin runs, where `tool.weft` grants: the component composed with its providers. It is `source` itself if
    /// `tool.weft` names none.
    pub closed_form: Option<Located<PathBuf>>,
    /// How it is built, if it says so.
    pub build: Option<Build>,
    /// What it may use: with a `tool.weft` table exactly what that grants, unless it says `grants = "spin"`; else what
    /// Spin's keys grant.
    pub grants: Grants,
    /// What is composed into it; nothing where `tool.weft` grants, whose components are linked live.
    pub dependencies: Vec<Dependency>,
    /// What Spin's keys grant to the closed form, where `tool.weft` grants to what Weft runs.
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
    /// Policy on calls to it, where it says something of its own.
    pub mesh: CallPolicy,
    /// Other code for it that is deployed beside its own, unique by name.
    pub versions: Vec<Version>,
    /// The deadline that it names for its calls, in milliseconds: 1 to 600,000.
    pub deadline_ms: Option<u32>,
    /// Whether the application runs without it while its file is not there: calls to it answer that it is unavailable.
    /// A component that something other than calls leads to is not optional.
    pub optional: bool,
    /// The line of `[component.<id>]`.
    pub line: usize,
    /// The line of `[component.<id>.tool.weft]`, if it has that table.
    pub weft_line: Option<usize>,
}

impl Component {
    /// Whether it is a component of Weft and not one of Spin, which may have a `tool.weft` table with `grants = "spin"`.
    #[must_use]
    pub fn is_weft(&self) -> bool {
        self.closed_form_grants.is_some()
    }

    /// The component whose policy, versions and identity towards others it has: itself, or that which it was split from.
    #[must_use]
    pub fn whole(&self) -> &Arc<str> {
        self.split_from.as_ref().unwrap_or(&self.id)
    }

    /// How long a call from another function may take, in milliseconds; 10,000 where it says nothing.
    #[must_use]
    pub fn call_deadline_ms(&self) -> u32 {
        self.deadline_ms.unwrap_or(DEFAULT_CALL_DEADLINE_MS)
    }

    /// Reads the table of the component `id`, with what a profile puts in the place of its parts.
    pub(super) fn read(id: &Located<Arc<str>>, entry: Entry<'_>, files: &Files, mode: Mode<'_>) -> Option<Self> {
        if !names::is_kebab(id) {
            entry.report("is no id for a component (kebab-case, each word starting with a letter)");
        }
        let section = entry.section()?.about(&format!("component {:?}", &*id.value));
        let (mut component, spin_source) = Self::of_spin(id, &section, files, mode.profile);
        let tool = section.section("tool").filter(|_| mode.dialect == Dialect::Weft);
        let tool = tool.and_then(|tool| tool.section("weft"));
        component.weft_line = tool.as_ref().map(|tool| tool.line);
        let weft_source = tool.and_then(|tool| {
            if !grants::are_spins(&tool) {
                component.dependencies.clear();
                component.closed_form_grants = Some(std::mem::take(&mut component.grants));
            }
            component.read_weft(tool, files)
        });
        let spin_path = spin_source.as_ref().map(|source| Located::new(source.path.clone(), source.line));
        component.closed_form = spin_path.clone().filter(|_| component.is_weft());
        if weft_source.is_none() {
            component.digest = spin_source.and_then(|source| source.value.digest);
        }
        match weft_source.or(spin_path) {
            Some(source) => component.source = source,
            None if section.get("source").is_some() => {}
            None => section.report_with_help(id.line, "names no source", "add source = \"file.wasm\""),
        }
        section.finish_with(|key| {
            WEFT_KEYS.contains(&key).then(|| format!("`{key}` stands in [component.{}.tool.weft]", id.value))
        });
        Some(component)
    }

    /// What Spin's keys say, and the source that they name.
    fn of_spin(
        id: &Located<Arc<str>>,
        section: &Section<'_>,
        files: &Files,
        profile: Option<&str>,
    ) -> (Self, Option<Located<SourceFile>>) {
        let mut profiles = profile::read(section, files);
        let names = profiles.keys().cloned().collect();
        let chosen = profile.and_then(|name| profiles.remove(name)).unwrap_or_default();
        let own_source = section.get("source").and_then(|entry| source::component_source(entry, section, files));
        let mut grants = Grants::read_spin(section, files);
        grants.environment.extend(chosen.environment);
        let mut build = section.section("build").map(|table| Build::read(table, files));
        if let Some(commands) = chosen.build_commands {
            let (workdir, line) = (files.root().to_owned(), chosen.build_line);
            build.get_or_insert(Build { commands: Vec::new(), workdir, watch: Vec::new(), line }).commands = commands;
        }
        let own = dependency::written(section, files);
        refuse_ai_models(section);
        target::check(section);
        let component = Self {
            id: id.value.clone(),
            description: section.string("description").map(|text| text.value).unwrap_or_default(),
            source: Located::new(PathBuf::new(), id.line),
            digest: None,
            split_from: None,
            middleware: Vec::new(),
            profiles: names,
            closed_form: None,
            build,
            grants,
            dependencies: dependency::resolve(section, own, chosen.dependencies),
            closed_form_grants: None,
            durable: false,
            schedules: Vec::new(),
            subscriptions: Vec::new(),
            projections: Vec::new(),
            reuse: Reuse::default(),
            limits: Limits::default(),
            mesh: CallPolicy::default(),
            versions: Vec::new(),
            deadline_ms: None,
            optional: false,
            line: id.line,
            weft_line: None,
        };
        (component, chosen.source.or(own_source))
    }

    /// Reads `tool.weft`, and answers its source.
    fn read_weft(&mut self, section: Section<'_>, files: &Files) -> Option<Located<PathBuf>> {
        let source = section.string("source");
        let source = source.and_then(|path| Some(Located::new(files.inside(&path, &section)?, path.line)));
        if self.is_weft() {
            self.read_grants_and_work(&section);
        } else {
            grants::refuse_beside_spins(&section, &self.id);
        }
        self.reuse = section.section("reuse").map(Reuse::read).unwrap_or_default();
        self.limits = section.section("limits").map(Limits::read).unwrap_or_default();
        self.mesh = section.section("mesh").map(|mesh| CallPolicy::read(mesh, self.durable)).unwrap_or_default();
        self.versions = version::read(&section, files);
        self.deadline_ms = section.get("deadline_ms").and_then(|entry| entry.number(&DEADLINE_MS));
        self.optional = section.flag("optional", false);
        self.check_weft(&section);
        self.check_versions(&section);
        section.finish_with(|key| super::limits::KEYS.contains(&key).then(|| format!("`{key}` stands in `limits`")));
        source
    }

    /// What only a component of Weft has.
    fn read_grants_and_work(&mut self, section: &Section<'_>) {
        self.grants = Grants::read_weft(section);
        self.durable = section.flag("durable", false);
        let schedules = section.get("schedules").and_then(|entry| entry.items()).unwrap_or_default();
        self.schedules = schedules.into_iter().filter_map(Schedule::read).collect();
        let subscriptions = section.get("subscriptions").and_then(|entry| entry.items()).unwrap_or_default();
        self.subscriptions = subscriptions.into_iter().filter_map(Subscription::read).collect();
        let projections = section.get("projections").and_then(|entry| entry.items()).unwrap_or_default();
        self.projections = projections.into_iter().filter_map(Projection::read).collect();
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
        let is_run = self.durable || !self.subscriptions.is_empty() || !self.projections.is_empty();
        if self.optional && is_run {
            section.report_with_help(
                section.line,
                "what is durable, subscribes or projects is not optional: only a caller can do without a function",
                "remove `optional`",
            );
        }
        if self.durable && self.reuse.is_reused() {
            section.report_with_help(
                section.line,
                "a durable component is not reused: each saga has an instance with a clock and random source of its own",
                "remove `reuse`",
            );
        }
    }

    fn check_versions(&self, section: &Section<'_>) {
        let Some(version) = self.versions.first() else { return };
        if self.durable {
            section.report_with_help(
                version.line,
                "the sagas of a durable component end on the code that they began with",
                "remove it: a deployment of the manifest begins new sagas on the new code",
            );
        }
        if !self.dependencies.is_empty() {
            section.report_with_help(
                version.line,
                "a version runs as its file is, without the component's dependencies",
                "compose them into both files, or remove it",
            );
        }
    }
}

/// Spin's key that would change what the component can do, and that Weft does not have.
fn refuse_ai_models(section: &Section<'_>) {
    if let Some(entry) = section.get("ai_models").filter(|entry| !entry.is_empty()) {
        entry.report_with_help("is not supported: Weft has no AI models", "remove it");
    }
}
