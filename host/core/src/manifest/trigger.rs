//! Spin's triggers: `[[trigger.http]]`, and the refusal of all others. Components inside a trigger become components of
//! the application, under ids that are made as Spin makes them. What serves a path in the end belongs to
//! [`super::route`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Mode;
use super::component::Component;
use super::dependency::{self, DependencySource, Inherits};
use super::diagnostic::Located;
use super::names;
use super::pattern::RoutePattern;
use super::section::{Entry, Section};
use super::source::Files;
use super::static_response::StaticResponse;

/// One `[[trigger.http]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpTrigger {
    /// Its id: what it says, else one made of its component's, as in Spin.
    pub id: Arc<str>,
    /// What answers.
    pub target: TriggerTarget,
    /// The route as it is written; empty for a private one.
    pub written: Arc<str>,
    /// The path below the application's base; `None` for a private one, which no request from outside reaches.
    pub pattern: Option<RoutePattern>,
    /// Components in front of it, the outermost first.
    pub middleware: Vec<Middleware>,
    /// The line of the table.
    pub line: usize,
}

/// What answers a trigger's requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TriggerTarget {
    /// A component.
    Component(Located<Arc<str>>),
    /// The host, with the same for all.
    Static(Arc<StaticResponse>),
}

/// A component in front of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Middleware {
    /// Where it is.
    pub source: DependencySource,
    /// What it may use of what the component behind it may.
    pub inherits: Inherits,
    /// The line it stands on.
    pub line: usize,
}

impl HttpTrigger {
    /// The component that answers, if one does.
    #[must_use]
    pub fn component(&self) -> Option<&Located<Arc<str>>> {
        match &self.target {
            TriggerTarget::Component(id) => Some(id),
            TriggerTarget::Static(_) => None,
        }
    }

    /// Whether the component `id` answers.
    #[must_use]
    pub fn is_of(&self, id: &str) -> bool {
        self.component().is_some_and(|own| &*own.value == id)
    }
}

impl Middleware {
    /// Whether it is the component `id` of the manifest.
    #[must_use]
    pub fn is(&self, id: &str) -> bool {
        matches!(&self.source, DependencySource::Component(own) if &*own.value == id)
    }
}

/// What triggers are read with.
pub(super) struct Reading<'r> {
    pub files: &'r Files,
    pub mode: Mode<'r>,
    /// The application's components, to which those inside triggers are added.
    pub components: &'r mut BTreeMap<Arc<str>, Component>,
}

/// The HTTP triggers of `[trigger]`, in the order of the file.
pub(super) fn read(section: Section<'_>, reading: &mut Reading<'_>) -> Vec<HttpTrigger> {
    let mut tables = Vec::new();
    for (kind, entry) in section.entries() {
        if &*kind.value == "http" {
            tables.extend(entry.items().unwrap_or_default().into_iter().filter_map(Entry::section));
        } else {
            entry.report_with_help(
                "is a trigger that Weft does not serve",
                "use [[trigger.http]]; for messages, subscriptions in [component.<id>.tool.weft]",
            );
        }
    }
    let ids = ids(&tables);
    tables.into_iter().zip(ids).filter_map(|(table, id)| http(table, id, reading)).collect()
}

/// The id of each trigger: what it says; else `<component>-http-trigger`, if that is free; else a number.
fn ids(tables: &[Section<'_>]) -> Vec<Arc<str>> {
    let given = |table: &Section<'_>| table.string("id").map(|id| id.value).filter(|id| !id.is_empty());
    let given: Vec<Option<Arc<str>>> = tables.iter().map(given).collect();
    let mut taken: BTreeSet<Arc<str>> = given.iter().flatten().cloned().collect();
    let mut counter = 1_usize;
    let mut ids = Vec::new();
    for (table, given) in tables.iter().zip(given) {
        let natural = table.get("component").filter(Entry::is_string).and_then(|entry| entry.string());
        let natural = natural.map(|component| format!("{component}-http-trigger").into());
        let id = given.or_else(|| natural.filter(|id| !taken.contains(id))).unwrap_or_else(|| {
            loop {
                let id: Arc<str> = format!("http-trigger{counter}").into();
                if !taken.contains(&id) {
                    return id;
                }
                counter += 1;
            }
        });
        taken.insert(id.clone());
        ids.push(id);
    }
    ids
}

fn http(section: Section<'_>, id: Arc<str>, reading: &mut Reading<'_>) -> Option<HttpTrigger> {
    let route = route(&section);
    let inline = Inline::of(&section, &id);
    let component = inline.main(&section, reading);
    inline.others(&section, reading);
    let middleware = middleware(&section, reading.files);
    let fixed = section.section("static_response").map(StaticResponse::read);
    executor(&section);
    let line = section.line;
    match (section.get("component").is_some(), &fixed) {
        (true, Some(_)) => {
            section.report(line, "the trigger has a component and a static response; one of them answers")
        }
        (false, None) => section.report_with_help(
            line,
            "the trigger has no component",
            "add component = \"<id>\", or static_response = { body = \"...\" }",
        ),
        _ => {}
    }
    if let Some(layer) = middleware.first().filter(|_| fixed.is_some()) {
        section.report_with_help(
            layer.line,
            "middleware stands before components, not before a static response",
            "remove it",
        );
    }
    section.finish();
    let (written, pattern) = route?;
    let target = match (component, fixed) {
        (Some(component), _) => TriggerTarget::Component(component),
        (None, Some(fixed)) => TriggerTarget::Static(fixed.into()),
        // Its absence is reported; the path stays known, so that the routes table is not blamed for it.
        (None, None) => TriggerTarget::Component(Located::new("".into(), line)),
    };
    Some(HttpTrigger { id, target, written, pattern, middleware, line })
}

/// The route as it is written, and its pattern; `None` for a private one.
fn route(section: &Section<'_>) -> Option<(Arc<str>, Option<RoutePattern>)> {
    let Some(entry) = section.get("route") else {
        section.report_with_help(section.line, "the trigger has no route", "add route = \"/...\" or another path");
        return None;
    };
    if entry.is_table() {
        let table = entry.section()?;
        let private = table.flag("private", false);
        if !private {
            table.report(table.line, "a route is a path or { private = true }");
        }
        table.finish();
        return private.then(|| ("".into(), None));
    }
    let text = entry.string()?;
    match of_spin(&text).parse() {
        Ok(pattern) => Some((text.value, Some(pattern))),
        Err(error) => {
            section.report(text.line, format!("{:?} is not a route: {error}", &*text.value));
            None
        }
    }
}

/// What Spin takes as well: a route without its first slash, one slash too many at the end, and `*` for `...` there.
fn of_spin(route: &str) -> String {
    let absolute = if route.starts_with('/') { route.to_owned() } else { format!("/{route}") };
    let path = match absolute.strip_suffix('/') {
        Some("") | None => &absolute,
        Some(path) => path,
    };
    path.strip_suffix("/*").map_or_else(|| path.to_owned(), |path| format!("{path}/..."))
}

/// The components inside one trigger.
struct Inline {
    trigger: Arc<str>,
    /// Whether the trigger has several components, which then have numbers for names.
    several: bool,
}

impl Inline {
    fn of(section: &Section<'_>, trigger: &Arc<str>) -> Self {
        let more = section.section("components").map(|table| table.entries()).unwrap_or_default();
        let count = |entry: &Entry<'_>| if entry.is_list() { entry.items().map_or(0, |items| items.len()) } else { 1 };
        let others: usize = more.iter().map(|(_, entry)| count(entry)).sum();
        Self { trigger: trigger.clone(), several: others + usize::from(section.get("component").is_some()) > 1 }
    }

    /// The component behind `component`.
    fn main(&self, section: &Section<'_>, reading: &mut Reading<'_>) -> Option<Located<Arc<str>>> {
        let entry = section.get("component")?;
        if entry.is_table() { self.read(entry, reading) } else { entry.string() }
    }

    /// What stands in `components`, which Spin keeps for other triggers: names mean nothing to this one, and tables are
    /// components of the application.
    fn others(&self, section: &Section<'_>, reading: &mut Reading<'_>) {
        for (_, entry) in section.section("components").map(|table| table.entries()).unwrap_or_default() {
            let entries = if entry.is_list() { entry.items().unwrap_or_default() } else { vec![entry] };
            for entry in entries {
                if entry.is_table() {
                    self.read(entry, reading);
                } else if let Some(id) = entry.string().filter(|id| !names::is_kebab(id)) {
                    entry.report(format!("names no component: {:?} is not in kebab-case", &*id.value));
                }
            }
        }
    }

    fn read(&self, entry: Entry<'_>, reading: &mut Reading<'_>) -> Option<Located<Arc<str>>> {
        let id = Located::new(self.free_id(reading.components), entry.line);
        let component = Component::read(&id, entry, reading.files, reading.mode)?;
        reading.components.insert(id.value.clone(), component);
        Some(id)
    }

    fn free_id(&self, components: &BTreeMap<Arc<str>, Component>) -> Arc<str> {
        let natural = format!("{}-component", self.trigger);
        if !self.several && names::is_kebab(&natural) && !components.contains_key(natural.as_str()) {
            return natural.into();
        }
        let mut counter = 1_usize;
        loop {
            let id = format!("inline-component{counter}");
            if !components.contains_key(id.as_str()) {
                return id.into();
            }
            counter += 1;
        }
    }
}

fn middleware(section: &Section<'_>, files: &Files) -> Vec<Middleware> {
    let Some(table) = section.section("dependencies") else { return Vec::new() };
    let entries = table.get("middleware").and_then(|entry| entry.items()).unwrap_or_default();
    let middleware = entries.into_iter().filter_map(|entry| layer(entry, files)).collect();
    table.finish_with(|_| Some("the one role of a dependency that an HTTP trigger has is `middleware`".to_owned()));
    middleware
}

/// One layer: where it is and what it inherits.
pub(super) fn layer(entry: Entry<'_>, files: &Files) -> Option<Middleware> {
    let table = entry.section()?;
    let source = dependency::source(&table, files);
    let inherits = dependency::inherits(&table);
    let line = table.line;
    table.finish();
    Some(Middleware { source: source?, inherits, line })
}

/// Refuses executors that Weft does not have; both names of the usual one mean `wasi:http`.
fn executor(section: &Section<'_>) {
    let Some(table) = section.section("executor") else { return };
    let Some(kind) = table.required_string("type") else { return };
    match &*kind.value {
        "http" | "spin" => table.finish(),
        "wagi" => table.report_with_help(
            kind.line,
            "the executor wagi is not supported",
            "build the component for wasi:http and remove `executor`",
        ),
        other => table.report(kind.line, format!("there is no executor {other:?}; the known one is \"http\"")),
    }
}
