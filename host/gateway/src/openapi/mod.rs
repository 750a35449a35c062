//! The OpenAPI 3.1 document of an application, made of its routes, of what the manifest tells of them, and of what the
//! gateway itself does to every request. What many operations share is in [`shared`], one operation in [`operation`], the
//! endpoints of push in [`push`], the page that shows the document in [`page`].

mod operation;
mod page;
mod push;
mod shared;
mod validation;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value, json};
use weft_core::manifest::{Component, Diagnostic, Manifest, Method, Page, Route, Segment, StaticResponse};

use crate::route::of_push;
use operation::Described;
pub(crate) use validation::{BodyFault, RequestSchema};

/// Methods that a route for all methods is told under.
const OF_ANY: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// The document of a manifest's routes. Without `[application.tool.weft.gateway.openapi]` it tells what the routes say.
#[must_use]
pub fn document(manifest: &Manifest) -> Value {
    let openapi = manifest.gateway.openapi.as_ref();
    let mut paths = Paths::default();
    let told = manifest.routes.iter().filter(|route| is_told(manifest, route));
    let operations: Vec<(&Route, &'static str)> = told.flat_map(|route| methods(manifest, route)).collect();
    let mut tags = BTreeSet::new();
    for (route, method) in &operations {
        let (path, parameters) = paths.template(route);
        let tag = tag(manifest, route);
        tags.insert(tag.clone());
        let component = written(manifest, route);
        let alone = operations.iter().filter(|(other, _)| written(manifest, other) == component).count() == 1;
        let described = Described {
            manifest,
            route,
            method,
            id: id(component, method, alone, &path),
            tag,
            parameters,
            told: openapi.and_then(|openapi| openapi.operation(manifest, route)),
            push: None,
        };
        paths.add(path, method, described.object());
    }
    for (endpoint, route) in of_push(&manifest.gateway) {
        tags.insert(push::TAG.to_owned());
        let (path, parameters) = paths.template(&route);
        let (method, id) =
            (if route.method == Method::Get { "get" } else { "post" }, push::told(endpoint).id.to_owned());
        let (route, tag, told, push) = (&route, push::TAG.to_owned(), None, Some(endpoint));
        paths.add(path, method, Described { manifest, route, method, id, tag, parameters, told, push }.object());
    }
    let application = &manifest.application;
    let mut info = json!({
        "title": &*application.name,
        "version": if application.version.is_empty() { "0" } else { &*application.version },
    });
    if let (false, Some(info)) = (application.description.is_empty(), info.as_object_mut()) {
        info.insert("description".to_owned(), json!(&*application.description));
    }
    json!({
        "openapi": "3.1.0",
        "info": info,
        "tags": tags.iter().map(|tag| json!({ "name": tag })).collect::<Vec<_>>(),
        "paths": paths.written,
        "components": shared::components(manifest),
    })
}

/// Schemas that are none, or whose references lead nowhere.
#[must_use]
pub fn problems(manifest: &Manifest) -> Vec<Diagnostic> {
    let Some(openapi) = &manifest.gateway.openapi else { return Vec::new() };
    let line = |name: &str| {
        let names = |operation: &&weft_core::manifest::Operation| {
            let asked = [&operation.query, &operation.headers, &operation.request].into_iter().flatten();
            asked.chain(operation.responses.values().flatten()).any(|own| &*own.value == name)
        };
        openapi.operations.iter().find(names).map_or(openapi.line, |operation| operation.line)
    };
    let mut problems = Vec::new();
    for name in openapi.schemas.keys() {
        if let Err(error) = validation::compiled(openapi, name) {
            problems.push(manifest.problem(line(name), format!("the schema {name:?} {error}")));
        }
    }
    for operation in &openapi.operations {
        for name in operation.query.iter().chain(&operation.headers) {
            let schema = openapi.schemas.get(&name.value);
            if schema.and_then(|schema| schema.get("properties")).and_then(Value::as_object).is_none() {
                let message =
                    format!("the schema {:?} has no `properties`, which parameters are made of", &*name.value);
                problems.push(manifest.problem(name.line, message));
            }
        }
    }
    problems
}

/// What the request's body has to be on a route, where the manifest wants that it is looked at. Schemas that are none were
/// refused before, by [`problems`].
pub(crate) fn request_schema(manifest: &Manifest, route: &Route) -> Option<Arc<RequestSchema>> {
    let openapi = manifest.gateway.openapi.as_ref()?;
    let operation = openapi.operation(manifest, route).filter(|operation| operation.validate)?;
    let name = operation.request.as_ref()?;
    match RequestSchema::new(openapi, &name.value, operation.optional_request) {
        Ok(schema) => Some(Arc::new(schema)),
        Err(error) => {
            tracing::error!(schema = &*name.value, error, "a schema cannot be used");
            None
        }
    }
}

/// What the gateway serves of it, as routes whose answer is always the same.
pub(crate) fn pages(manifest: &Manifest) -> Vec<Route> {
    let Some(openapi) = &manifest.gateway.openapi else { return Vec::new() };
    let path = openapi.path.below(&manifest.base).to_string();
    let filled = |(page, route): (Page, Route)| {
        let answer = match page {
            Page::Document => fixed("application/json", &[], document(manifest).to_string()),
            Page::Docs => {
                let docs = route.pattern.to_string();
                fixed("text/html; charset=utf-8", &page::HEADERS, page::html(&manifest.application.name, &docs, &path))
            }
            Page::Script => fixed("text/javascript; charset=utf-8", &[], page::SCRIPT.to_owned()),
            Page::Style => fixed("text/css; charset=utf-8", &[], page::STYLE.to_owned()),
        };
        Route { static_response: Some(Arc::new(answer)), ..route }
    };
    openapi.pages(manifest).into_iter().map(filled).collect()
}

/// May be kept by browsers, which have to ask whether it is still so.
fn fixed(content_type: &str, headers: &[(&str, &str)], body: String) -> StaticResponse {
    let own = [("content-type", content_type), ("cache-control", "no-cache")];
    let headers = own.iter().chain(headers).map(|(name, value)| (Arc::from(*name), Arc::from(*value)));
    StaticResponse { status: 200, headers: headers.collect(), body: body.into() }
}

/// Whether it is the one of its method and path that the document has, which knows hosts as a property of an operation alone: the
/// route for all hosts, or else the first.
fn is_told(manifest: &Manifest, route: &Route) -> bool {
    let same = |other: &&Route| other.method == route.method && other.pattern == route.pattern;
    let twins = || manifest.routes.iter().filter(same);
    let of_all = twins().find(|twin| twin.hosts.is_empty());
    of_all.or_else(|| twins().next()).is_none_or(|told| told.hosts == route.hosts)
}

/// Under which methods a route is told.
fn methods<'m>(manifest: &Manifest, route: &'m Route) -> Vec<(&'m Route, &'static str)> {
    let own = |wanted: &str| {
        let on_path = manifest.routes.iter().filter(|other| other.pattern == route.pattern);
        on_path.map(|other| other.method.as_str()).any(|method| method.eq_ignore_ascii_case(wanted))
    };
    match route.method {
        Method::Any => OF_ANY.into_iter().filter(|method| !own(method)).map(|method| (route, method)).collect(),
        Method::Get => vec![(route, "get")],
        Method::Head => vec![(route, "head")],
        Method::Post => vec![(route, "post")],
        Method::Put => vec![(route, "put")],
        Method::Patch => vec![(route, "patch")],
        Method::Delete => vec![(route, "delete")],
        Method::Options => vec![(route, "options")],
    }
}

/// The component that the manifest names, also where it runs with something in front of it.
fn written<'m>(manifest: &'m Manifest, route: &'m Route) -> &'m str {
    let component = manifest.components.get(&route.component);
    component.map_or(&route.component, |component| component.whole())
}

/// The context of the component; without one, the first word of its id.
fn tag(manifest: &Manifest, route: &Route) -> String {
    let component = manifest.components.get(&route.component);
    let context = component.and_then(|component: &Component| component.grants.context.as_ref());
    context.map_or_else(
        || route.component.split('-').next().unwrap_or_default().to_owned(),
        |context| context.value.to_string(),
    )
}

/// The component's id where it serves one operation alone.
fn id(component: &str, method: &str, alone: bool, path: &str) -> String {
    if alone {
        return component.to_owned();
    }
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    [component, method].into_iter().chain(words).collect::<Vec<_>>().join("-")
}

/// The document's paths. Patterns that match the same paths are one, whatever their parameters are called.
#[derive(Default)]
struct Paths {
    /// By the path with all its parameters called alike: the path as it is written, and its parameters.
    known: BTreeMap<String, (String, Vec<Parameter>)>,
    written: Map<String, Value>,
}

/// A parameter of a path.
#[derive(Clone, Debug)]
struct Parameter {
    name: String,
    /// Whether it stands for `...`.
    is_wildcard: bool,
}

impl Paths {
    fn template(&mut self, route: &Route) -> (String, Vec<Parameter>) {
        let (mut same, mut path, mut parameters) = (String::new(), String::new(), Vec::new());
        for segment in route.pattern.segments() {
            match segment {
                Segment::Literal(text) => {
                    same.extend(["/", text]);
                    path.extend(["/", text]);
                }
                Segment::Parameter(name) => {
                    same.push_str("/{}");
                    path.push_str(&format!("/{{{name}}}"));
                    parameters.push(Parameter { name: name.to_string(), is_wildcard: false });
                }
            }
        }
        if route.pattern.is_wildcard() {
            let mut name = "rest".to_owned();
            while parameters.iter().any(|parameter| parameter.name == name) {
                name.push('_');
            }
            same.push_str("/{...}");
            path.push_str(&format!("/{{{name}}}"));
            parameters.push(Parameter { name, is_wildcard: true });
        }
        if path.is_empty() {
            path.push('/');
        }
        self.known.entry(same).or_insert((path, parameters)).clone()
    }

    fn add(&mut self, path: String, method: &str, operation: Value) {
        let item = self.written.entry(path).or_insert_with(|| Value::Object(Map::new()));
        if let Some(item) = item.as_object_mut() {
            item.insert(method.to_owned(), operation);
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
