//! Components that are made of several when the application is loaded: dependencies and middleware, as Spin composes
//! them. Reads their files; what fits together is `weft-compose`'s to say.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use weft_compose::ComposeError;
use weft_core::manifest::{
    Component, Configuration, Dependency, DependencySource, Diagnostic, HttpTrigger, Inherits, Manifest, Middleware,
};

/// The composed bytes by component; those that are one file are not in it.
pub type Composed = BTreeMap<Arc<str>, Arc<[u8]>>;

/// Composes what the manifest says is composed.
///
/// # Errors
/// Every file that cannot be read, and every component that does not fit what it is composed with.
pub fn composed(manifest: &Manifest) -> Result<Composed, Vec<Diagnostic>> {
    let mut composed = Composed::new();
    let mut problems = Vec::new();
    for component in manifest.running() {
        let middleware = match middleware(manifest, component) {
            Ok(middleware) => middleware,
            Err(problem) => {
                problems.push(problem);
                continue;
            }
        };
        if component.dependencies.is_empty() && middleware.is_empty() {
            continue;
        }
        match compose(manifest, component, &middleware) {
            Ok(bytes) => drop(composed.insert(component.id.clone(), bytes.into())),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(composed) } else { Err(problems) }
}

type Chain<'m> = Vec<&'m Middleware>;

/// What stands before the component, the outermost first. It is the same on all its routes: a component runs as one.
fn middleware<'m>(manifest: &'m Manifest, component: &Component) -> Result<Chain<'m>, Diagnostic> {
    let own = manifest.triggers.iter().filter(|trigger| trigger.component.value == component.id);
    let chain = |trigger: &'m HttpTrigger| -> Chain<'m> {
        trigger.middleware.iter().filter(|one| !manifest.is_replaced(&one.component.value)).collect()
    };
    let what = |chain: &Chain<'_>| -> Vec<_> {
        chain.iter().map(|one| (one.component.value.clone(), one.inherits.clone())).collect()
    };
    let mut chains = own.map(|trigger| (trigger.line, chain(trigger)));
    let Some((first_line, first)) = chains.next() else { return Ok(Vec::new()) };
    match chains.find(|(_, other)| what(other) != what(&first)) {
        None => Ok(first),
        Some((line, _)) => {
            let message = format!(
                "component {:?} has other middleware on this route than on that of line {first_line}",
                &*component.id
            );
            let help = "give the route a component of its own, with the same source";
            Err(manifest.problem(line, message).with_help(help))
        }
    }
}

fn compose(manifest: &Manifest, component: &Component, middleware: &Chain<'_>) -> Result<Vec<u8>, Diagnostic> {
    let refused = |line: usize| move |error: ComposeError| manifest.problem(line, error.to_string());
    let name = format!("component {:?}", &*component.id);
    let source = read(manifest, &component.source.value, component.source.line)?;
    let mut files = Vec::new();
    for dependency in &component.dependencies {
        files.push(dependency_file(manifest, dependency)?);
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
        source
    } else {
        weft_compose::with_dependencies(&name, &source, &dependencies).map_err(refused(component.line))?
    };
    let Some(outermost) = middleware.first() else { return Ok(bytes) };
    let mut layers = Vec::new();
    for layer in middleware {
        let Some(target) = manifest.components.get(&layer.component.value) else { continue };
        let bytes = read(manifest, &target.source.value, target.source.line)?;
        layers.push((&*layer.component.value, bytes, is_denied(&layer.inherits)));
    }
    let layers: Vec<_> =
        layers.iter().map(|(name, bytes, is_denied)| weft_compose::Middleware { name, bytes, is_denied }).collect();
    weft_compose::with_middleware(&name, &bytes, &layers).map_err(refused(outermost.component.line))
}

fn dependency_file(manifest: &Manifest, dependency: &Dependency) -> Result<Vec<u8>, Diagnostic> {
    match &dependency.source {
        DependencySource::File(path) => read(manifest, path, dependency.name.line),
        DependencySource::Component(id) => match manifest.components.get(&id.value) {
            Some(target) => read(manifest, &target.source.value, target.source.line),
            None => Err(manifest.problem(id.line, format!("there is no component {:?}", &*id.value))),
        },
    }
}

fn read(manifest: &Manifest, path: &Path, line: usize) -> Result<Vec<u8>, Diagnostic> {
    std::fs::read(path).map_err(|error| {
        let problem = manifest.problem(line, format!("{} cannot be read: {error}", path.display()));
        if error.kind() == std::io::ErrorKind::NotFound { problem.with_help("run `weft build`") } else { problem }
    })
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
