//! From the manifest to what engine, mesh and messaging need of it. Pure translation: nothing is opened or started here.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use weft_capability::messaging::Subscription;
use weft_capability::messaging::glue::{BATCH_HANDLER, HANDLER};
use weft_capability::projection::Projection;
use weft_capability::projection::glue::PROJECTION;
use weft_core::manifest::mesh::CallPolicy;
use weft_core::manifest::{self, Component, Diagnostic, Manifest, Variables};
use weft_core::outbound::EndpointAddress;
use weft_core::version_name;
use weft_durable::{Limit, Limits, Rate, SagaOptions, Schedule};
use weft_engine::{FunctionSpec, Grants, InstanceSpec, NamedFunction, Problem, ReuseSpec, Source};
use weft_mesh::{CalleePolicy, FailurePolicy, Instance, Kind, Policies, ServicePolicy};

use crate::composing::Composed;
use crate::guest_files::GuestFiles;
use crate::wiring::ScheduledFunction;

/// What a startup function exports.
pub const STARTUP: &str = "weft:control/startup@0.1.0";

/// Who handles the events that the host has subscribed to itself; no component is called so.
pub const HOST: &str = "#host";

/// What was made of the manifest's files for the components to run.
#[derive(Clone, Debug, Default)]
pub struct Made {
    /// Components that are made of several.
    pub composed: Composed,
    /// Folders that components may read.
    pub files: GuestFiles,
}

/// What the engine runs.
///
/// # Errors
/// Every variable or host of a component that has no value.
pub fn functions(
    manifest: &Manifest,
    variables: &Variables,
    made: &Made,
) -> Result<Vec<FunctionSpec>, Vec<Diagnostic>> {
    let routed: BTreeSet<&str> = manifest.routes.iter().map(|route| &*route.component).collect();
    let startup: BTreeSet<&str> = manifest.startup.iter().map(|id| &*id.value).collect();
    let mut problems = Vec::new();
    let mut specs = Vec::new();
    for component in manifest.running() {
        match grants(manifest, component, variables) {
            Ok(grants) => {
                let mut required_exports = Vec::new();
                if startup.contains(&*component.id) {
                    required_exports.push(STARTUP);
                }
                let batched = |one: &manifest::Subscription| one.batch > 1;
                if component.subscriptions.iter().any(|one| !batched(one)) {
                    required_exports.push(HANDLER);
                }
                if component.subscriptions.iter().any(batched) {
                    required_exports.push(BATCH_HANDLER);
                }
                if !component.projections.is_empty() {
                    required_exports.push(PROJECTION);
                }
                let serves_http = routed.contains(&*component.id);
                let own = function(component, made, grants, serves_http, required_exports);
                specs.extend(component.versions.iter().map(|version| version_of(&own, version, made)));
                specs.push(own);
            }
            Err(found) => problems.extend(found),
        }
    }
    if problems.is_empty() { Ok(specs) } else { Err(problems) }
}

fn function(
    component: &Component,
    made: &Made,
    grants: Grants,
    serves_http: bool,
    required_exports: Vec<&'static str>,
) -> FunctionSpec {
    let own = &component.grants;
    let reuse = ReuseSpec {
        max_requests: to_usize(component.reuse.max_requests),
        max_concurrent: to_usize(component.reuse.max_concurrent),
    };
    FunctionSpec {
        id: component.id.clone(),
        version: None,
        source: Source { path: component.source.value.clone(), composed: made.composed.get(&component.id).cloned() },
        calls: own.calls.iter().map(|(interface, target)| (interface.to_string(), target.value.clone())).collect(),
        grants,
        durable: component.durable,
        optional: component.optional,
        serves_http,
        required_exports,
        files: made.files.get(&component.id).cloned(),
        environment: own.environment.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
        limits: InstanceSpec::from(&component.limits),
        reuse: component.reuse.is_reused().then_some(reuse),
    }
}

/// A version that the manifest puts beside a component: all that the component has, but the code.
fn version_of(component: &FunctionSpec, version: &manifest::Version, made: &Made) -> FunctionSpec {
    let composed = made.composed.get(&version_name(&component.id, &version.name)).cloned();
    let source = Source { path: version.source.value.clone(), composed };
    FunctionSpec { version: Some(version.name.clone()), source, ..component.clone() }
}

fn grants(manifest: &Manifest, component: &Component, variables: &Variables) -> Result<Grants, Vec<Diagnostic>> {
    let own = &component.grants;
    let labels = |located: &[manifest::Located<Arc<str>>]| located.iter().map(|label| label.value.clone()).collect();
    let values = variables.of_component(manifest, component)?;
    let values: BTreeMap<String, String> =
        values.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Ok(Grants {
        context: own.context.as_ref().map(|context| context.value.clone()),
        topics: own.topics.iter().map(|topic| topic.value.clone()).collect(),
        push: own.push.iter().map(|channel| channel.value.clone()).collect(),
        key_value_stores: labels(&own.key_value_stores),
        sqlite_databases: labels(&own.sqlite_databases),
        outbound: variables.outbound_hosts(manifest, component)?,
        variables: Arc::new(values),
        sagas: visible_sagas(manifest, component),
        deadlines: manifest.deadlines,
    })
}

/// The sagas that a component may see: those it names, and those it calls, for it may be their parent.
fn visible_sagas(manifest: &Manifest, component: &Component) -> Vec<Arc<str>> {
    let called = component.grants.calls.values().map(|target| &target.value);
    let durable = |id: &&Arc<str>| manifest.components.get(*id).is_some_and(|callee| callee.durable);
    component.grants.sagas.iter().map(|id| &id.value).chain(called.filter(durable)).cloned().collect()
}

/// The limits that steps may name.
#[must_use]
pub fn step_limits(manifest: &Manifest) -> HashMap<String, Limit> {
    let limit = |limit: &manifest::StepLimit| {
        let rate = limit.rate.map(|(count, per_ms)| Rate { count, per_ms });
        (limit.name.to_string(), Limit { rate, concurrency: limit.concurrency })
    };
    manifest.step_limits.values().map(limit).collect()
}

/// How the journal is kept.
#[must_use]
pub fn saga_options(manifest: &Manifest) -> SagaOptions {
    SagaOptions {
        retention_ms: u64::from(manifest.sagas.retention_days) * 24 * 60 * 60 * 1000,
        max_unfinished: to_usize(manifest.sagas.max_unfinished),
        limits: Limits::new(step_limits(manifest)),
        ..SagaOptions::default()
    }
}

/// All schedules, each named `<component>/<schedule>`.
#[must_use]
pub fn schedules(manifest: &Manifest) -> Vec<Schedule> {
    let of = |component: &Component| {
        let name = |schedule: &manifest::Schedule| format!("{}/{}", component.id, schedule.name).into();
        let schedules = component.schedules.iter().map(|schedule| Schedule {
            name: name(schedule),
            cron: schedule.cron.clone(),
            overlap: schedule.overlap,
            catch_up_ms: u64::from(schedule.catch_up_s) * 1000,
        });
        schedules.collect::<Vec<_>>()
    };
    manifest.running().flat_map(of).collect()
}

/// What the schedules begin, by their names.
#[must_use]
pub fn scheduled_functions(manifest: &Manifest) -> BTreeMap<Arc<str>, ScheduledFunction> {
    let of = |component: &Component| {
        let functions = component.schedules.iter().map(|schedule| {
            let name: Arc<str> = format!("{}/{}", component.id, schedule.name).into();
            let (function, arguments) = (schedule.function.clone(), schedule.arguments.clone());
            (name, ScheduledFunction { component: component.id.clone(), function, arguments })
        });
        functions.collect::<Vec<_>>()
    };
    manifest.running().flat_map(of).collect()
}

/// What the host itself subscribes to: the events that begin and end choreographies.
fn choreography_subscriptions(manifest: &Manifest) -> Vec<Subscription> {
    let of = |choreography: &manifest::Choreography| {
        let topics = [Some(&choreography.start), Some(&choreography.end), choreography.failed.as_ref()];
        let mut subscriptions = Vec::new();
        for topic in topics.into_iter().flatten() {
            let Ok(pattern) = topic.parse() else { continue };
            let name = format!("{}-{topic}", choreography.name).into();
            let rules =
                manifest::Subscription { line: choreography.line, ..manifest::Subscription::new(name, pattern) };
            subscriptions.push(Subscription { component: HOST.into(), rules });
        }
        subscriptions
    };
    manifest.choreographies.values().flat_map(of).collect()
}

/// What the mesh keeps to.
///
/// # Errors
/// As [`services`].
pub fn policies(manifest: &Manifest, variables: &Variables) -> Result<Policies, Vec<Diagnostic>> {
    let half = |half: &Component| half.split_from.clone().map(|whole| (half.id.clone(), whole));
    Ok(Policies {
        functions: callees(manifest),
        halves: manifest.running().filter_map(half).collect(),
        services: services(manifest, variables)?,
        faults: manifest.mesh.faults.iter().map(|rule| rule.value.clone()).collect(),
    })
}

/// Policy on calls to each function.
fn callees(manifest: &Manifest) -> Vec<CalleePolicy> {
    let mut callers: BTreeMap<&str, BTreeSet<Arc<str>>> = BTreeMap::new();
    for component in manifest.running() {
        for target in component.grants.calls.values() {
            callers.entry(&*target.value).or_default().insert(component.whole().clone());
        }
    }
    let policy = |component: &Component| CalleePolicy {
        component: component.id.clone(),
        kind: Kind::Function,
        callers: callers.get(&*component.id).cloned().unwrap_or_default(),
        rules: component.mesh.access_rules(),
        deadline: Duration::from_millis(component.call_deadline_ms().into()),
        max_concurrent: to_usize(component.limits.max_concurrent),
        max_pending: to_usize(component.limits.max_pending),
        durable: component.durable,
        failures: FailurePolicy::of(&component.mesh, &manifest.mesh.calls),
    };
    manifest.running().filter(|component| component.split_from.is_none()).map(policy).collect()
}

/// Policy on requests to each external service.
///
/// # Errors
/// Every instance whose address is none with the values that its variables have.
pub fn services(
    manifest: &Manifest,
    variables: &Variables,
) -> Result<Vec<(CalleePolicy, ServicePolicy)>, Vec<Diagnostic>> {
    let (mut problems, mut services) = (Vec::new(), Vec::new());
    for service in manifest.mesh.services.values() {
        let endpoints = match variables.endpoints(manifest, service) {
            Ok(endpoints) => endpoints,
            Err(found) => {
                problems.extend(found);
                continue;
            }
        };
        let instances = endpoints.into_iter().map(|(address, declared)| Instance {
            id: instance_id(&address),
            address,
            weight: declared.weight,
            version: declared.version.clone(),
            tags: declared.tags.clone(),
            ttl: None,
            declared: true,
        });
        let own = ServicePolicy {
            load_balance: service.load_balance,
            health: service.health.clone(),
            ejection: service.ejection,
            allow_private: service.allow_private,
            instances: instances.collect(),
        };
        let callee = CalleePolicy {
            component: service.name.clone(),
            kind: Kind::Service,
            callers: BTreeSet::new(),
            rules: service.calls.access_rules(),
            deadline: Duration::from_millis(service.deadline_ms.unwrap_or(manifest.deadlines.external_ms).into()),
            max_concurrent: to_usize(service.max_concurrent),
            max_pending: to_usize(service.max_pending),
            durable: false,
            failures: FailurePolicy::of(&service.calls, &manifest.mesh.calls),
        };
        services.push((callee, own));
    }
    if problems.is_empty() { Ok(services) } else { Err(problems) }
}

/// What an instance is called that is given no other name: its host and port.
#[must_use]
pub fn instance_id(address: &EndpointAddress) -> Arc<str> {
    let host = address.host();
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    format!("{host}:{}", address.port()).into()
}

/// Who handles which events.
#[must_use]
pub fn subscriptions(manifest: &Manifest) -> Vec<Subscription> {
    let of = |component: &Component| {
        let component_id = component.id.clone();
        let each = component.subscriptions.clone().into_iter();
        each.map(move |rules| Subscription { component: component_id.clone(), rules }).collect::<Vec<_>>()
    };
    manifest.running().flat_map(of).chain(choreography_subscriptions(manifest)).collect()
}

/// Which read models are made of which events.
#[must_use]
pub fn projections(manifest: &Manifest) -> Vec<Projection> {
    let of = |component: &Component| {
        let (id, context) = (component.id.clone(), component.grants.context.as_ref());
        // The manifest was refused if there is none.
        let context = context.map(|context| context.value.clone()).unwrap_or_default();
        let each = component.projections.clone().into_iter();
        each.map(move |rules| Projection { component: id.clone(), context: context.clone(), rules }).collect::<Vec<_>>()
    };
    manifest.running().flat_map(of).collect()
}

/// The functions that rules, retries and faults name.
#[must_use]
pub fn named_functions(manifest: &Manifest) -> Vec<NamedFunction> {
    let named = |component: Option<&Arc<str>>, by, function: &Arc<str>, line| NamedFunction {
        component: component.cloned(),
        function: function.clone(),
        by,
        line,
    };
    let idempotent = |component: Option<&Arc<str>>, calls: &CallPolicy| {
        let declared = calls.retry.iter().flat_map(|retry| &retry.idempotent).filter(|one| *one.value != *"*");
        declared.map(|one| named(component, "mesh.retry.idempotent", &one.value, one.line)).collect::<Vec<_>>()
    };
    let mut all = idempotent(None, &manifest.mesh.calls);
    for component in manifest.running().filter(|component| component.split_from.is_none()) {
        let id = Some(&component.id);
        let in_rules = component.mesh.rules.iter().flat_map(|rule| &rule.functions);
        all.extend(in_rules.map(|one| named(id, "mesh.rules", &one.value, one.line)));
        all.extend(idempotent(id, &component.mesh));
    }
    let in_faults = manifest.mesh.faults.iter().filter_map(|fault| {
        let function = fault.value.function.as_ref()?;
        Some(named(fault.value.callee.as_ref(), "mesh.faults", function, fault.line))
    });
    all.extend(in_faults);
    all
}

/// A component's problem, at its place in the manifest.
#[must_use]
pub fn located(manifest: &Manifest, problem: &Problem) -> Diagnostic {
    let of_component = || {
        let component = manifest.components.get(problem.component.as_str());
        let line = component.map_or(0, |component| component.weft_line.unwrap_or(component.line));
        manifest.problem(line, format!("component {:?} {}", problem.component, problem.message))
    };
    let diagnostic = problem.line.map_or_else(of_component, |line| manifest.problem(line, problem.message.clone()));
    match &problem.help {
        Some(help) => diagnostic.with_help(help.clone()),
        None => diagnostic,
    }
}

fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
