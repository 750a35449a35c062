//! What is linked to a component: the base that every component gets (WASI and Spin's interfaces, denied at the call
//! where nothing is granted), `weft:*` capabilities, the domain interfaces that the manifest maps to components, and
//! what is denied to dependencies or not there at all.

use std::sync::Arc;

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime_wasi_http::WasiHttpView as _;

use weft_capability::wasi_snapshot::glue as wasi_snapshot;

use crate::calls;
use crate::capabilities;
use crate::denied;
use crate::spec::FunctionSpec;
use crate::state::StoreData;
use crate::wasi;

/// The linkers that all functions start from.
pub(crate) struct BaseLinkers {
    common: Linker<StoreData>,
    durable: Linker<StoreData>,
}

impl BaseLinkers {
    pub fn new(engine: &wasmtime::Engine) -> wasmtime::Result<Self> {
        let mut common = Linker::new(engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut common)?;
        wasmtime_wasi::p3::add_to_linker(&mut common)?;
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut common)?;
        wasmtime_wasi_http::p3::add_to_linker(&mut common)?;
        wasi_snapshot::add_to_linker(&mut common, |data| &mut data.table, StoreData::http)?;
        capabilities::add_to_linker(&mut common)?;
        let mut durable = common.clone();
        wasi::refuse_timers(&mut durable)?;
        Ok(Self { common, durable })
    }

    /// Links one component. Imports that are neither in the base nor in `calls` are named by wasmtime's error;
    /// the check of grants has named them before, with the line to add.
    pub fn link(&self, component: &Component, spec: &FunctionSpec) -> wasmtime::Result<InstancePre<StoreData>> {
        let engine = component.engine();
        let mut linker = if spec.durable { self.durable.clone() } else { self.common.clone() };
        let mut resources = Vec::new();
        for (name, item) in component.component_type().imports(engine) {
            let ComponentItem::ComponentInstance(instance) = item.ty else { continue };
            if let Some(target) = spec.calls.get(name) {
                calls::link_interface(&mut linker, engine, name, &Arc::clone(target), &instance)?;
            } else if denied::is_denied(name) || denied::is_absent(name) {
                denied::link_interface(&mut linker, engine, name, &instance, &resources)?;
            }
            resources.extend(instance.exports(engine).filter_map(|(_, item)| match item.ty {
                ComponentItem::Resource(ty) => Some(ty),
                _ => None,
            }));
        }
        linker.instantiate_pre(component)
    }
}
