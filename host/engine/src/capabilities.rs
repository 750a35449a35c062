//! stub
use weft_capability::gate::Gate;
use weft_core::CallContext;
use wasmtime::component::Linker;
use crate::function::Function;
use crate::state::StoreData;
/// s
#[derive(Default)]
pub struct Services {}
pub(crate) struct CapabilityStates { pub outbound: Deny, clock: SagaClock }
pub(crate) struct Deny;
impl wasmtime_wasi_http::WasiHttpHooks for Deny {}
#[derive(Clone, Default)]
pub(crate) struct SagaClock;
impl SagaClock { pub fn now_ms(&self) -> u64 { 0 } }
impl CapabilityStates {
    pub fn new(_f: &Function, _gate: &Gate, _context: Option<&CallContext>) -> Self { Self { outbound: Deny, clock: SagaClock } }
    pub fn serve(&mut self, _context: &CallContext) {}
    pub fn saga_clock(&self) -> SagaClock { self.clock.clone() }
}
pub(crate) fn add_to_linker(_linker: &mut Linker<StoreData>) -> wasmtime::Result<()> { Ok(()) }
