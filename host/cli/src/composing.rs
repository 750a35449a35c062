//! Components that are made of several when the application is loaded: dependencies and middleware, as Spin composes
//! them, and modules that are made components. What fits together is `weft-compose`'s to say.

use std::collections::BTreeMap;
use std::sync::Arc;

use weft_compose::ComposeError;
use weft_core::manifest::{
    Component, Configuration, DependencySource, Diagnostic, Inherits, Manifest, Middleware, SourceFile,
};
use weft_core::version_name;

use crate::sources;

/// The composed bytes by function, a component or a version of one; those that are one file are not in it.
pub type Composed = BTreeMap<Arc<str>, Arc<[u8]>>;

/// Composes what the manifest says is composed.
///
/// # Errors
/// Every file that cannot be read, and every component that does not fit what it is composed with.
pub fn composed(manifest: &Manifest) -> Result<Composed, Vec<Diagnostic>> {
    let mut composed = Composed::new();
    let mut problems = Vec::new();
    for component in manifest.running() {
        let versions = component.versions.iter().map(|version| {
            let file = SourceFile { path: version.source.value.clone(), digest: None };
            (version_name(&component.id, &version.name), file, version.source.line)
        });
        let own = (component.id.clone(), own_file(component), component.source.line);
        for (function, file, line) in std::iter::once(own).chain(versions) {
            match composed_of(manifest, component, &function, &file, line) {
                Ok(Some(bytes)) => drop(composed.insert(function, bytes)),
                Ok(None) => {}
                Err(problem) => problems.push(problem),
            }
        }
    }
    if problems.is_empty() { Ok(composed) } else { Err(problems) }
}

/// The code of `file` with all that its component is composed with: whatever version of it runs, the same stands before it. Nothing
/// where that is nothing, so that the file runs as it lies there. `function` and `line` are for messages.
///
/// # Errors
/// A file that cannot be read, or does not fit what it is composed with.
pub fn composed_of(
    manifest: &Manifest,
    component: &Component,
    function: &str,
    file: &SourceFile,
    line: usize,
) -> Result<Option<Arc<[u8]>>, Diagnostic> {
    let middleware: Vec<&Middleware> = manifest.middleware(component).collect();
    let is_one_file = component.dependencies.is_empty() && middleware.is_empty();
    if is_one_file && !sources::needs_reading(&file.path, file.digest.as_deref()) {
        return Ok(None);
    }
    let name = format!("component {function:?}");
    let code = sources::read(manifest, &name, file, line)?;
    compose(manifest, component, &name, code, &middleware).map(|bytes| Some(bytes.into()))
}

fn compose(
    manifest: &Manifest,
    component: &Component,
    name: &str,
    code: Vec<u8>,
    middleware: &[&Middleware],
) -> Result<Vec<u8>, Diagnostic> {
    let refused = |line: usize| move |error: ComposeError| manifest.problem(line, error.to_string());
    let mut files = Vec::new();
    for dependency in &component.dependencies {
        files.push(part(manifest, &dependency.source, dependency.name.line)?.1);
    }
    let denied: Vec<_> = component.dependencies.iter().map(|one| is_denied(&one.inherits)).collect();
    let is_for: Vec<_> =
        component.dependencies.iter().map(|one| move |import: &str| one.name.matches(import)).collect();
    let each = component.dependencies.iter().zip(&files).zip(is_for.iter().zip(&denied));
    let dependencies: Vec<_> = each
        .map(|((one, bytes), (is_for, is_denied))| weft_compose::Dependency {
            name: one.name.as_str(),
            bytes,
            is_for,
            export: one.export.as_deref(),
            is_denied,
        })
        .collect();
    let bytes = if dependencies.is_empty() {
        code
    } else {
        weft_compose::with_dependencies(name, &code, &dependencies).map_err(refused(component.line))?
    };
    let Some(outermost) = middleware.first() else { return Ok(bytes) };
    let mut layers = Vec::new();
    for layer in middleware {
        let (name, bytes) = part(manifest, &layer.source, layer.line)?;
        layers.push((name, bytes, is_denied(&layer.inherits)));
    }
    let layers: Vec<_> =
        layers.iter().map(|(name, bytes, is_denied)| weft_compose::Middleware { name, bytes, is_denied }).collect();
    weft_compose::with_middleware(name, &bytes, &layers).map_err(refused(outermost.line))
}

/// What a component is made of, and its name in messages.
fn part(manifest: &Manifest, source: &DependencySource, line: usize) -> Result<(String, Vec<u8>), Diagnostic> {
    match source {
        DependencySource::File(file) => {
            let name = file.path.display().to_string();
            let bytes = sources::read(manifest, &name, file, line)?;
            Ok((name, bytes))
        }
        DependencySource::Component(id) => match manifest.components.get(&id.value) {
            Some(target) => Ok((id.value.to_string(), of_component(manifest, target)?)),
            None => Err(manifest.problem(id.line, format!("there is no component {:?}", &*id.value))),
        },
    }
}

fn of_component(manifest: &Manifest, component: &Component) -> Result<Vec<u8>, Diagnostic> {
    let name = format!("component {:?}", &*component.id);
    sources::read(manifest, &name, &own_file(component), component.source.line)
}

fn own_file(component: &Component) -> SourceFile {
    SourceFile { path: component.source.value.clone(), digest: component.digest.clone() }
}

/// Which of its imports something that inherits so much is denied.
fn is_denied(inherits: &Inherits) -> impl Fn(&str) -> bool {
    move |import: &str| configuration_behind(import).is_some_and(|key| !inherits.has(key))
}

/// The key of the manifest that decides what an interface of the host gives.
fn configuration_behind(import: &str) -> Option<Configuration> {
    let path = import.split('@').next().unwrap_or_default();
    let (package, interface) = path.split_once('/').unwrap_or((path, ""));
    Some(match (package, interface) {
        ("spin:key-value" | "wasi:keyvalue", _) | ("fermyon:spin", "key-value") => Configuration::KeyValueStores,
        ("spin:sqlite", _) | ("fermyon:spin", "sqlite") => Configuration::SqliteDatabases,
        ("spin:variables" | "wasi:config", _) | ("fermyon:spin", "variables" | "config") => Configuration::Variables,
        ("wasi:cli", "environment") => Configuration::Environment,
        ("wasi:filesystem", "preopens") => Configuration::Files,
        ("spin:llm", _) | ("fermyon:spin", "llm") => Configuration::AiModels,
        ("wasi:http", "outgoing-handler" | "client")
        | ("wasi:sockets" | "spin:redis" | "spin:postgres" | "spin:mysql" | "spin:mqtt", _)
        | ("fermyon:spin", "http" | "redis" | "postgres" | "mysql" | "mqtt") => Configuration::AllowedOutboundHosts,
        _ => return None,
    })
}
