//! What is told of the application's routes in OpenAPI: where the document and its page are, and what stands in it that
//! the routes do not say. Making the document and serving it belong to the gateway; reading schemas to [`super::json`].

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::json::{self, Schemas};
use crate::manifest::Manifest;
use crate::manifest::diagnostic::Located;
use crate::manifest::limits::DEADLINE_MS;
use crate::manifest::names;
use crate::manifest::pattern::RoutePattern;
use crate::manifest::problems::Problems;
use crate::manifest::route::{Access, Callers, Method, Route};
use crate::manifest::section::{Entry, Section};
use crate::manifest::source::Files;

/// The folder that is taken if it is there and none is named.
const DEFAULT_FOLDER: &str = "wit/http";
/// Longest summary and description, in bytes.
const MAX_TEXT_BYTES: usize = 4 * 1024;

/// `[application.tool.weft.gateway.openapi]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenApi {
    /// Where the document is served, below the application's base; `/openapi.json` by default.
    pub path: RoutePattern,
    /// Where the page is served that shows it, if one is.
    pub docs: Option<RoutePattern>,
    /// Whether everyone may read the document; otherwise it takes a token. The page itself tells nothing and is public.
    pub public: bool,
    /// The schemas that operations name and those that these refer to, by name; a `$ref` in them leads to
    /// `#/components/schemas/<name>`.
    pub schemas: BTreeMap<Arc<str>, serde_json::Value>,
    /// What is told of routes.
    pub operations: Vec<Operation>,
    /// The line of the table.
    pub line: usize,
}

/// What is told of one route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The route's method.
    pub method: Method,
    /// The route's path, without the base.
    pub pattern: RoutePattern,
    /// One line.
    pub summary: Arc<str>,
    /// For people; may be empty.
    pub description: Arc<str>,
    /// The schema of the query: an object whose properties are its parameters.
    pub query: Option<Located<Arc<str>>>,
    /// The schema of headers that matter: an object whose properties are their names.
    pub headers: Option<Located<Arc<str>>>,
    /// The schema of the request's body.
    pub request: Option<Located<Arc<str>>>,
    /// Whether a request may come without that body.
    pub optional_request: bool,
    /// Whether the gateway holds bodies against that schema: what the operation says, else `validate` of the whole table.
    pub validate: bool,
    /// The schemas of answers by status; `None` for an answer without a body.
    pub responses: BTreeMap<u16, Option<Located<Arc<str>>>>,
    /// The names of problems that the function answers with, by status.
    pub problems: BTreeMap<u16, Vec<Arc<str>>>,
    /// The line of its key.
    pub line: usize,
}

/// What the gateway itself serves of all this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// The document.
    Document,
    /// The page that shows it.
    Docs,
    /// That page's program.
    Script,
    /// That page's looks.
    Style,
}

impl Page {
    /// What stands in the place of a component's id; no component is called so.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Document => "#openapi",
            Self::Docs => "#docs",
            Self::Script => "#docs-script",
            Self::Style => "#docs-style",
        }
    }
}

impl OpenApi {
    pub(super) fn read(section: Section<'_>, files: &Files) -> Self {
        let (document, docs) = (path(&section, "path"), path(&section, "docs"));
        let folder = match section.string("schemas") {
            Some(written) => files.inside(&written, &section).filter(|folder| {
                if !folder.is_dir() {
                    section.report(written.line, format!("`schemas`: there is no folder {}", folder.display()));
                }
                folder.is_dir()
            }),
            None => Some(files.root().join(DEFAULT_FOLDER)).filter(|folder| folder.is_dir()),
        };
        let validate = section.flag("validate", false);
        let operations = section.section("operations").map(|table| operations(&table, validate)).unwrap_or_default();
        let schemas = schemas(&section, folder, &operations);
        let public = section.flag("public", false);
        let line = section.line;
        section.finish();
        let default = || RoutePattern::literal("openapi.json");
        Self { path: document.unwrap_or_else(default), docs, public, schemas, operations, line }
    }

    /// What is told of a route of [`Manifest::routes`].
    #[must_use]
    pub fn operation(&self, manifest: &Manifest, route: &Route) -> Option<&Operation> {
        let is_its = |operation: &&Operation| {
            operation.method == route.method && operation.pattern.below(&manifest.base) == route.pattern
        };
        self.operations.iter().find(is_its)
    }

    /// The routes of the gateway's own pages, which no component serves.
    #[must_use]
    pub fn pages(&self, manifest: &Manifest) -> Vec<(Page, Route)> {
        let protected = Access::Authenticated(Callers::default());
        let mut pages = vec![(Page::Document, self.path.clone(), if self.public { Access::Public } else { protected })];
        if let Some(docs) = &self.docs {
            pages.push((Page::Docs, docs.clone(), Access::Public));
            for (page, name) in [(Page::Script, "docs.js"), (Page::Style, "docs.css")] {
                pages.push((page, RoutePattern::literal(name).below(docs), Access::Public));
            }
        }
        let route = |(page, pattern, access): (Page, RoutePattern, Access)| {
            let limits = manifest.gateway.rate_limits.limits.iter().filter(|limit| limit.covers(page.id()));
            let route = Route {
                written: pattern.to_string().into(),
                access,
                deadline_ms: *DEADLINE_MS.end(),
                limits: limits.map(|limit| limit.name.clone()).collect(),
                is_tiered: true,
                line: self.line,
                ..Route::new(Method::Get, pattern.below(&manifest.base), page.id().into())
            };
            (page, route)
        };
        pages.into_iter().map(route).collect()
    }

    /// Reports what does not fit the routes and the triggers.
    pub(in crate::manifest) fn check(&self, manifest: &Manifest, routes: &[Route], problems: &Problems) {
        for (page, own) in self.pages(manifest) {
            if let Some(other) = routes.iter().find(|route| route.pattern.same_paths(&own.pattern)) {
                let message =
                    format!("{} is where {} is to be, and has a route on line {}", own.pattern, page.id(), other.line);
                problems.report_with_help(self.line, message, "give `path` or `docs` another path");
            }
        }
        if !self.public && manifest.auth.is_none() {
            problems.report_with_help(
                self.line,
                "the document asks for a token, and there is no [application.tool.weft.auth] to check it by",
                "add that table, or public = true",
            );
        }
        for operation in &self.operations {
            let pattern = operation.pattern.below(&manifest.base);
            if routes.iter().any(|route| route.method == operation.method && route.pattern == pattern) {
                continue;
            }
            let written: Vec<String> =
                routes.iter().map(|route| format!("{} {}", route.method, route.pattern)).collect();
            let wanted = format!("{} {pattern}", operation.method);
            let help = names::nearest(&wanted, written.iter().map(String::as_str)).map_or_else(
                || "add it to [application.tool.weft.routes]".to_owned(),
                |near| format!("did you mean {near:?}?"),
            );
            problems.report_with_help(operation.line, format!("an operation: there is no route {wanted:?}"), help);
        }
    }
}

fn path(section: &Section<'_>, key: &'static str) -> Option<RoutePattern> {
    let written = section.string(key)?;
    match written.parse::<RoutePattern>() {
        Ok(path) if path.is_literal() => Some(path),
        Ok(_) => {
            section.report(written.line, format!("`{}` is one path, without parameters", section.name(key)));
            None
        }
        Err(error) => {
            section.report(written.line, format!("`{}`: {:?} is no path: {error}", section.name(key), &*written.value));
            None
        }
    }
}

fn operations(table: &Section<'_>, validate: bool) -> Vec<Operation> {
    let mut operations: Vec<Operation> = Vec::new();
    for (key, entry) in table.entries() {
        let Some((method, path)) = key.split_once(' ') else {
            entry.report_with_help("is not a method and a path", "write it as \"GET /api/courses\"");
            continue;
        };
        match (method.parse(), path.parse()) {
            (Ok(method), Ok(pattern)) => {
                if let Some(section) = entry.section() {
                    operations.push(operation(section, (method, pattern), validate, key.line));
                }
            }
            (Err(error), _) => entry.report(format!("names no method: {error}")),
            (_, Err(error)) => entry.report(format!("names no path: {error}")),
        }
    }
    operations
}

fn operation(
    section: Section<'_>,
    (method, pattern): (Method, RoutePattern),
    validate: bool,
    line: usize,
) -> Operation {
    let text = |key| {
        let text = section.string(key);
        if let Some(long) = text.as_ref().filter(|text| text.len() > MAX_TEXT_BYTES) {
            section.report(long.line, format!("`{key}` has at most {MAX_TEXT_BYTES} bytes"));
        }
        text.map(|text| text.value).unwrap_or_default()
    };
    let schema = |key| section.string(key).filter(|name| is_schema(name, &section));
    let operation = Operation {
        method,
        pattern,
        summary: text("summary"),
        description: text("description"),
        query: schema("query"),
        headers: schema("headers"),
        request: schema("request"),
        optional_request: section.flag("optional_request", false),
        validate: section.flag("validate", validate),
        responses: by_status(&section, "responses", 200..=399, |entry| {
            let name = entry.string()?;
            Some(if name.is_empty() { None } else { Some(name).filter(|name| is_schema(name, &section)) })
        }),
        problems: by_status(&section, "problems", 400..=599, |entry| {
            let names = entry.one_or_many();
            for name in names.iter().filter(|name| !names::is_kebab(name)) {
                section.report(name.line, format!("{:?} is no name for a problem (kebab-case)", &*name.value));
            }
            Some(names.into_iter().map(|name| name.value).collect())
        }),
        line,
    };
    section.finish();
    operation
}

fn is_schema(name: &Located<Arc<str>>, section: &Section<'_>) -> bool {
    let is_name = json::is_name(name);
    if !is_name {
        let message =
            format!("{:?} is no name of a schema: a file of the folder `schemas`, without `.json`", &*name.value);
        section.report(name.line, message);
    }
    is_name
}

fn by_status<T>(
    section: &Section<'_>,
    key: &'static str,
    bounds: std::ops::RangeInclusive<u16>,
    read: impl Fn(Entry<'_>) -> Option<T>,
) -> BTreeMap<u16, T> {
    let entries = section.section(key).map(|table| table.entries()).unwrap_or_default();
    let mut found = BTreeMap::new();
    for (status, entry) in entries {
        let Some(number) = status.parse().ok().filter(|number| bounds.contains(number)) else {
            entry.report(format!("is no status from {} to {}", bounds.start(), bounds.end()));
            continue;
        };
        if let Some(value) = read(entry) {
            found.insert(number, value);
        }
    }
    found
}

/// All schemas that operations lead to.
fn schemas(
    section: &Section<'_>,
    folder: Option<PathBuf>,
    operations: &[Operation],
) -> BTreeMap<Arc<str>, serde_json::Value> {
    let named = |operation: &Operation| {
        let bodies = operation.responses.values().flatten().cloned();
        let asked = operation.query.iter().chain(&operation.headers).chain(&operation.request).cloned();
        asked.chain(bodies).collect::<Vec<_>>()
    };
    let named: Vec<Located<Arc<str>>> = operations.iter().flat_map(named).collect();
    let Some(folder) = folder else {
        if let Some(name) = named.first() {
            let message = format!("the schema {:?} is named, and there is no folder {DEFAULT_FOLDER}", &*name.value);
            section.report_with_help(name.line, message, "add schemas = \"<folder>\" to the table `openapi`");
        }
        return BTreeMap::new();
    };
    let mut schemas = Schemas::of(folder);
    for name in &named {
        if let Err(error) = schemas.load(&name.value) {
            section.report(name.line, error);
        }
    }
    schemas.into_loaded()
}
