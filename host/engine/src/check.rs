//! Holds components against what the manifest grants them, before anything runs: every `weft:*` and domain import
//! needs a grant, every call a provider with the same types, every role (durable, subscriber, startup, HTTP) its
//! export. Problems name the line to add. What the manifest says by itself is checked in core.

use std::collections::HashMap;
use std::sync::Arc;

use wasmtime::component::types::{ComponentInstance, ComponentItem};
use wasmtime::component::{Component, types::ComponentFunc};

use weft_capability::wasi_snapshot;

use crate::denied;
use crate::engine::RESUMABLE;
use crate::function::Exports;
use crate::spec::{FunctionSpec, NamedFunction};
use crate::spin_world::{WORLD, World};
use crate::values;

/// A component that does not fit its manifest entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The component's id.
    pub component: String,
    /// What is wrong.
    pub message: String,
    /// What to add or change, as a line of the manifest where it is one.
    pub help: Option<String>,
    /// The line of the manifest, where the problem is with what that says and not with the component.
    pub line: Option<usize>,
}

/// So many functions or interfaces are named in the place of one that is not there.
const MAX_NAMED: usize = 8;
/// What the SDKs of Spin 1 export, and some for other languages than Rust did longer.
const SPIN_1_HANDLER: &str = "fermyon:spin/inbound-http";
/// The one draft of `wasi:config` that Spin has, and this host.
const CONFIG: &str = "wasi:config/store@0.2.0-draft-2024-09-27";

/// Who may be called: by id its exports, or nothing where an optional component is not there.
type Providers<'a> = HashMap<&'a str, Option<Exports>>;

/// A function that is looked at.
pub(crate) type Candidate<'a> = (&'a FunctionSpec, &'a Component);

/// Whether a version of a component fits in the place of the one that the manifest names, among all others.
pub(crate) fn check_version(
    version: Candidate<'_>,
    named: &[Candidate<'_>],
    absent: &[Arc<str>],
    world: World,
) -> Vec<Problem> {
    let others = named.iter().copied().filter(|(spec, _)| spec.id != version.0.id);
    check(&others.chain([version]).collect::<Vec<_>>(), absent, &[], world)
}

/// `absent` are optional components whose files are not there: who calls them is told so at the call. `named` is what policy is about.
pub(crate) fn check(
    functions: &[Candidate<'_>],
    absent: &[Arc<str>],
    named: &[NamedFunction],
    world: World,
) -> Vec<Problem> {
    let present = functions.iter().map(|(spec, component)| (&*spec.id, Some(Exports::of(component))));
    let providers: Providers<'_> = present.chain(absent.iter().map(|id| (&**id, None))).collect();
    let mut problems = Vec::new();
    for &(spec, component) in functions {
        let mut report = Report { component: &spec.id, problems: &mut problems };
        check_imports((spec, component), &providers, world, &mut report);
        check_parts(spec, component, &mut report);
        let own = providers.get(&*spec.id).and_then(Option::as_ref);
        for interface in &spec.required_exports {
            if own.is_none_or(|own| !own.has(interface)) {
                report.add(format!("does not export {interface}, which its role in the manifest needs"), None);
            }
        }
        if spec.durable && own.is_none_or(|own| !own.has(RESUMABLE)) {
            let help = "write it with weft_guest's saga macro, or remove `durable = true`".to_owned();
            report.add(format!("is durable but does not export {RESUMABLE}"), Some(help));
        }
        if spec.serves_http && !exports_http(component) {
            let help = component.get_export(None, SPIN_1_HANDLER).map(|_| {
                format!(
                    "it exports {SPIN_1_HANDLER}, the handler of Spin 1: build it with an SDK that exports wasi:http"
                )
            });
            report.add("is the target of a route but exports no wasi:http handler".to_owned(), help);
        }
    }
    problems.extend(named.iter().filter_map(|named| check_named(named, &providers)));
    problems
}

/// Policy on a function that nobody exports protects nothing. What an absent component exports is not known.
fn check_named(named: &NamedFunction, providers: &Providers<'_>) -> Option<Problem> {
    let (interface, function) = named.function.split_once('#')?;
    let is_asked = |id: &str| named.component.as_deref().is_none_or(|component| component == id);
    let asked = || providers.iter().filter(|(id, _)| is_asked(id)).map(|(_, provider)| provider.as_ref());
    let has = |exports: &Exports| match function {
        "*" => exports.has(interface),
        function => exports.get(interface, function).is_some(),
    };
    if asked().any(|exports| exports.is_none_or(has)) {
        return None;
    }
    let who = named.component.as_ref().map_or_else(|| "no component".to_owned(), |id| format!("component {id:?}"));
    let does = if named.component.is_some() { "does not export" } else { "exports" };
    let message = format!("{}: {who} {does} {:?}", named.by, &*named.function);
    let mut there: Vec<String> = asked()
        .flatten()
        .flat_map(Exports::functions)
        .map(|(of, name, _)| if of == interface { format!("{of}#{name}") } else { of.to_owned() })
        .collect();
    // The functions of the interface, where it is only the function that is not there.
    if there.iter().any(|name| name.contains('#')) {
        there.retain(|name| name.contains('#'));
    }
    there.sort_unstable();
    there.dedup();
    there.truncate(MAX_NAMED);
    let help = (!there.is_empty()).then(|| format!("there is {}", there.join(", ")));
    let component = named.component.as_deref().unwrap_or_default().to_owned();
    Some(Problem { component, message, help, line: Some(named.line) })
}

/// A component that needs what this host does not have, or has in another form: an interface of WASI or Spin, say.
pub(crate) fn unlinkable(spec: &FunctionSpec, error: &wasmtime::Error) -> Problem {
    let message = format!("cannot be linked: {error:#}");
    Problem { component: spec.id.to_string(), message, help: None, line: None }
}

struct Report<'a> {
    component: &'a str,
    problems: &'a mut Vec<Problem>,
}

impl Report<'_> {
    fn add(&mut self, message: String, help: Option<String>) {
        self.problems.push(Problem { component: self.component.to_owned(), message, help, line: None });
    }
}

fn exports_http(component: &Component) -> bool {
    component.component_type().exports(component.engine()).any(|(name, _)| {
        name.starts_with("wasi:http/handler@0.3") || name.starts_with("wasi:http/incoming-handler@0.2")
    })
}

/// What a component consists of is known before it runs, and refused here rather than at every call.
fn check_parts(spec: &FunctionSpec, component: &Component, report: &mut Report<'_>) {
    // Nothing that it imports is a module, so all that it will have is said in it.
    let Some(required) = component.resources_required() else { return };
    let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let parts = [
        ("linear memories", required.num_memories, spec.limits.memories, "max_memories"),
        ("tables", required.num_tables, spec.limits.tables, "max_tables"),
    ];
    for (what, has, may, key) in parts {
        if count(has) > may {
            let help = format!(
                "add `limits = {{ {key} = {has} }}` under [component.{}.tool.weft], with `grants = \"spin\"` if it has no such table",
                spec.id
            );
            report.add(format!("has {has} {what}; it may have {may}"), Some(help));
        }
    }
}

fn check_imports((spec, component): Candidate<'_>, providers: &Providers<'_>, world: World, report: &mut Report<'_>) {
    let engine = component.engine();
    for (name, item) in component.component_type().imports(engine) {
        let ComponentItem::ComponentInstance(instance) = item.ty else {
            report.add(format!("imports `{name}`, which is not an interface; the host links interfaces only"), None);
            continue;
        };
        if !has_functions(engine, &instance) || denied::is_denied(name) {
            continue;
        }
        if !world.has(name) {
            let help = "start the host without --as-spin, or compose the component with what provides it";
            report.add(format!("imports `{name}`, which Spin's world {WORLD} does not have"), Some(help.to_owned()));
            continue;
        }
        match package(name) {
            "wasi" | "spin" | "fermyon" => check_missing(name, report),
            "weft" => check_capability(spec, name, report),
            _ => check_call(engine, spec, name, &instance, providers, report),
        }
    }
}

fn package(interface: &str) -> &str {
    interface.split(':').next().unwrap_or_default()
}

fn has_functions(engine: &wasmtime::Engine, instance: &ComponentInstance) -> bool {
    instance.exports(engine).any(|(_, item)| matches!(item.ty, ComponentItem::ComponentFunc(_)))
}

/// Interfaces of WASI and Spin that this host does not have, with what to do. All others are linked, answered by a
/// refusal, or named when linking fails.
fn check_missing(interface: &str, report: &mut Report<'_>) {
    let (name, version) = interface.split_once('@').unwrap_or((interface, ""));
    let help = match name {
        "wasi:keyvalue/watch" => "poll the key, or subscribe to a topic",
        _ if name.starts_with("wasi:config/") && interface != CONFIG => {
            "build it with `wasi:config/store@0.2.0-draft-2024-09-27`, which Spin has as well, or with `spin:variables`"
        }
        _ if denied::is_absent(interface) || wasi_snapshot::has(interface) => return,
        _ if name.starts_with("wasi:") && version.contains("-rc-") => "build it with an SDK for the released interface",
        _ if name.starts_with("fermyon:spin/") && version.is_empty() => {
            "build it with version 2 or later of Spin's SDK"
        }
        _ => return,
    };
    report.add(format!("imports `{interface}`, which this host does not have"), Some(help.to_owned()));
}

fn check_capability(spec: &FunctionSpec, interface: &str, report: &mut Report<'_>) {
    let name = interface.split('@').next().unwrap_or_default();
    let grants = &spec.grants;
    let missing = match name {
        "weft:sql/database" | "weft:events/store" => grants.context.is_none().then_some("context = \"<context>\""),
        "weft:messaging/producer" => grants.topics.is_empty().then_some("topics = [\"<topic>\"]"),
        "weft:push/pusher" => grants.push.is_empty().then_some("push = [\"<channel>\"]"),
        "weft:durable/journal" => (!spec.durable).then_some("durable = true"),
        "weft:durable/handles" => grants.sagas.is_empty().then_some("sagas = [\"<durable component>\"]"),
        _ => {
            report.add(format!("imports `{interface}`, which this host does not have"), None);
            None
        }
    };
    if let Some(line) = missing {
        let help = format!("add `{line}` under [component.{}.tool.weft]", spec.id);
        report.add(format!("imports `{interface}`, which it is not granted"), Some(help));
    }
}

fn check_call(
    engine: &wasmtime::Engine,
    spec: &FunctionSpec,
    interface: &str,
    instance: &ComponentInstance,
    providers: &Providers<'_>,
    report: &mut Report<'_>,
) {
    let Some(target) = spec.calls.get(interface) else {
        let exports = |provider: &Option<Exports>| provider.as_ref().is_some_and(|exports| exports.has(interface));
        let candidate = providers.iter().find(|(_, provider)| exports(provider));
        let provider = candidate.map_or("<component that exports it>", |(id, _)| *id);
        let help = format!("add `\"{interface}\" = \"{provider}\"` under [component.{}.tool.weft.calls]", spec.id);
        report.add(format!("imports `{interface}`, which it is not granted"), Some(help));
        return;
    };
    let Some(provider) = providers.get(&**target) else {
        report.add(format!("calls `{interface}` of component {target}, which does not exist"), None);
        return;
    };
    for (name, item) in instance.exports(engine) {
        let ComponentItem::ComponentFunc(func) = item.ty else { continue };
        if let Err(error) = values::check_shape(&func) {
            report.add(format!("calls `{interface}#{name}`, which cannot be called across components: {error}"), None);
        }
        // What an absent one would export is seen when it is there.
        let Some(exports) = provider else { continue };
        match exports.get(interface, name) {
            None => report.add(format!("calls `{interface}#{name}`, which component {target} does not export"), None),
            Some(export) if !same_type(&export.ty, &func) => report.add(
                format!("calls `{interface}#{name}` with other types than component {target} exports it with"),
                Some("build both components against the same WIT package".to_owned()),
            ),
            Some(_) => {}
        }
    }
}

fn same_type(left: &ComponentFunc, right: &ComponentFunc) -> bool {
    left.params().map(|(_, ty)| ty).eq(right.params().map(|(_, ty)| ty)) && left.results().eq(right.results())
}
