//! An engine with nothing behind it but what calls between functions need: no policy, no broker, no databases.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use wasmtime::component::Val;

use weft_capability::kv::embedded::Embedded;
use weft_capability::otel::{Signal, Telemetry};
use weft_capability::outbound::SystemResolver;
use weft_capability::schema::AcceptAll;
use weft_capability::spin_sqlite::Databases;
use weft_core::{Call, CallContext, Clock, Failure, Invocation, Runner as _, SystemClock, Target};
use weft_engine::{
    Engine, EngineOptions, FunctionSpec, Grants, InstanceSpec, InvokeAnswer, InvokeError, LogSink, OutputStream,
    OutputWriter, Services, Source,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// Calls go to the engine without any policy.
struct Direct(Engine);

impl Call<Val> for Direct {
    fn call(&self, invocation: Invocation<Val>) -> BoxFuture<'static, Result<Vec<Val>, Failure>> {
        self.0.run(invocation)
    }
}

/// Nothing is told by `wasi:otel`.
struct Untold;

impl Telemetry for Untold {
    fn record(&self, _: &Arc<str>, _: Signal, _: Option<&Arc<str>>, _: String) {}
}

/// When a component of this name opens its output, the host panics.
pub const PANICS: &str = "panics";

/// Nothing is logged.
struct Silent;

impl LogSink for Silent {
    fn writer(&self, component: &Arc<str>, _: OutputStream, _: Option<Arc<str>>) -> OutputWriter {
        assert_ne!(&**component, PANICS, "as the test wants it");
        Box::new(|_| ())
    }
}

/// The engine, with a folder of its own.
pub struct Bench {
    pub engine: Engine,
    runtime: Runtime,
    folder: TempDir,
    clock: Arc<dyn Clock>,
}

impl Bench {
    pub fn new() -> Self {
        Self::with(EngineOptions { max_instances: 16, ..EngineOptions::default() })
    }

    pub fn with(options: EngineOptions) -> Self {
        let clock = SystemClock::new(|time| Box::pin(tokio::time::sleep(time)));
        Self::on(Runtime::new().unwrap(), Arc::new(clock), options)
    }

    pub fn on(runtime: Runtime, clock: Arc<dyn Clock>, options: EngineOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let entered = runtime.enter();
        let services = Services {
            databases: Default::default(),
            event_stores: Default::default(),
            key_value: Arc::new(Embedded::open(&folder.path().join("kv.db"), clock.clone()).unwrap()),
            spin_sqlite: Databases::new(folder.path(), clock.clone()),
            broker: None,
            push: None,
            schemas: Arc::new(AcceptAll),
            sagas: None,
            resolver: Arc::new(SystemResolver),
            telemetry: Arc::new(Untold),
        };
        let engine = Engine::new(&options, folder.path(), clock.clone(), services, Arc::new(Silent)).unwrap();
        engine.connect(Arc::new(Direct(engine.clone())));
        drop(entered);
        Self { engine, runtime, folder, clock }
    }

    /// A component of these bytes, with the limits that there are by default.
    pub fn spec(&self, id: &str, bytes: &[u8]) -> FunctionSpec {
        let path = self.folder.path().join(format!("{id}.wasm"));
        std::fs::write(&path, bytes).unwrap();
        FunctionSpec {
            id: id.into(),
            version: None,
            source: Source { path, composed: None },
            calls: Default::default(),
            grants: Grants::default(),
            durable: false,
            serves_http: false,
            optional: false,
            required_exports: Vec::new(),
            files: None,
            environment: Vec::new(),
            limits: InstanceSpec::default(),
            reuse: None,
        }
    }

    pub fn call(
        &self,
        component: &str,
        interface: &str,
        function: &str,
        arguments: Vec<Val>,
    ) -> Result<Vec<Val>, Failure> {
        let target = Target { component: component.into(), interface: interface.into(), function: function.into() };
        self.runtime.block_on(async { self.start(target, arguments).await })
    }

    /// Calls that begin at the same time, with each of these arguments.
    pub fn call_all(&self, target: &Target, arguments: Vec<Vec<Val>>) -> Vec<Result<Vec<Val>, Failure>> {
        self.runtime.block_on(async {
            let calls = arguments.into_iter().map(|arguments| self.start(target.clone(), arguments));
            futures::future::join_all(calls).await
        })
    }

    /// Lets all tasks that are ready have their turn, where the runtime has one thread.
    pub fn give_way(&self) {
        self.runtime.block_on(async {
            for _ in 0..8 {
                tokio::task::yield_now().await;
            }
        });
    }

    fn start(&self, target: Target, arguments: Vec<Val>) -> BoxFuture<'static, Result<Vec<Val>, Failure>> {
        let context = CallContext::of_host(self.clock.monotonic() + PATIENCE);
        self.engine.run(Invocation { target, arguments: arguments.into(), keyed: false, context })
    }

    pub fn invoke(&self, component: &str, function: &str, arguments: &str) -> Result<InvokeAnswer, InvokeError> {
        let calls = Direct(self.engine.clone());
        self.runtime.block_on(self.engine.invoke(&calls, component, function, arguments, PATIENCE))
    }
}
