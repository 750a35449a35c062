//! Puts a host together. The only place that names concrete backends: another engine behind a capability is another
//! line here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, bail};

use weft_capability::answers::embedded::Embedded as EmbeddedAnswers;
use weft_capability::kv::embedded::Embedded as EmbeddedStore;
use weft_capability::kv::redis::RedisStore;
use weft_capability::kv::{Store, routed::Routed};
use weft_capability::messaging::{Broker, embedded::Embedded as EmbeddedBroker, embedded::EmbeddedOptions};
use weft_capability::outbound::{Resolve, SystemResolver};
use weft_capability::projection::Projections;
use weft_capability::push::PushHub;
use weft_capability::push::embedded::{Embedded as EmbeddedHub, PushOptions};
use weft_capability::schema::{Registry, SchemaCheck};
use weft_capability::shared_limits::redis::RedisLimits;
use weft_capability::spin_sqlite::Databases;
use weft_capability::sql::{ContextSettings, KeptSince, SqlHost, SqlSettings};
use weft_core::disk::{Disk, DiskLock, RealDisk};
use weft_core::manifest::{Component, Diagnostic, KeyValueStore, Manifest, RuntimeConfig, Variables};
use weft_core::push::PushBounds;
use weft_core::shared_limits::SharedLimits;
use weft_core::{Clock, Failpoints, SystemClock};
use weft_durable::Sagas;
use weft_engine::{Engine, EngineError, EngineOptions, LoadError, Services, Value, World};
use weft_mesh::Mesh;
use weft_telemetry::GuestLogs;

use crate::faults;
use crate::given::{Given, GivenArgs};
use crate::guest_files;
use crate::host::{Host, Parts};
use crate::inside::Inside;
use crate::keys;
use crate::machine;
use crate::runtime_config;
use crate::services::ExternalServices;
use crate::specs;
use crate::wiring::{Outputs, Told};

/// Where the application is and where its data goes.
#[derive(Clone, Debug)]
pub struct Place {
    /// The manifest.
    pub manifest: PathBuf,
    /// The data directory.
    pub data: PathBuf,
    /// What else the command line says of the application.
    pub given: Given,
    /// Spin's runtime configuration.
    pub runtime_config: Option<PathBuf>,
}

impl Place {
    /// Takes what the options of one command say.
    ///
    /// # Errors
    /// A file with values of variables that cannot be read.
    pub fn take(&mut self, options: GivenArgs) -> anyhow::Result<()> {
        if let Some(manifest) = options.manifest() {
            self.manifest = manifest;
        }
        self.given = options.read(self.given.profile.take())?;
        Ok(())
    }

    /// Reads and checks the manifest, with the profile and the environment that are given.
    ///
    /// # Errors
    /// Every problem of it, in the order of lines.
    pub fn load(&self) -> Result<Manifest, Vec<Diagnostic>> {
        let mut manifest = Manifest::load_with(&self.manifest, self.given.profile.as_deref())?;
        self.given.extend_environment(&mut manifest);
        Ok(manifest)
    }

    /// The same as Spin reads it.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_as_spin(&self) -> Result<Manifest, Vec<Diagnostic>> {
        let mut manifest = Manifest::load_as_spin(&self.manifest, self.given.profile.as_deref())?;
        self.given.extend_environment(&mut manifest);
        Ok(manifest)
    }
}

/// Whose application it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Weft's: what `tool.weft` says counts.
    Weft,
    /// Spin's: the closed forms run, and the host gives them what Spin would.
    Spin,
}

impl Dialect {
    /// What components may import.
    fn world(self) -> World {
        match self {
            Self::Weft => World::Weft,
            Self::Spin => World::Spin,
        }
    }
}

/// A host with everything opened, loaded and checked. Sagas and subscriptions do not run before [`Host::start`].
/// Blocks; to be called inside a runtime, off its threads.
///
/// # Errors
/// What is wrong, where, and what to do.
pub fn assemble(place: &Place, dialect: Dialect) -> anyhow::Result<Host> {
    let manifest = place.load().map_err(refused)?;
    create_private(&place.data)?;
    let lock = lock(&place.data)?;
    let (manifest, variables) = application(manifest, place, dialect)?;
    let config = runtime_config::load(place).map_err(refused)?;
    let failpoints = Failpoints::parse(&std::env::var("WEFT_FAILPOINT").unwrap_or_default())?;
    let (resolver, clock) = (system_resolver(), system_clock());
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let data = &place.data;

    guest_files::clear(data).with_context(|| format!("cannot remove old files in {}", data.display()))?;
    let logs = GuestLogs::open(data, clock.clone()).with_context(|| cannot_open("the functions' output", data))?;
    // What the steps of a saga have recorded is kept as long as the saga: until the journal is read, all of it.
    let journal: Arc<OnceLock<Sagas>> = Arc::default();
    let known = journal.clone();
    let kept_since =
        KeptSince::new(move || known.get().map_or(0, |sagas| sagas.oldest_started_at_ms().unwrap_or(u64::MAX)));
    let settings = SqlSettings { kept_since, ..SqlSettings::default() };
    let sql = SqlHost::open_with(data, &contexts(&manifest), clock.clone(), failpoints.clone(), &settings)?;
    let schemas = Arc::new(Registry::open(data, clock.clone())?);
    let messaging = messaging_options(&manifest, schemas.clone());
    let broker: Arc<dyn Broker> =
        Arc::new(EmbeddedBroker::open(data, disk.clone(), clock.clone(), failpoints.clone(), messaging)?);
    let push = EmbeddedHub::open(&data.join("push.db"), clock.clone(), push_options(&manifest))?;
    let push: Arc<dyn PushHub> = Arc::new(push);
    let answers = Arc::new(EmbeddedAnswers::open(&data.join("answers.db"), clock.clone(), failpoints.clone())?);
    let sagas = open_sagas(&manifest, disk, data, &clock, failpoints)?;
    drop(journal.set(sagas.clone()));

    let databases = of_contexts(&manifest, |name| sql.database(name));
    let event_stores = of_contexts(&manifest, |name| sql.events(name));
    let (key_value, spin_sqlite) = spins_stores(&config, data, manifest.deadlines.database(), &resolver, &clock)?;
    let services = Services {
        databases,
        event_stores: event_stores.clone(),
        key_value: key_value.clone(),
        spin_sqlite: spin_sqlite.clone(),
        broker: Some(broker.clone()),
        push: Some(push.clone()),
        schemas: schemas.clone(),
        sagas: Some(sagas.clone()),
        resolver: resolver.clone(),
        telemetry: Arc::new(Told(logs.clone())),
    };
    let (engine, mesh, external, inside) = connected((&manifest, dialect), services, data, &clock, &logs)?;
    let projections = Projections::open(data, clock.clone())?;
    let parts = Parts {
        place: place.clone(),
        clock,
        resolver,
        engine,
        mesh,
        inside,
        external,
        outboxes: manifest.contexts.keys().filter_map(|name| sql.outbox(name)).collect(),
        event_stores,
        read_models: of_contexts(&manifest, |name| sql.read_models(name)),
        projections,
        close_databases: Box::new(move || sql.shutdown()),
        key_value,
        answers,
        spin_sqlite,
        broker,
        push,
        schemas,
        sagas,
        logs,
        _lock: lock,
    };
    Host::new(parts, manifest, &variables)
}

fn engine_options(manifest: &Manifest, dialect: Dialect) -> EngineOptions {
    let options = EngineOptions { world: dialect.world(), ..machine::engine_options(&manifest.engine) };
    let EngineOptions { max_memory_mb, max_instances, .. } = options;
    tracing::info!(max_memory_mb, max_instances, "bounds of all instances together");
    options
}

/// The engine and the mesh, each with what it reaches of the other.
fn connected(
    (manifest, dialect): (&Manifest, Dialect),
    services: Services,
    data: &Path,
    clock: &Arc<dyn Clock>,
    logs: &GuestLogs,
) -> anyhow::Result<(Engine, Mesh<Value>, ExternalServices, Arc<Inside>)> {
    let (resolver, outputs) = (services.resolver.clone(), Arc::new(Outputs(logs.clone())));
    let engine = Engine::new(&engine_options(manifest, dialect), data, clock.clone(), services, outputs)?;
    let mesh = Mesh::new(Arc::new(engine.clone()), clock.clone(), rand::random);
    engine.connect(Arc::new(mesh.clone()));
    let external = ExternalServices::new(mesh.clone(), clock.clone(), resolver, data);
    let inside = Arc::new(Inside::new(engine.clone(), mesh.clone(), external.clone()));
    engine.connect_inside(inside.clone());
    Ok((engine, mesh, external, inside))
}

fn open_sagas(
    manifest: &Manifest,
    disk: Arc<dyn Disk>,
    data: &Path,
    clock: &Arc<dyn Clock>,
    failpoints: Failpoints,
) -> anyhow::Result<Sagas> {
    let mut options = specs::saga_options(manifest);
    options.log.failpoints = failpoints;
    options.faults = faults::from_environment()?;
    let (sagas, found) = Sagas::open(disk, &data.join("journal"), clock.clone(), &options)?;
    tracing::info!(unfinished = found.unfinished, ?found.log, "opened the saga journal");
    if !found.log.quarantined.is_empty() || found.orphans > 0 {
        tracing::warn!(quarantined = ?found.log.quarantined, orphans = found.orphans, "the saga journal is damaged");
    }
    Ok(sagas)
}

/// The application in its dialect, with the values of its variables; keys that are missing are made.
///
/// # Errors
/// Variables without a value, with their lines; keys that cannot be written.
pub fn application(manifest: Manifest, place: &Place, dialect: Dialect) -> anyhow::Result<(Manifest, Variables)> {
    keys::ensure(&manifest, &place.data)?;
    match dialect {
        Dialect::Weft => {
            let variables = keys::resolve(&manifest, place).map_err(refused)?;
            Ok((manifest, variables))
        }
        Dialect::Spin => {
            let keys = keys::pair(&manifest, place)?;
            let manifest = place.load_as_spin().map_err(refused)?;
            let variables = keys::resolve_with(&manifest, place, keys).map_err(refused)?;
            Ok((manifest, variables))
        }
    }
}

/// Where several hosts count together, and who counts there.
pub struct SharedCounts {
    /// May hold a password.
    url: String,
    application: Arc<str>,
    /// Who counts.
    pub limits: Arc<dyn SharedLimits>,
}

/// Where several hosts count together, if the manifest names a variable for that and it has a value: `known` if it is there. Nobody is
/// asked yet.
///
/// # Errors
/// A URL that cannot be used.
pub fn shared_counts(
    manifest: &Manifest,
    variables: &Variables,
    resolver: &Arc<dyn Resolve>,
    clock: &Arc<dyn Clock>,
    known: Option<Arc<SharedCounts>>,
) -> Result<Option<Arc<SharedCounts>>, Diagnostic> {
    let Some(variable) = &manifest.gateway.shared_limits else { return Ok(None) };
    let Some(url) = variables.get(variable).filter(|url| !url.is_empty()) else { return Ok(None) };
    let application = &manifest.application.name;
    if let Some(known) = known.filter(|known| known.url == url && known.application == *application) {
        return Ok(Some(known));
    }
    let problem = |why| manifest.problem(variable.line, format!("variable `{}`: {why}", variable.value));
    let limits = Arc::new(RedisLimits::new(url, application, resolver, clock).map_err(problem)?);
    Ok(Some(Arc::new(SharedCounts { url: url.to_owned(), application: application.clone(), limits })))
}

/// What is wrong with where several hosts count together.
#[must_use]
pub fn shared_counts_problem(manifest: &Manifest, variables: &Variables) -> Option<Diagnostic> {
    shared_counts(manifest, variables, &system_resolver(), &system_clock(), None).err()
}

fn system_resolver() -> Arc<dyn Resolve> {
    Arc::new(SystemResolver)
}

fn system_clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new(|duration| Box::pin(tokio::time::sleep(duration))))
}

/// The key-value stores and the databases of `spin:sqlite`, each where the runtime configuration says.
fn spins_stores(
    config: &RuntimeConfig,
    data: &Path,
    command: Duration,
    resolver: &Arc<dyn Resolve>,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<(Arc<dyn Store>, Databases)> {
    let transient = runtime_config::transient_folder(data)
        .with_context(|| format!("cannot make room for what does not last in {}", data.display()))?;
    let files = runtime_config::sqlite_files(config, &transient);
    let key_value = key_value_stores(config, (data, &transient), command, resolver, clock)?;
    Ok((key_value, Databases::new(data, clock.clone()).with_files(files)))
}

/// The embedded store in the data directory, with labels elsewhere where the runtime configuration says so: one that does
/// not last is in the second folder.
fn key_value_stores(
    config: &RuntimeConfig,
    (data, transient): (&Path, &Path),
    command: Duration,
    resolver: &Arc<dyn Resolve>,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Arc<dyn Store>> {
    let embedded: Arc<dyn Store> = Arc::new(EmbeddedStore::open(&data.join("kv.db"), clock.clone())?);
    let mut files: BTreeMap<&Path, Arc<dyn Store>> = BTreeMap::new();
    let mut own: BTreeMap<Arc<str>, Arc<dyn Store>> = BTreeMap::new();
    for (number, (label, place)) in config.key_value_stores.iter().enumerate() {
        let store: Arc<dyn Store> = match place {
            KeyValueStore::File(path) => match files.get(&**path) {
                Some(opened) => opened.clone(),
                None => {
                    if let Some(folder) = path.parent() {
                        std::fs::create_dir_all(folder).with_context(|| cannot_open("a key-value store", folder))?;
                    }
                    let opened: Arc<dyn Store> = Arc::new(EmbeddedStore::open(path, clock.clone())?);
                    files.insert(path, opened.clone());
                    opened
                }
            },
            KeyValueStore::Transient => {
                Arc::new(EmbeddedStore::open(&transient.join(format!("kv-{number}.db")), clock.clone())?)
            }
            KeyValueStore::Redis(url) => {
                let store = RedisStore::new(url, command, resolver, clock);
                Arc::new(store.with_context(|| format!("the key-value store {label} of the runtime configuration"))?)
            }
        };
        own.insert(label.clone(), store);
    }
    Ok(if own.is_empty() { embedded } else { Arc::new(Routed::new(own, embedded)) })
}

fn of_contexts<T>(manifest: &Manifest, find: impl Fn(&str) -> Option<T>) -> BTreeMap<Arc<str>, T> {
    manifest.contexts.keys().filter_map(|name| Some((name.clone(), find(name)?))).collect()
}

fn contexts(manifest: &Manifest) -> Vec<ContextSettings> {
    let settings = manifest.contexts.values().map(|context| ContextSettings {
        name: context.name.to_string(),
        migrations: context.folder.as_ref().map(|folder| folder.value.clone()),
    });
    settings.collect()
}

/// How the message log is kept.
fn messaging_options(manifest: &Manifest, schemas: Arc<dyn SchemaCheck>) -> EmbeddedOptions {
    let settings = &manifest.messaging;
    EmbeddedOptions {
        retention: Duration::from_hours(u64::from(settings.retention_days) * 24),
        retention_bytes: settings.retention_mib.map(|mib| u64::from(mib) << 20),
        dedup_window: Duration::from_secs(settings.dedup_window_s.into()),
        dedup_ids: usize::try_from(settings.dedup_ids).unwrap_or(usize::MAX),
        schemas,
        ..EmbeddedOptions::default()
    }
}

/// How much push keeps and lets in. Without its endpoints only inboxes are filled.
fn push_options(manifest: &Manifest) -> PushOptions {
    let options = PushOptions::default();
    match &manifest.gateway.push {
        Some(push) => options.bounded(PushBounds::from(push)),
        None => options,
    }
}

/// The data directory holds keys and personal data: its owner's alone.
///
/// # Errors
/// If it cannot be made or is not ours.
pub fn create_private(data: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    let what = || format!("cannot use the data directory {}", data.display());
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(data).with_context(what)?;
    std::fs::set_permissions(data, std::fs::Permissions::from_mode(0o700)).with_context(what)
}

fn lock(data: &Path) -> anyhow::Result<Box<dyn DiskLock>> {
    match RealDisk.lock(&data.join("lock")) {
        Ok(lock) => Ok(lock),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => bail!(
            "the data directory {} is in use by another host; stop that one, or choose another with --data",
            data.display()
        ),
        Err(error) => Err(error).with_context(|| format!("cannot lock the data directory {}", data.display())),
    }
}

fn cannot_open(what: &str, data: &Path) -> String {
    format!("cannot open {what} in {}", data.display())
}

/// What is wrong with a manifest, or with what it names: each problem with its place.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Refused(pub Vec<Diagnostic>);

/// All diagnostics as one error.
#[must_use]
pub fn refused(problems: Vec<Diagnostic>) -> anyhow::Error {
    Refused(problems).into()
}

/// The engine's refusal, with the places in the manifest.
#[must_use]
pub fn engine_refused(manifest: &Manifest, error: EngineError) -> anyhow::Error {
    match error {
        EngineError::Refused(problems) => {
            refused(problems.iter().map(|problem| specs::located(manifest, problem)).collect())
        }
        EngineError::Load(error) => refused(vec![unloadable(manifest, &error)]),
        other => other.into(),
    }
}

/// A component that cannot be loaded, at the line that names its file.
#[must_use]
pub fn unloadable(manifest: &Manifest, error: &LoadError) -> Diagnostic {
    let file = match error {
        LoadError::Missing(path) | LoadError::Io { path, .. } | LoadError::Invalid { path, .. } => path,
    };
    let sources = |component: &Component| {
        let versions = component.versions.iter().map(|version| version.source.clone());
        std::iter::once(component.source.clone()).chain(versions).collect::<Vec<_>>()
    };
    let source = manifest.running().flat_map(sources).find(|source| source.value == *file);
    manifest.problem(source.map_or(0, |source| source.line), error.to_string())
}
