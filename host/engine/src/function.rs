//! One function, ready to run: compiled, linked, its exports looked up once. Making a store for an instance of it is
//! the hot path of the whole host.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::task::JoinHandle;
use wasmtime::Store;
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, ComponentExportIndex, InstancePre};

use weft_capability::gate::Gate;
use weft_core::CallContext;

use crate::background::Pace;
use crate::calling::Calling;
use crate::capabilities::{CapabilityStates, Granted};
use crate::http::HttpEntry;
use crate::limits::{self, InstanceLimits};
use crate::meter::CpuMeter;
use crate::output::OutputRate;
use crate::pool::Pool;
use crate::reused;
use crate::shared::Shared;
use crate::spec::FunctionSpec;
use crate::state::StoreData;
use crate::wasi::{self, Terminal};

/// A component of the manifest, ready to run.
pub(crate) struct Function {
    pub spec: Arc<FunctionSpec>,
    pub digest: Arc<str>,
    pub granted: Granted,
    pub pre: InstancePre<StoreData>,
    pub exports: Exports,
    pub http: Option<HttpEntry>,
    /// Those that serve several typed calls.
    pub instances: Arc<Pool<reused::Call>>,
    pub output_rate: Arc<OutputRate>,
    pub pace: Arc<Pace>,
    pub shared: Arc<Shared>,
}

/// Exported functions by interface and name.
#[derive(Default)]
pub(crate) struct Exports(HashMap<String, HashMap<String, Export>>);

/// One exported function.
#[derive(Clone)]
pub(crate) struct Export {
    pub index: ComponentExportIndex,
    pub results: usize,
    pub ty: ComponentFunc,
}

impl Exports {
    /// All functions in exported interfaces of a component.
    pub fn of(component: &Component) -> Self {
        let engine = component.engine();
        let mut exports = Self::default();
        for (interface, item) in component.component_type().exports(engine) {
            let ComponentItem::ComponentInstance(instance) = item.ty else { continue };
            let Some((_, parent)) = component.get_export(None, interface) else { continue };
            for (name, item) in instance.exports(engine) {
                let ComponentItem::ComponentFunc(ty) = item.ty else { continue };
                let Some((_, index)) = component.get_export(Some(&parent), name) else { continue };
                let results = ty.results().len();
                let export = Export { index, results, ty };
                exports.0.entry(interface.to_owned()).or_default().insert(name.to_owned(), export);
            }
        }
        exports
    }

    /// Looks a function up.
    pub fn get(&self, interface: &str, function: &str) -> Option<&Export> {
        self.0.get(interface)?.get(function)
    }

    /// Whether an interface is exported.
    pub fn has(&self, interface: &str) -> bool {
        self.0.contains_key(interface)
    }

    /// All functions, with the interfaces they are in.
    pub fn functions(&self) -> impl Iterator<Item = (&str, &str, &Export)> {
        self.0.iter().flat_map(|(interface, functions)| {
            functions.iter().map(move |(name, export)| (interface.as_str(), name.as_str(), export))
        })
    }
}

impl Function {
    pub fn export(&self, interface: &str, function: &str) -> Option<&Export> {
        self.exports.get(interface, function)
    }

    /// Runs one of its calls on a task, where its pace puts it.
    pub fn spawn<F>(&self, call: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        self.pace.spawn(&*self.shared.clock, &self.shared.background, call)
    }

    /// A store for an instance that serves one call. `durable_key` is the saga's key if the function is durable.
    pub fn store(&self, context: CallContext, durable_key: Option<&str>) -> Store<StoreData> {
        let trace_id = context.trace.as_ref().map(|trace| trace.trace_id.clone());
        let gate = Gate::new(self.spec.durable).mirrored(context.mirrored);
        let mut store = self.bare_store(gate, trace_id, durable_key, None, Some(&context));
        store.data_mut().calling = Calling::one(context);
        store
    }

    /// A store for an instance that runs once as a projection, without effects, and sees no time and no chance.
    pub fn projection_store(&self, context: CallContext) -> Store<StoreData> {
        let mut store = self.bare_store(Gate::of_projection(), None, Some(&self.spec.id), None, Some(&context));
        store.data_mut().calling = Calling::one(context);
        store
    }

    /// A store for an instance that runs once as a command.
    pub fn command_store(&self, context: CallContext, terminal: &Terminal) -> Store<StoreData> {
        let mut store = self.bare_store(Gate::new(self.spec.durable), None, None, Some(terminal), Some(&context));
        store.data_mut().calling = Calling::one(context);
        store
    }

    /// A store for an instance that serves requests one after another; each brings its own context. All of them are mirrored, or none.
    pub fn reusable_store(&self, mirrored: bool) -> Store<StoreData> {
        self.bare_store(Gate::new(self.spec.durable).mirrored(mirrored), None, None, None, None)
    }

    fn bare_store(
        &self,
        gate: Gate,
        trace_id: Option<Arc<str>>,
        seed: Option<&str>,
        terminal: Option<&Terminal>,
        context: Option<&CallContext>,
    ) -> Store<StoreData> {
        let gate = gate.holding_at_most(self.spec.limits.value_bytes);
        let capabilities = CapabilityStates::new(self, &gate, context);
        let wasi = wasi::context(self, trace_id, seed, terminal, &capabilities);
        let mut http = wasmtime_wasi_http::WasiHttpCtx::new();
        http.set_field_size_limit(self.spec.limits.header_bytes);
        let epoch = self.shared.epoch;
        let meter = CpuMeter::new(self.spec.limits.cpu, epoch, self.pace.clone(), self.shared.clock.clone());
        let data = StoreData {
            function: self.spec.clone(),
            shared: self.shared.clone(),
            calling: Calling::default(),
            gate,
            limits: InstanceLimits::new(&self.spec.limits, epoch, self.shared.memory.clone(), meter),
            capabilities,
            wasi,
            http,
            table: limits::resource_table(&self.spec),
        };
        let mut store = Store::new(self.pre.engine(), data);
        limits::install(&mut store, &self.spec);
        store
    }
}
