//! A host that stands: the engine, the mesh and the state engines of one application. Putting it together is
//! `assemble`, serving it `commands::up`, talking to it from outside `control`. Deploying a manifest into it is in [`deployment`], what is
//! deployed beside the manifest's components in [`beside`].

mod beside;
mod deployment;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio_util::task::AbortOnDropHandle;

use weft_capability::events::EventStore;
use weft_capability::kv::Store;
use weft_capability::messaging::Broker;
use weft_capability::outbound::Resolve;
use weft_capability::outbox::OutboxSource;
use weft_capability::projection::{LogSource, ProjectionParts, Projections, ReadModels, Source, StoreSource};
use weft_capability::push::PushHub;
use weft_capability::schema::Registry;
use weft_capability::spin_sqlite::Databases;
use weft_core::answers::Answers;
use weft_core::disk::DiskLock;
use weft_core::manifest::{Manifest, ProjectionSource, Variables};
use weft_core::{Call as _, CallContext, Clock, Failure, Invocation, Target};
use weft_durable::Sagas;
use weft_engine::{Engine, Value};
use weft_mesh::Mesh;
use weft_telemetry::GuestLogs;

use crate::assemble::Place;
use crate::choreographing::Choreographing;
use crate::inside::Inside;
use crate::services::ExternalServices;
use crate::specs;
use crate::versions::Versions;
use crate::wiring::{Delivering, Projecting, Resuming, Scheduling};

use deployment::Deployed;
pub use deployment::Prepared;

/// How long the deliveries in work may take to finish when the host goes down.
const DELIVERY_GRACE: Duration = Duration::from_secs(10);
/// How long a startup function may take.
const STARTUP_DEADLINE: Duration = Duration::from_secs(60);

/// What a host is made of.
pub struct Parts {
    /// Where its application and its data are.
    pub place: Place,
    /// The machine's time.
    pub clock: Arc<dyn Clock>,
    /// Resolves the names of other hosts.
    pub resolver: Arc<dyn Resolve>,
    /// Runs functions.
    pub engine: Engine,
    /// Calls them under policy.
    pub mesh: Mesh<Value>,
    /// Serves HTTP requests between functions.
    pub inside: Arc<Inside>,
    /// Asks services outside of it.
    pub external: ExternalServices,
    /// Where events leave the databases of the contexts.
    pub outboxes: Vec<Arc<dyn OutboxSource>>,
    /// Finishes what the databases have taken in and closes them. Blocks.
    pub close_databases: Box<dyn Fn() + Send + Sync>,
    /// The key-value stores.
    pub key_value: Arc<dyn Store>,
    /// What repeated requests are answered.
    pub answers: Arc<dyn Answers>,
    /// The databases of `spin:sqlite`.
    pub spin_sqlite: Databases,
    /// Messaging.
    pub broker: Arc<dyn Broker>,
    /// Push to clients.
    pub push: Arc<dyn PushHub>,
    /// What events have to look like.
    pub schemas: Arc<Registry>,
    /// Durable functions.
    pub sagas: Sagas,
    /// Read models.
    pub projections: Projections,
    /// The event store of each context.
    pub event_stores: BTreeMap<Arc<str>, Arc<dyn EventStore>>,
    /// Where each context keeps read models.
    pub read_models: BTreeMap<Arc<str>, Arc<dyn ReadModels>>,
    /// What functions write.
    pub logs: GuestLogs,
    /// Held as long as the host lives.
    pub _lock: Box<dyn DiskLock>,
}

/// One application with its state.
pub struct Host {
    parts: Parts,
    deployed: Deployed,
    /// What is deployed beside the manifest's components.
    versions: Versions,
    scheduling: Mutex<Option<tokio::task::JoinHandle<()>>>,
    /// Ends with the host.
    checking: Mutex<Option<AbortOnDropHandle<()>>>,
}

impl Host {
    /// A host of these parts with this application. Blocks; to be called inside a runtime, off its threads.
    ///
    /// # Errors
    /// As [`Host::prepare`].
    pub fn new(parts: Parts, manifest: Manifest, variables: &Variables) -> anyhow::Result<Self> {
        let versions = Versions::open(&parts.place.data)?;
        let deployed = Deployed::first(&parts, &versions, manifest, variables)?;
        let host = Self { parts, deployed, versions, scheduling: Mutex::default(), checking: Mutex::default() };
        host.drop_overtaken();
        host.parts.external.restore()?;
        Ok(host)
    }

    /// Lets sagas go on, events flow, and the startup functions run. Answers what those have to say.
    ///
    /// # Errors
    /// If messaging cannot begin or a startup function fails: the host is not ready then.
    pub async fn start(&self) -> anyhow::Result<Vec<String>> {
        let parts = &self.parts;
        tokio::spawn(parts.sagas.recover(Arc::new(Resuming(parts.engine.clone()))));
        for outbox in &parts.outboxes {
            parts.broker.forward(outbox.clone());
        }
        self.serve_subscriptions().await?;
        self.serve_projections().await?;
        let told = self.run_startup().await?;
        self.run_schedules();
        let external = parts.external.clone();
        let checking = tokio::spawn(async move { external.check_instances().await });
        *self.checking.lock().unwrap_or_else(PoisonError::into_inner) = Some(AbortOnDropHandle::new(checking));
        Ok(told)
    }

    /// Makes the manifest's subscriptions the ones that are served.
    ///
    /// # Errors
    /// If messaging cannot read where they stand.
    pub async fn serve_subscriptions(&self) -> anyhow::Result<()> {
        let parts = &self.parts;
        let manifest = self.manifest();
        let choreographing = Arc::new(Choreographing::new(&manifest, parts.sagas.clone(), parts.clock.clone()));
        let (engine, mesh, clock) = (parts.engine.clone(), parts.mesh.clone(), parts.clock.clone());
        let delivering = Delivering { engine, mesh, clock, choreographing };
        let subscriptions = specs::subscriptions(&manifest);
        parts.broker.serve(subscriptions, Arc::new(delivering)).await.context("cannot serve the subscriptions")
    }

    /// Makes the manifest's projections the ones that run.
    ///
    /// # Errors
    /// If it cannot be known how they stand.
    pub async fn serve_projections(&self) -> anyhow::Result<()> {
        let parts = &self.parts;
        let project = Arc::new(Projecting { engine: parts.engine.clone(), clock: parts.clock.clone() });
        let mut served = Vec::new();
        for projection in specs::projections(&self.manifest()) {
            let kinds: Vec<String> = projection.rules.types.iter().map(ToString::to_string).collect();
            let source: Option<Arc<dyn Source>> = match &projection.rules.source {
                ProjectionSource::Store(context) => parts.event_stores.get(&context.value).map(|store| {
                    let source: Arc<dyn Source> = Arc::new(StoreSource::new(store.clone(), kinds));
                    source
                }),
                ProjectionSource::Log(topic) => {
                    Some(Arc::new(LogSource::new(parts.broker.clone(), topic.clone(), kinds)))
                }
            };
            let models = parts.read_models.get(&projection.context).cloned();
            // That all contexts are open was seen to when the manifest was prepared.
            let (Some(source), Some(models)) = (source, models) else {
                bail!("projection {}: its context is not open", projection.id())
            };
            served.push(ProjectionParts { projection, source, models, project: project.clone() });
        }
        parts.projections.serve(served).await.context("cannot run the projections")
    }

    /// Makes the manifest's schedules the ones that are kept to.
    pub fn run_schedules(&self) {
        let (parts, manifest) = (&self.parts, self.manifest());
        let schedules = specs::schedules(&manifest);
        let scheduling = Scheduling {
            engine: parts.engine.clone(),
            mesh: parts.mesh.clone(),
            sagas: parts.sagas.clone(),
            functions: specs::scheduled_functions(&manifest),
        };
        let sagas = parts.sagas.clone();
        let running = tokio::spawn(async move { sagas.run_schedules(schedules, Arc::new(scheduling)).await });
        let before = self.scheduling.lock().unwrap_or_else(PoisonError::into_inner).replace(running);
        if let Some(before) = before {
            before.abort();
        }
    }

    async fn run_startup(&self) -> anyhow::Result<Vec<String>> {
        let mut told = Vec::new();
        for component in &self.manifest().startup {
            let target =
                Target { component: component.value.clone(), interface: specs::STARTUP.into(), function: "run".into() };
            let results = self.call(target, Vec::new(), STARTUP_DEADLINE).await;
            let results = results.with_context(|| format!("startup function {}", component.value))?;
            match results.as_slice() {
                [Value::Result(Ok(Some(answer)))] => {
                    if let Value::Option(Some(text)) = &**answer {
                        told.extend(string(text));
                    }
                }
                [Value::Result(Err(error))] => {
                    let message = error.as_deref().and_then(string).unwrap_or_default();
                    bail!("startup function {}: {message}", component.value);
                }
                _ => bail!("startup function {} answered something else", component.value),
            }
        }
        Ok(told)
    }

    /// The application's manifest.
    #[must_use]
    pub fn manifest(&self) -> Arc<Manifest> {
        self.deployed.manifest.load_full()
    }

    /// What it is made of.
    #[must_use]
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Calls a function as the operator.
    ///
    /// # Errors
    /// [`Failure`] if there is no answer.
    pub async fn call(&self, target: Target, arguments: Vec<Value>, within: Duration) -> Result<Vec<Value>, Failure> {
        let deadline = self.parts.clock.monotonic() + within;
        let context = CallContext::of_host(deadline);
        self.parts.mesh.call(Invocation { target, arguments: arguments.into(), keyed: false, context }).await
    }

    /// Ends projections and deliveries, then sagas, then the databases that both write to. Sagas that have not ended go on at the next
    /// start.
    ///
    /// # Errors
    /// If something could not be flushed.
    pub async fn shutdown(self: Arc<Self>) -> anyhow::Result<()> {
        self.parts.projections.shutdown().await;
        self.parts.broker.shutdown(DELIVERY_GRACE).await;
        let closing = move || -> anyhow::Result<()> {
            let parts = &self.parts;
            // What comes after a journal that cannot be flushed is closed all the same.
            let flushed = parts.sagas.shutdown();
            (parts.close_databases)();
            parts.logs.flush();
            flushed.context("cannot flush the saga journal")
        };
        tokio::task::spawn_blocking(closing).await?
    }
}

fn string(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        _ => None,
    }
}
