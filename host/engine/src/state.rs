//! What a store holds: one instance's WASI context, its limits, the context of its requests, and a piece of state for
//! each capability. Built for every instance, so everything costly is shared behind an `Arc`.

use std::sync::Arc;

use wasmtime::StoreContextMut;
use wasmtime::component::{GuestTaskId, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use weft_capability::gate::Gate;
use weft_core::CallContext;

use crate::calling::Calling;
use crate::capabilities::CapabilityStates;
use crate::limits::{self, HasLimits, InstanceLimits};
use crate::shared::Shared;
use crate::spec::FunctionSpec;

pub(crate) struct StoreData {
    pub function: Arc<FunctionSpec>,
    pub shared: Arc<Shared>,
    pub calling: Calling,
    pub gate: Gate,
    pub limits: InstanceLimits,
    pub capabilities: CapabilityStates,
    pub wasi: WasiCtx,
    pub http: WasiHttpCtx,
    pub table: ResourceTable,
}

/// Notes that the instance serves one more call or request, by a task of its own.
pub(crate) fn begin(store: &mut StoreContextMut<'_, StoreData>, task: GuestTaskId, context: CallContext) {
    limits::begin_request(store);
    let data = store.data_mut();
    data.calling.forget_before(data.shared.clock.monotonic());
    data.capabilities.serve(&context);
    data.calling.begin(task, context);
}

impl HasLimits for StoreData {
    fn limits(&mut self) -> &mut InstanceLimits {
        &mut self.limits
    }

    fn calling_host(store: StoreContextMut<'_, Self>) {
        Calling::follow(store);
    }
}

impl WasiView for StoreData {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for StoreData {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.capabilities.outbound }
    }
}
