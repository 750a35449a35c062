//! The engine: holds the application's functions, swaps them when the application changes, keeps the older ones that durable functions
//! began with, and those of an older deployment for requests that began under it. Running them is `instance` and `http`.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::future::{BoxFuture, Either, select};
use wasmtime::component::Val;

use weft_capability::outbound::glue::Inside;
use weft_capability::projection::glue::{self as projection, PROJECT, PROJECTION};
use weft_capability::projection::{ProjectError, SourceEvent};
use weft_capability::sql::Statement;
use weft_core::{Call, CallContext, Clock, Failure, Fault, Generation, Invocation, Reason, Target, Trace};

use crate::background::{Background, Pace};
use crate::capabilities::{Granted, Services};
use crate::check;
use crate::config::EngineOptions;
use crate::deployed::{Deployed, FunctionSet, Functions};
use crate::function::{Exports, Function};
use crate::http;
use crate::instance;
use crate::loader::{LoadError, Loaded};
use crate::memory::HostMemory;
use crate::output::{LogSink, OutputRate};
use crate::pool::Pool;
use crate::runtime::Runtimes;
use crate::shared::{CallSlot, Shared};
use crate::spec::{FunctionSpec, NamedFunction};

/// Why the engine or a function of it could not be made ready.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A component's file.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Components whose imports are not granted or do not fit; all of them.
    #[error("{} problem(s) in the components", .0.len())]
    Refused(Vec<check::Problem>),
    /// wasmtime refused its configuration or a component.
    #[error("{0}")]
    Wasmtime(String),
}

/// By component and digest.
type Versions = HashMap<(Arc<str>, Arc<str>), Arc<Function>>;

/// Runs the functions of one application. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    runtimes: Runtimes,
    deployed: ArcSwap<Deployed>,
    /// Functions that sagas began with and that are no longer current.
    kept: Mutex<Versions>,
}

/// Interface and function by which recovery resumes a saga.
pub(crate) const RESUMABLE: &str = "weft:durable/resumable@0.1.0";

impl Engine {
    /// An engine without functions, which keeps its compiled code under `data`.
    ///
    /// # Errors
    /// [`EngineError`] if the machine cannot run it or `data` cannot be written.
    pub fn new(
        options: &EngineOptions,
        data: &Path,
        clock: Arc<dyn Clock>,
        services: Services,
        logs: Arc<dyn LogSink>,
    ) -> Result<Self, EngineError> {
        let runtimes = Runtimes::new(options, data)?;
        let epoch = Duration::from_millis(options.epoch_ms.max(1));
        let (calls, inside, background) = (CallSlot::default(), OnceLock::new(), Background::new());
        let memory = HostMemory::new(options.memory_bytes());
        let shared = Arc::new(Shared { clock, epoch, services, logs, calls, inside, memory, background });
        let inner = Inner { shared, runtimes, deployed: ArcSwap::default(), kept: Mutex::default() };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Says where calls between functions go. To be called once, before the first request.
    pub fn connect(&self, calls: Arc<dyn Call<Val>>) {
        if !self.inner.shared.calls.connect(calls) {
            tracing::error!("calls were connected twice; the first connection stays");
        }
    }

    /// Says who serves HTTP requests between functions. To be called once, before the first request.
    pub fn connect_inside(&self, inside: Arc<dyn Inside>) {
        if self.inner.shared.inside.set(inside).is_err() {
            tracing::error!("requests between functions were connected twice; the first connection stays");
        }
    }

    /// Replaces all functions at once. Requests in flight end on the functions that they began with.
    ///
    /// # Errors
    /// [`EngineError`] if any function cannot be loaded or is refused; then nothing is replaced.
    pub fn deploy(&self, specs: Vec<FunctionSpec>) -> Result<(), EngineError> {
        self.prepare(specs, Vec::new(), &[]).map(|prepared| self.publish(prepared))
    }

    /// Makes functions ready, versions that stand among `specs`, and those `beside` them.
    ///
    /// # Errors
    /// [`EngineError`] if anything of `specs` cannot be loaded or is refused, or one of `named` is not there.
    pub fn prepare(
        &self,
        specs: Vec<FunctionSpec>,
        beside: Vec<FunctionSpec>,
        named: &[NamedFunction],
    ) -> Result<FunctionSet, EngineError> {
        let (declared, specs): (Vec<_>, Vec<_>) = specs.into_iter().partition(|spec| spec.version.is_some());
        let (loaded, absent) = self.inner.runtimes.load_all(specs)?;
        let all: Vec<_> = loaded.iter().map(|(spec, loaded)| (spec, &loaded.component)).collect();
        let problems = check::check(&all, &absent, named, self.inner.runtimes.world());
        if !problems.is_empty() {
            return Err(EngineError::Refused(problems));
        }
        let (mut versions, mut left_out) = (Vec::new(), Vec::new());
        for spec in declared {
            versions.push(self.version_beside(&spec, &all, &absent)?);
        }
        for spec in beside {
            match self.version_beside(&spec, &all, &absent) {
                Ok(function) => versions.push(function),
                Err(error) => left_out.push((spec, error)),
            }
        }
        let mut functions = Functions::with_capacity(loaded.len());
        functions.extend(versions.into_iter().map(|function| (function.spec.name(), function)));
        for (spec, loaded) in loaded {
            if spec.durable {
                self.inner.runtimes.loader().keep(&spec.source.path, &loaded.digest)?;
            }
            let function = self.link(Arc::new(spec), &loaded)?;
            functions.insert(function.spec.name(), function);
        }
        let deployed = Arc::new(Deployed { functions: ArcSwap::from_pointee(functions), absent });
        Ok(FunctionSet { deployed, left_out })
    }

    /// Replaces all functions at once. Requests in flight end on the functions that they began with.
    pub fn publish(&self, prepared: FunctionSet) {
        self.inner.deployed.store(prepared.deployed);
        // They are linked again when a saga asks for them, with what the manifest grants now.
        self.kept().clear();
    }

    /// Puts a version beside the functions that run; they go on as they are. To be called by one at a time, and not while all are replaced.
    ///
    /// # Errors
    /// [`EngineError`] if it cannot be loaded, or does not fit in the place of the other; then nothing has changed.
    pub fn deploy_version(&self, spec: &FunctionSpec) -> Result<(), EngineError> {
        let deployed = self.inner.deployed.load();
        let running = deployed.functions.load_full();
        let named = running.values().filter(|function| function.spec.version.is_none());
        let named: Vec<_> = named.map(|function| (&*function.spec, function.pre.component())).collect();
        let function = self.version_beside(spec, &named, &deployed.absent)?;
        let mut functions = Functions::clone(&running);
        functions.insert(spec.name(), function);
        deployed.functions.store(Arc::new(functions));
        Ok(())
    }

    /// Takes a version away. Calls that name it go to the function that the manifest names from here on.
    pub fn remove_version(&self, name: &str) {
        let deployed = self.inner.deployed.load();
        let mut functions = Functions::clone(&deployed.functions.load());
        functions.remove(name);
        deployed.functions.store(Arc::new(functions));
    }

    fn version_beside(
        &self,
        spec: &FunctionSpec,
        named: &[check::Candidate<'_>],
        absent: &[Arc<str>],
    ) -> Result<Arc<Function>, EngineError> {
        let loaded = self.inner.runtimes.of(spec)?.loader.load(&spec.source)?;
        let problems = check::check_version((spec, &loaded.component), named, absent, self.inner.runtimes.world());
        if problems.is_empty() {
            self.link(Arc::new(spec.clone()), &loaded)
        } else {
            Err(EngineError::Refused(problems))
        }
    }

    fn link(&self, spec: Arc<FunctionSpec>, loaded: &Loaded) -> Result<Arc<Function>, EngineError> {
        let refused = |error: wasmtime::Error| EngineError::Wasmtime(format!("component {}: {error:#}", spec.id));
        let pre = self.inner.runtimes.of(&spec)?.linkers.link(&loaded.component, &spec);
        let pre = pre.map_err(|error| EngineError::Refused(vec![check::unlinkable(&spec, &error)]))?;
        let shared = self.inner.shared.clone();
        let http = http::proxy(&loaded.component, &pre, &shared).map_err(refused)?;
        let exports = Exports::of(&loaded.component);
        let granted = Granted::new(&spec.grants, &shared.services, &shared.clock)
            .map_err(|error| EngineError::Wasmtime(format!("component {}: {error}", spec.id)))?;
        let digest = loaded.digest.clone();
        let output_rate = Arc::new(OutputRate::new(spec.limits.output_bytes_per_second, shared.clock.clone()));
        let (instances, pace) = (Pool::new(shared.clone()), Arc::new(Pace::of(&spec.grants)));
        Ok(Arc::new(Function { spec, digest, granted, pre, exports, http, instances, output_rate, pace, shared }))
    }

    /// The ids of all functions.
    #[must_use]
    pub fn function_ids(&self) -> Vec<Arc<str>> {
        self.inner.deployed.load().functions.load().keys().cloned().collect()
    }

    /// What the linear memories of all instances have together, and what they may have, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> (u64, u64) {
        self.inner.shared.memory.used_and_limit()
    }

    /// The digest of a function's component.
    #[must_use]
    pub fn digest(&self, component: &str) -> Option<Arc<str>> {
        self.function(component).map(|function| function.digest.clone())
    }

    /// That which runs now.
    pub(crate) fn function(&self, name: &str) -> Option<Arc<Function>> {
        self.inner.deployed.load().find(name)
    }

    /// That which ran when a request began.
    pub(crate) fn function_of(&self, generation: Option<&Generation>, name: &str) -> Option<Arc<Function>> {
        match generation.and_then(Generation::functions::<Deployed>) {
            Some(deployed) => deployed.find(name),
            None => self.function(name),
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.inner.shared
    }

    /// Goes on with a saga on the component that it began with.
    ///
    /// # Errors
    /// [`Failure`] if that component is gone or its run ended without an answer.
    pub fn resume(&self, component: &str, digest: &str, key: &str) -> BoxFuture<'static, Result<(), Failure>> {
        let function = match self.version(component, digest) {
            Ok(function) => function,
            Err(failure) => return Box::pin(async { Err(failure) }),
        };
        let target =
            Target { component: function.spec.id.clone(), interface: RESUMABLE.into(), function: "resume".into() };
        // What the saga does from here on belongs to the same operation as what it did before.
        let correlation_id = self.inner.shared.services.sagas.as_ref().and_then(|sagas| sagas.correlation_of(key));
        let is_trace = |id: &Arc<str>| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let trace =
            correlation_id.filter(is_trace).map(|trace_id| Trace { trace_id, span_id: weft_core::id::new_span_id() });
        let context = CallContext { trace, ..CallContext::of_host(Duration::MAX) };
        let arguments = [Val::String(key.to_owned())].into();
        let run = instance::run_in(function, Invocation { target, arguments, keyed: true, context });
        Box::pin(async move {
            match run.await?.as_slice() {
                [Val::Result(Ok(_))] => Ok(()),
                [Val::Result(Err(Some(error)))] => {
                    let Val::String(message) = &**error else { return Ok(()) };
                    Err(Failure::unknown(Fault::Guest, Reason::Unavailable, message.clone()))
                }
                _ => Err(Failure::unknown(Fault::Guest, Reason::Internal, "resume answered something else")),
            }
        })
    }

    /// Has a projection's function answer statements for some events. Whatever it is granted, it has no effects.
    ///
    /// # Errors
    /// [`Failure`] if the function does not answer within `deadline`, on the clock's monotonic time.
    pub fn project(
        &self,
        component: &str,
        events: &[SourceEvent],
        deadline: Duration,
    ) -> BoxFuture<'static, Result<Vec<Statement>, ProjectError>> {
        let Some(function) = self.function(component) else {
            let message = format!("there is no component {component}");
            let failure = Failure::not_attempted(Fault::Host, Reason::Unavailable, message);
            return Box::pin(async { Err(failure.into()) });
        };
        let target =
            Target { component: function.spec.id.clone(), interface: PROJECTION.into(), function: PROJECT.into() };
        let context = CallContext::of_host(deadline);
        let clock = self.inner.shared.clock.clone();
        let left = deadline.saturating_sub(clock.monotonic());
        let store = function.projection_store(context);
        let parameters = projection::parameters(events);
        let run = instance::run_typed::<_, projection::Results>(function, target, store, parameters);
        Box::pin(async move {
            let late = async {
                clock.sleep(left).await;
                Err(Failure::unknown(Fault::Guest, Reason::Deadline, "the function did not answer in time"))
            };
            let (Either::Left((answer, _)) | Either::Right((answer, _))) = select(run, Box::pin(late)).await;
            let (statements,) = answer?;
            let statements = statements.map_err(ProjectError::Refused)?;
            Ok(statements.into_iter().map(Statement::from).collect())
        })
    }

    /// A function at a digest: the current one, or one that was kept.
    fn version(&self, component: &str, digest: &str) -> Result<Arc<Function>, Failure> {
        let gone = |message: String| Failure::not_attempted(Fault::Host, Reason::Unavailable, message);
        let current = self.function(component).ok_or_else(|| gone(format!("there is no component {component}")))?;
        if *current.digest == *digest {
            return Ok(current);
        }
        let id = (current.spec.id.clone(), Arc::from(digest));
        if let Some(function) = self.kept().get(&id) {
            return Ok(function.clone());
        }
        let older = self.inner.runtimes.of(&current.spec).and_then(|runtime| Ok(runtime.loader.load_kept(digest)?));
        let older = older.map_err(|error| {
            gone(format!("the component {component} that this saga began with cannot be loaded: {error}"))
        })?;
        let function = self.link(current.spec.clone(), &older).map_err(|error| {
            gone(format!("the component {component} that this saga began with cannot be linked: {error}"))
        })?;
        self.kept().insert(id, function.clone());
        Ok(function)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Versions> {
        self.inner.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Loads functions and holds them against their grants, without running anything. Compiled code is kept under `data`.
///
/// # Errors
/// As [`Engine::prepare`].
pub fn check_functions(
    options: &EngineOptions,
    data: &Path,
    specs: Vec<FunctionSpec>,
    named: &[NamedFunction],
) -> Result<(), EngineError> {
    let runtimes = Runtimes::new(options, data)?;
    let (declared, specs): (Vec<_>, Vec<_>) = specs.into_iter().partition(|spec| spec.version.is_some());
    let (loaded, absent) = runtimes.load_all(specs)?;
    let all: Vec<_> = loaded.iter().map(|(spec, loaded)| (spec, &loaded.component)).collect();
    let mut problems = check::check(&all, &absent, named, options.world);
    if problems.is_empty() {
        for (spec, loaded) in &loaded {
            let linked = runtimes.of(spec)?.linkers.link(&loaded.component, spec);
            problems.extend(linked.err().map(|error| check::unlinkable(spec, &error)));
        }
        for spec in &declared {
            let loaded = runtimes.of(spec)?.loader.load(&spec.source)?;
            problems.extend(check::check_version((spec, &loaded.component), &all, &absent, options.world));
            let linked = runtimes.of(spec)?.linkers.link(&loaded.component, spec);
            problems.extend(linked.err().map(|error| check::unlinkable(spec, &error)));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(EngineError::Refused(problems)) }
}
