//! What a call costs in wasmtime alone: a fresh store and instance on a task of its own, from a component that was
//! compiled and linked once, with the pooling allocator and without limits, grants, deadlines or traces.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use wasmtime::component::{Component, ComponentExportIndex, InstancePre, Linker, ResourceTable, Val};
use wasmtime::error::Context as _;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Result, Store, ensure};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

const INTERFACE: &str = "example:greet/greeter@1.0.0";
const FUNCTION: &str = "greet";
/// More than the callee touches: zeroing costs less than faulting pages in, and bare wasmtime is to be at its best.
const KEEP_RESIDENT_BYTES: usize = 256 * 1024;

/// The callee, ready to be called.
pub struct Bare {
    runtime: Runtime,
    callee: Arc<Callee>,
}

struct Callee {
    engine: Engine,
    pre: InstancePre<Data>,
    function: ComponentExportIndex,
}

struct Data {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Data {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl Bare {
    /// Compiles and links the component.
    ///
    /// # Errors
    /// If it is not there or has no such function.
    pub fn new(component: &Path) -> Result<Self> {
        let mut pool = PoolingAllocationConfig::new();
        pool.linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
            .table_keep_resident(KEEP_RESIDENT_BYTES)
            .pagemap_scan(Enabled::Auto);
        let mut config = Config::new();
        config.wasm_component_model_async(true).allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        let engine = Engine::new(&config)?;
        let component = Component::from_file(&engine, component)?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        wasmtime_wasi::p3::add_to_linker(&mut linker)?;
        let interface = component.get_export_index(None, INTERFACE).context("the component has no such interface")?;
        let function = component.get_export_index(Some(&interface), FUNCTION).context("it has no such function")?;
        let pre = linker.instantiate_pre(&component)?;
        Ok(Self { runtime: Runtime::new()?, callee: Arc::new(Callee { engine, pre, function }) })
    }

    /// Calls it a number of times, one after another; how long each took.
    ///
    /// # Errors
    /// If it answers wrongly.
    pub fn calls(&self, number: usize) -> Result<Vec<Duration>> {
        let callee = self.callee.clone();
        let calls = self.runtime.spawn(async move {
            let mut took = Vec::with_capacity(number);
            for _ in 0..number {
                let start = Instant::now();
                tokio::spawn(call(callee.clone())).await??;
                took.push(start.elapsed());
            }
            wasmtime::error::Ok(took)
        });
        self.runtime.block_on(calls)?
    }
}

async fn call(callee: Arc<Callee>) -> Result<()> {
    let data = Data { wasi: WasiCtx::builder().build(), table: ResourceTable::new() };
    let mut store = Store::new(&callee.engine, data);
    let instance = callee.pre.instantiate_async(&mut store).await?;
    let function = instance.get_func(&mut store, callee.function).context("it has no such function")?;
    let arguments = [Val::String("key".to_owned()), Val::String("world".to_owned())];
    let mut results = [Val::Bool(false)];
    store.run_concurrent(async |accessor| function.call_concurrent(accessor, &arguments, &mut results).await).await??;
    let right = Val::Result(Ok(Some(Box::new(Val::String("Hello, world!".to_owned())))));
    ensure!(results == [right], "bare wasmtime answered {results:?}");
    Ok(())
}
