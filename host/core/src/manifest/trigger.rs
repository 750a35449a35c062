//! Spin's triggers: `[[trigger.http]]`, and the refusal of all others. What serves a path in the end belongs to
//! [`super::route`].

use std::sync::Arc;

use super::dependency::{self, Inherits};
use super::diagnostic::Located;
use super::pattern::RoutePattern;
use super::section::{Entry, Section};

/// One `[[trigger.http]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpTrigger {
    /// Its id, if it has one.
    pub id: Option<Arc<str>>,
    /// The component behind the path.
    pub component: Located<Arc<str>>,
    /// The path below the application's base; `None` for a private one, which no request from outside reaches.
    pub pattern: Option<RoutePattern>,
    /// Components in front of it, the outermost first.
    pub middleware: Vec<Middleware>,
    /// The line of the table.
    pub line: usize,
}

/// A component in front of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Middleware {
    /// Its id.
    pub component: Located<Arc<str>>,
    /// What it may use of what the component behind it may.
    pub inherits: Inherits,
}

/// The HTTP triggers of `[trigger]`, in the order of the file.
pub(super) fn read(section: Section<'_>) -> Vec<HttpTrigger> {
    let mut triggers = Vec::new();
    for (kind, entry) in section.entries() {
        if &*kind.value == "http" {
            let entries = entry.items().unwrap_or_default();
            triggers.extend(entries.into_iter().filter_map(Entry::section).filter_map(http));
        } else {
            entry.report_with_help(
                "is a trigger that Weft does not serve",
                "use [[trigger.http]]; for messages, subscriptions in [component.<id>.tool.weft]",
            );
        }
    }
    triggers
}

fn http(section: Section<'_>) -> Option<HttpTrigger> {
    let id = section.string("id").map(|id| id.value);
    let pattern = route(&section);
    let component = component(&section);
    let middleware = middleware(&section);
    for (key, message) in
        [("static_response", "is not supported yet"), ("components", "is reserved by Spin for future use")]
    {
        if let Some(entry) = section.get(key) {
            entry.report(message);
        }
    }
    executor(&section);
    let line = section.line;
    section.finish();
    // Its absence is reported; the path stays known, so that the routes table is not blamed for it.
    let component = component.unwrap_or_else(|| Located::new("".into(), line));
    Some(HttpTrigger { id, component, pattern: pattern?, middleware, line })
}

/// The route; the inner `None` for a private one.
fn route(section: &Section<'_>) -> Option<Option<RoutePattern>> {
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
        return private.then_some(None);
    }
    let text = entry.string()?;
    match text.parse() {
        Ok(pattern) => Some(Some(pattern)),
        Err(error) => {
            section.report(text.line, format!("{:?} is not a route: {error}", &*text.value));
            None
        }
    }
}

fn component(section: &Section<'_>) -> Option<Located<Arc<str>>> {
    let Some(entry) = section.get("component") else {
        if section.get("static_response").is_none() {
            section.report_with_help(section.line, "the trigger has no component", "add component = \"<id>\"");
        }
        return None;
    };
    if entry.is_table() {
        entry.report_with_help(
            "must be the id of a component: components within a trigger are not supported yet",
            "move it to [component.<id>] and write component = \"<id>\"",
        );
        return None;
    }
    entry.string()
}

fn middleware(section: &Section<'_>) -> Vec<Middleware> {
    let Some(table) = section.section("dependencies") else { return Vec::new() };
    let entries = table.get("middleware").and_then(|entry| entry.items()).unwrap_or_default();
    let component = |entry: Entry<'_>| {
        let table = entry.section()?;
        let component = table.required_string("component");
        let inherits = dependency::inherits(&table, false);
        table.finish();
        Some(Middleware { component: component?, inherits })
    };
    let middleware = entries.into_iter().filter_map(component).collect();
    table.finish();
    middleware
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
