//! Reads a whole file: the top level, `[application]` and `[application.tool.weft]`, and hands each table to the file
//! that knows it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use toml_edit::Document;

use crate::id;

use super::auth::Auth;
use super::behind;
use super::build::Build;
use super::check;
use super::component::Component;
use super::context::Context;
use super::deadlines::Deadlines;
use super::diagnostic::{Diagnostic, Located};
use super::engine::EngineSettings;
use super::gateway::{self, Gateway};
use super::mesh::Mesh;
use super::names;
use super::pattern::RoutePattern;
use super::problems::Problems;
use super::rate_limit;
use super::route::{self, Rule};
use super::sagas::{Choreography, SagaSettings, StepLimit};
use super::schemas::Schemas;
use super::section::{Entry, Section};
use super::source::Files;
use super::spin::ClosedForms;
use super::split;
use super::subscription::MessagingSettings;
use super::target;
use super::trigger::{self, Middleware, Reading};
use super::variable::Variable;
use super::{Dialect, MAX_MANIFEST_BYTES, Manifest, Mode};

/// `[application]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Application {
    /// Its name; events carry it as their source.
    pub name: Arc<str>,
    /// Its version; may be empty.
    pub version: Arc<str>,
    /// For people; may be empty.
    pub description: Arc<str>,
    /// Who made it.
    pub authors: Vec<Arc<str>>,
}

/// Everything in `text`, or every problem of it.
pub(super) fn read(path: &Path, text: &str, mode: Mode<'_>) -> Result<Manifest, Vec<Diagnostic>> {
    let problems = Problems::new(path, text);
    if text.len() as u64 > MAX_MANIFEST_BYTES {
        return Err(vec![Diagnostic::new(path, 0, format!("a manifest has at most {MAX_MANIFEST_BYTES} bytes"))]);
    }
    let document = match Document::parse(text) {
        Ok(document) => document,
        Err(error) => {
            let line = error.span().map_or(0, |span| problems.line(&span));
            return Err(vec![Diagnostic::new(path, line, format!("not TOML: {}", error.message().trim()))]);
        }
    };
    let root = Section::root(&problems, document.as_table());
    let (mut manifest, rules) = top_level(root, path, mode);
    if let Some(profile) = mode.profile {
        ensure_profile(&manifest, profile, &problems);
    }
    check::references(&manifest, &rules, &problems);
    let replaced = std::mem::take(&mut manifest.replaced_by_host);
    let is_there = |layer: &Middleware| !replaced.iter().any(|one| layer.is(&one.value));
    split::split(&mut manifest.triggers, &mut manifest.components, is_there);
    manifest.replaced_by_host = replaced;
    let layers = behind::of_rules(&rules, &manifest.base);
    let mut routes = route::assemble(&manifest, rules, &problems);
    behind::place(&mut routes, &layers, &manifest.gateway.middleware, &manifest.triggers, &mut manifest.components);
    rate_limit::check_number(&routes, &problems);
    if let Some(openapi) = &manifest.gateway.openapi {
        openapi.check(&manifest, &routes, &problems);
    }
    if let Some(push) = &manifest.gateway.push {
        gateway::check_push(push, manifest.auth.is_some(), &routes, &problems);
    }
    if problems.is_empty() {
        Ok(Manifest { routes, digest: id::digest(text.as_bytes()).into(), ..manifest })
    } else {
        Err(problems.into_sorted())
    }
}

/// As in Spin, a profile is one that some component has.
fn ensure_profile(manifest: &Manifest, profile: &str, problems: &Problems) {
    let known: BTreeSet<&str> =
        manifest.components.values().flat_map(|one| &one.profiles).map(|name| &**name).collect();
    if known.contains(profile) {
        return;
    }
    let known: Vec<&str> = known.into_iter().collect();
    let help = match known.as_slice() {
        [] => format!("add [component.<id>.profile.{profile}], or ask for none"),
        known => format!("the profiles are {}", known.join(", ")),
    };
    problems.report_with_help(0, format!("no component has a profile {profile:?}"), help);
}

/// The manifest but for its routes, and the rules that they are made of.
fn top_level(root: Section<'_>, path: &Path, mode: Mode<'_>) -> (Manifest, Vec<Rule>) {
    let files = Files::beside(path);
    version(&root);
    let mut manifest = Manifest {
        path: path.to_owned(),
        digest: Arc::default(),
        root: files.root().to_owned(),
        application: Application::default(),
        base: RoutePattern::default(),
        variables: BTreeMap::new(),
        startup: Vec::new(),
        replaced_by_host: Vec::new(),
        build: None,
        closed_forms: None,
        contexts: BTreeMap::new(),
        auth: None,
        gateway: Gateway::default(),
        engine: EngineSettings::default(),
        deadlines: Deadlines::default(),
        mesh: Mesh::default(),
        schemas: Schemas::default(),
        sagas: SagaSettings::default(),
        messaging: MessagingSettings::default(),
        step_limits: BTreeMap::new(),
        choreographies: BTreeMap::new(),
        triggers: Vec::new(),
        routes: Vec::new(),
        components: BTreeMap::new(),
    };
    let rules = match root.section("application") {
        Some(section) => application(section, &mut manifest, &files, mode.dialect),
        None => {
            if root.get("application").is_none() {
                root.report_with_help(1, "there is no [application]", "add [application] with name = \"...\"");
            }
            Vec::new()
        }
    };
    manifest.variables = named(root.section("variables"), |name, entry| {
        Variable::read(name, entry).map(|variable| (variable.name.clone(), variable))
    });
    manifest.components = named(root.section("component"), |id, entry| {
        Component::read(&id, entry, &files, mode).map(|component| (id.value, component))
    });
    if let Some(section) = root.section("trigger") {
        let mut reading = Reading { files: &files, mode, components: &mut manifest.components };
        manifest.triggers = trigger::read(section, &mut reading);
    }
    root.finish_with(|key| {
        (key == "spin_version").then(|| "this is a manifest of version 1; bring it to version 2 first".to_owned())
    });
    (manifest, rules)
}

fn named<'a, T>(
    section: Option<Section<'a>>,
    read: impl Fn(Located<Arc<str>>, Entry<'a>) -> Option<(Arc<str>, T)>,
) -> BTreeMap<Arc<str>, T> {
    let entries = section.map(|section| section.entries()).unwrap_or_default();
    entries.into_iter().filter_map(|(name, entry)| read(name, entry)).collect()
}

fn version(root: &Section<'_>) {
    match root.get("spin_manifest_version") {
        Some(entry) if entry.is_integer(2) => {}
        Some(entry) => entry.report("must be 2: Weft reads manifests of that version alone"),
        None => root.report_with_help(1, "`spin_manifest_version` is missing", "add spin_manifest_version = 2 on top"),
    }
}

fn application(section: Section<'_>, manifest: &mut Manifest, files: &Files, dialect: Dialect) -> Vec<Rule> {
    let text = |key| section.string(key).map(|text| text.value).unwrap_or_default();
    manifest.application = Application {
        name: section.required_string("name").map(|name| name.value).unwrap_or_default(),
        version: text("version"),
        description: text("description"),
        authors: section.strings("authors").into_iter().map(|author| author.value).collect(),
    };
    target::check(&section);
    if let Some(trigger) = section.section("trigger") {
        manifest.base = base(trigger).unwrap_or_default();
    }
    // Tables of other tools are theirs.
    let weft = section.section("tool").filter(|_| dialect == Dialect::Weft).and_then(|tool| tool.section("weft"));
    section.finish_with(|key| {
        (key == "triggers").then(|| "did you mean `trigger`, as in [application.trigger.http]?".to_owned())
    });
    weft.map(|weft| tool(weft, manifest, files)).unwrap_or_default()
}

/// `[application.trigger.http] base`.
fn base(section: Section<'_>) -> Option<RoutePattern> {
    let http = section.section("http");
    section.finish();
    let http = http?;
    let base = http.string("base").and_then(|written| match written.parse::<RoutePattern>() {
        Ok(base) if !base.is_wildcard() => Some(base),
        Ok(_) => {
            http.report(written.line, "the base of all routes has no wildcard");
            None
        }
        Err(error) => {
            http.report(written.line, format!("the base {:?} is not a path: {error}", &*written.value));
            None
        }
    });
    http.finish();
    base
}

/// `[application.tool.weft]`.
fn tool(section: Section<'_>, manifest: &mut Manifest, files: &Files) -> Vec<Rule> {
    let ids = |key| section.names(key, names::is_kebab, "a component's id");
    manifest.startup = ids("startup");
    manifest.replaced_by_host = ids("replaced_by_host");
    manifest.build = section.section("build").map(|table| Build::read(table, files));
    manifest.closed_forms = section.section("spin").and_then(|table| ClosedForms::read(table, files));
    manifest.contexts = named(section.section("contexts"), |name, entry| {
        Context::read(name, entry, files).map(|context| (context.name.clone(), context))
    });
    manifest.auth = section.section("auth").map(|table| Auth::read(table, files));
    manifest.gateway = section.section("gateway").map(|table| Gateway::read(table, files)).unwrap_or_default();
    manifest.engine = section.section("engine").map(EngineSettings::read).unwrap_or_default();
    manifest.deadlines = section.section("deadlines").map(Deadlines::read).unwrap_or_default();
    manifest.mesh = section.section("mesh").map(Mesh::read).unwrap_or_default();
    manifest.schemas = Schemas::read(&section, files);
    manifest.sagas = section.section("sagas").map(SagaSettings::read).unwrap_or_default();
    manifest.messaging = section.section("messaging").map(MessagingSettings::read).unwrap_or_default();
    manifest.step_limits = named(section.section("limits"), |name, entry| {
        StepLimit::read(name, entry).map(|limit| (limit.name.clone(), limit))
    });
    manifest.choreographies = named(section.section("choreographies"), |name, entry| {
        Choreography::read(name, entry).map(|choreography| (choreography.name.clone(), choreography))
    });
    let rules = section.section("routes").map(|table| route::read(&table, files)).unwrap_or_default();
    section.finish();
    rules
}
