//! Closed forms: what runs under Spin instead of the application's components, made when the application is built.
//! Owns what each one consists of and what its adapters are told; the wiring is `weft-compose`'s.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};

use adapter_settings::{
    Access as FrontAccess, Auth, Context, Durable, Front, Migration, Projection, Settings, Source, Subscription,
};
use weft_compose::{Adapters, Part, Role};
use weft_core::manifest::{
    Access, Callers, ClosedForms, Component, Manifest, Method, Order, ProjectionSource, Route, Start,
};

/// Methods that the front tells apart.
const METHODS: [Method; 5] = [Method::Get, Method::Post, Method::Put, Method::Patch, Method::Delete];

/// What came of making closed forms.
#[derive(Debug, Default)]
pub struct Written {
    /// Whose were made.
    pub made: Vec<Arc<str>>,
    /// Whose were not, and the optional component that is not built and without which they cannot be.
    pub left_out: Vec<(Arc<str>, Arc<str>)>,
}

/// Makes the closed form of one component, or of all that have one, and writes each whole or not at all. Nothing is made
/// if the application has none.
///
/// # Errors
/// What is missing, does not fit, or cannot be written.
pub fn write(manifest: &Manifest, only: Option<&str>) -> anyhow::Result<Written> {
    let mut written = Written::default();
    let Some(forms) = &manifest.closed_forms else { return Ok(written) };
    let adapters = adapters(forms)?;
    let parts = parts(manifest)?;
    let settings = settings(manifest, forms, &parts)?;
    for component in manifest.components.values().filter(|component| only.is_none_or(|only| *component.id == *only)) {
        let is_timer = forms.timer.as_ref().is_some_and(|timer| timer.value == component.id);
        let path = match &component.closed_form {
            Some(path) => &path.value,
            None if is_timer => &component.source.value,
            None => continue,
        };
        let (role, front) = if is_timer { (Role::Timer, None) } else { role(manifest, forms, component)? };
        if let Some(absent) = absent(&role, manifest, &parts) {
            written.left_out.push((component.id.clone(), absent));
            continue;
        }
        let settings = Settings { component: component.id.to_string(), front, ..settings.clone() };
        let document = serde_json::to_string(&settings)?;
        let bytes = weft_compose::closed_form(&role, &parts, &adapters, &document)
            .with_context(|| format!("cannot make the closed form of component {:?}", &*component.id))?;
        persist(path, &bytes)?;
        written.made.push(component.id.clone());
    }
    Ok(written)
}

/// Writes a file, whole or not at all; its folder is made.
///
/// # Errors
/// If it cannot be written.
pub fn persist(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).with_context(cannot)?;
    let mut file = tempfile::NamedTempFile::new_in(folder).with_context(cannot)?;
    std::io::Write::write_all(&mut file, bytes).with_context(cannot)?;
    file.persist(path).with_context(cannot)?;
    Ok(())
}

fn adapters(forms: &ClosedForms) -> anyhow::Result<Adapters> {
    let read = |name: &str| {
        let path = forms.adapters.value.join(name);
        std::fs::read(&path).with_context(|| format!("cannot read the adapter {}; build it first", path.display()))
    };
    Ok(Adapters {
        store: read("spin_store.wasm")?,
        front: read("front.wasm")?,
        pump: read("pump.wasm")?,
        timer: read("timer.wasm")?,
        unused: read("unused.wasm")?,
    })
}

fn parts(manifest: &Manifest) -> anyhow::Result<BTreeMap<String, Part>> {
    let mut parts = BTreeMap::new();
    for component in manifest.running().filter(|component| component.is_weft()) {
        let path = &component.source.value;
        if component.optional && !path.is_file() {
            continue;
        }
        let bytes = std::fs::read(path)
            .with_context(|| format!("cannot read {}; build it with `weft build`", path.display()))?;
        let calls = component.grants.calls.iter();
        let calls = calls.map(|(interface, id)| (interface.to_string(), id.value.to_string())).collect();
        parts.insert(component.id.to_string(), Part { bytes, calls });
    }
    Ok(parts)
}

/// An optional component that is not built and that a closed form would have inside: nothing can answer in its place.
fn absent(role: &Role, manifest: &Manifest, parts: &BTreeMap<String, Part>) -> Option<Arc<str>> {
    let mut wanted: Vec<&str> = match role {
        Role::Front(functions) => functions.values().map(String::as_str).collect(),
        Role::FrontOfAll(id) | Role::Pump(id) | Role::Alone(id) => vec![id],
        Role::Timer => Vec::new(),
    };
    let mut next = 0;
    while let Some(id) = wanted.get(next).copied() {
        next += 1;
        let Some(part) = parts.get(id) else {
            return manifest.components.get(id).filter(|component| component.optional).map(|one| one.id.clone());
        };
        let callees = part.calls.values().map(String::as_str);
        let fresh: Vec<_> = callees.filter(|callee| !wanted.contains(callee)).collect();
        wanted.extend(fresh);
    }
    None
}

/// What the closed form of a component does, and what its front has to know.
fn role(manifest: &Manifest, forms: &ClosedForms, component: &Component) -> anyhow::Result<(Role, Option<Front>)> {
    let id = component.id.to_string();
    let has_work = component.durable
        || !component.subscriptions.is_empty()
        || !component.projections.is_empty()
        || manifest.startup.iter().any(|startup| startup.value == component.id);
    let mut tables = manifest.paths_of(&component.id).map(|pattern| table(manifest, &pattern.below(&manifest.base)));
    let Some(routes) = tables.next() else {
        return Ok(if has_work { (Role::Pump(id), None) } else { (Role::Alone(id), None) });
    };
    if has_work {
        bail!("component {id:?} has a path and work of its own: under Spin a component has one of them; split it");
    }
    let shape = |routes: &[&Route]| -> Vec<_> {
        routes.iter().map(|route| (route.method, route.component.clone(), route.access.clone())).collect()
    };
    if tables.any(|other| shape(&other) != shape(&routes)) {
        bail!("component {id:?} has paths with other methods or rules: under Spin they need components of their own");
    }
    let mut methods = BTreeMap::new();
    let mut functions = BTreeMap::new();
    for method in METHODS {
        let of = |wanted: Method| routes.iter().find(|route| route.method == wanted);
        let Some(route) = of(method).or_else(|| of(Method::Any)) else { continue };
        let layer = manifest.components.get(&route.component).and_then(|component| component.middleware.first());
        if let Some(layer) = layer {
            bail!(
                "{}:{}: closed forms have no middleware of routes; Spin takes it at the trigger, as dependencies.middleware",
                manifest.path.display(),
                layer.line
            );
        }
        if !route.hosts.is_empty() {
            bail!(
                "{}:{}: closed forms know no hosts: Spin serves every host alike; remove `hosts`, or keep this for Weft alone",
                manifest.path.display(),
                route.line
            );
        }
        if route.access.asks_policies() {
            bail!("{}:{}: closed forms know no policies", manifest.path.display(), route.line);
        }
        methods.insert(method.to_string(), front_access(route));
        functions.insert(method.to_string(), route.component.to_string());
    }
    Ok((Role::Front(functions), Some(Front { methods, auth: auth(manifest, forms)? })))
}

fn table<'m>(manifest: &'m Manifest, pattern: &weft_core::manifest::RoutePattern) -> Vec<&'m Route> {
    manifest.routes.iter().filter(|route| route.pattern == *pattern).collect()
}

fn front_access(route: &Route) -> FrontAccess {
    let deadline_ms = route.deadline_ms.into();
    let texts = |names: &[Arc<str>]| names.iter().map(ToString::to_string).collect();
    match &route.access {
        Access::Public => FrontAccess { public: true, deadline_ms, ..FrontAccess::default() },
        Access::Authenticated(Callers { users, roles, permissions, services, policies: _ }) => FrontAccess {
            public: false,
            users: *users,
            roles: texts(roles),
            permissions: texts(permissions),
            services: texts(services),
            deadline_ms,
        },
    }
}

fn auth(manifest: &Manifest, forms: &ClosedForms) -> anyhow::Result<Option<Auth>> {
    let Some(auth) = &manifest.auth else { return Ok(None) };
    let Some(public_key) = &forms.public_key else {
        bail!(
            "{}:{}: closed forms verify tokens: add public_key = \"<variable that holds the public key>\"",
            manifest.path.display(),
            forms.line
        );
    };
    Ok(Some(Auth {
        issuer: auth.issuer.to_string(),
        audience: auth.audience.to_string(),
        leeway_s: auth.leeway_s.into(),
        public_key_variable: public_key.value.to_string(),
        revocations: auth.revocations.as_ref().map(|label| label.value.to_string()),
    }))
}

/// What all closed forms of the application are told.
fn settings(manifest: &Manifest, forms: &ClosedForms, parts: &BTreeMap<String, Part>) -> anyhow::Result<Settings> {
    let mut contexts = Vec::new();
    for context in manifest.contexts.values() {
        contexts.push(self::context(manifest, context)?);
    }
    let mut durable = Vec::new();
    for component in manifest.running().filter(|component| component.durable) {
        let Some(part) = parts.get(&*component.id) else { continue };
        let interfaces = weft_compose::exports(&component.id, &part.bytes)?;
        durable.push(Durable { component: component.id.to_string(), interfaces });
    }
    let all = || manifest.running();
    Ok(Settings {
        component: String::new(),
        contexts,
        durable,
        subscriptions: all().flat_map(subscriptions).collect(),
        projections: all().flat_map(projections).collect(),
        startup: manifest.startup.iter().map(|id| id.value.to_string()).collect(),
        timer: forms.timer.as_ref().map(|timer| timer.value.to_string()),
        front: None,
    })
}

fn context(manifest: &Manifest, context: &weft_core::manifest::Context) -> anyhow::Result<Context> {
    let mut migrations = Vec::new();
    for migration in &context.migrations {
        let sql = std::fs::read_to_string(&migration.path)
            .with_context(|| format!("cannot read the migration {}", migration.path.display()))?;
        migrations.push(Migration { name: format!("{:04}_{}.sql", migration.number, migration.name), sql });
    }
    let of_context =
        |component: &&Component| component.grants.context.as_ref().is_some_and(|granted| granted.value == context.name);
    let topics = manifest.running().filter(of_context).flat_map(|component| &component.grants.topics);
    let mut topics: Vec<String> = topics.map(|topic| topic.value.to_string()).collect();
    topics.sort();
    topics.dedup();
    Ok(Context { name: context.name.to_string(), migrations, topics })
}

fn subscriptions(component: &Component) -> Vec<Subscription> {
    let one = |rules: &weft_core::manifest::Subscription| Subscription {
        component: component.id.to_string(),
        name: rules.name.to_string(),
        topic: rules.topic.to_string(),
        max_attempts: rules.max_attempts,
        base_ms: rules.base_ms,
        cap_ms: rules.cap_ms,
        batch: rules.batch,
        ordered: rules.order == Order::Key,
        ttl_ms: rules.ttl_ms,
        from_earliest: rules.start == Start::Earliest,
    };
    component.subscriptions.iter().map(one).collect()
}

fn projections(component: &Component) -> Vec<Projection> {
    let one = |rules: &weft_core::manifest::Projection| Projection {
        component: component.id.to_string(),
        name: rules.name.to_string(),
        version: rules.version,
        source: match &rules.source {
            ProjectionSource::Store(context) => Source::Context(context.value.to_string()),
            ProjectionSource::Log(topic) => Source::Topic(topic.to_string()),
        },
        types: rules.types.iter().map(ToString::to_string).collect(),
        batch: rules.batch,
    };
    component.projections.iter().map(one).collect()
}
