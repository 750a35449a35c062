//! What one instance may use: memories and tables by a resource limiter, handles, tasks and values by the store's own
//! bounds, processor time by a meter (`meter`) on epochs, or by fuel. Wall time, concurrency and queues
//! are the mesh's.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::ResourceTable;
use wasmtime::{CallHook, ResourceLimiter, Store, StoreContextMut, UpdateDeadline};

use crate::background::{BEATS, give_way, is_at_the_side};
use crate::memory::{Held, HostMemory};
use crate::meter::{CpuMeter, ticks};
use crate::spec::{FunctionSpec, InstanceSpec};

/// Which limit of the instance was passed, or of the host with all its instances. It is also the error that ends the
/// instance, for those who see nothing of it but that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Exceeded {
    #[error("memory limit of {0} bytes exceeded")]
    Memory(usize),
    #[error("all instances of the host together may have {0} MiB of memory")]
    HostMemory(usize),
    #[error("table limit of {0} elements exceeded")]
    Table(usize),
    #[error("processor time exceeded")]
    Cpu,
}

/// Bounds memories and tables, each all together, and remembers which bound was hit: what ends the instance does not
/// always say it.
#[derive(Debug)]
pub(crate) struct InstanceLimits {
    memory_bytes: Budget,
    of_host: Held,
    table_elements: Budget,
    pub exceeded: Option<Exceeded>,
    fuel: Option<u64>,
    epoch: Duration,
    cpu: Arc<CpuMeter>,
    /// When it yielded last, at the side.
    yielded: Duration,
}

impl InstanceLimits {
    pub fn new(spec: &InstanceSpec, epoch: Duration, host: Arc<HostMemory>, cpu: CpuMeter) -> Self {
        Self {
            memory_bytes: Budget::new(spec.memory_bytes),
            of_host: Held::nothing_of(host),
            table_elements: Budget::new(spec.table_elements),
            exceeded: None,
            fuel: spec.fuel,
            epoch,
            cpu: Arc::new(cpu),
            yielded: Duration::ZERO,
        }
    }

    /// When the code that runs is to be interrupted next. At the end of an epoch it yields, so that a busy function shares
    /// the thread and a deadline on its task can fire.
    fn next_deadline(&mut self) -> UpdateDeadline {
        if !is_at_the_side() {
            return UpdateDeadline::Yield(BEATS.into());
        }
        give_way();
        // Others may have had the processor for long: an epoch is one of all time, as it is elsewhere.
        self.at_a_beat(ticks())
    }

    /// At the side, after it has given way.
    fn at_a_beat(&mut self, now: Duration) -> UpdateDeadline {
        if now.saturating_sub(self.yielded) < self.epoch {
            return UpdateDeadline::Continue(1);
        }
        self.yielded = now;
        UpdateDeadline::Yield(1)
    }

    /// The instance ends by this limit.
    fn end<T>(&mut self, exceeded: Exceeded) -> wasmtime::Result<T> {
        self.exceeded = Some(exceeded);
        Err(wasmtime::Error::new(exceeded))
    }

    /// By which whoever drives the instance measures that.
    pub fn meter(&self) -> Arc<CpuMeter> {
        self.cpu.clone()
    }
}

/// Grants the processor time of one more request. The meter cannot tell requests of one instance apart, so each
/// new one grants the whole again; what one of them may waste at most is bounded by its deadline.
pub(crate) fn begin_request<T: HasLimits>(store: &mut StoreContextMut<'_, T>) {
    let limits = store.data_mut().limits();
    limits.cpu.begin();
    refuel(limits.fuel, |fuel| store.set_fuel(fuel));
}

fn refuel(fuel: Option<u64>, set: impl FnOnce(u64) -> wasmtime::Result<()>) {
    if let Some(Err(error)) = fuel.map(set) {
        tracing::error!(%error, "fuel is set on an engine that counts none");
    }
}

/// So much of something, growing in pieces.
#[derive(Debug)]
struct Budget {
    limit: usize,
    used: usize,
    last: usize,
}

impl Budget {
    fn new(limit: usize) -> Self {
        Self { limit, used: 0, last: 0 }
    }

    /// Takes what one of the things grows by; whether there was so much left.
    fn grow(&mut self, current: usize, desired: usize) -> bool {
        let more = desired.saturating_sub(current);
        if more > self.limit.saturating_sub(self.used) {
            return false;
        }
        self.used += more;
        self.last = more;
        true
    }

    /// What was taken last is given back: it did not grow after all. How much that was.
    fn give_back(&mut self) -> usize {
        let last = std::mem::take(&mut self.last);
        self.used = self.used.saturating_sub(last);
        last
    }
}

impl ResourceLimiter for InstanceLimits {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        if !self.memory_bytes.grow(current, desired) {
            return self.end(Exceeded::Memory(self.memory_bytes.limit));
        }
        if !self.of_host.grow(self.memory_bytes.last) {
            return self.end(Exceeded::HostMemory(self.of_host.limit_mb()));
        }
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        let last = self.memory_bytes.give_back();
        self.of_host.shrink(last);
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        if self.table_elements.grow(current, desired) {
            return Ok(true);
        }
        self.end(Exceeded::Table(self.table_elements.limit))
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.table_elements.give_back();
        Ok(())
    }
}

/// Gives access to the limits inside a store's data.
pub(crate) trait HasLimits: Send + Sized + 'static {
    fn limits(&mut self) -> &mut InstanceLimits;

    /// Wasm is about to call a host function, in an instance that serves several at once.
    fn calling_host(store: StoreContextMut<'_, Self>);
}

/// A table of resources for an instance of this function: what is open in it is bounded.
pub(crate) fn resource_table(spec: &FunctionSpec) -> ResourceTable {
    let mut table = ResourceTable::new();
    table.set_max_capacity(for_all_calls(spec, spec.limits.handles));
    table
}

fn for_all_calls(spec: &FunctionSpec, each: usize) -> usize {
    each.saturating_mul(spec.reuse.map_or(1, |reuse| reuse.max_concurrent))
}

/// Puts the limits on a store.
pub(crate) fn install<T: HasLimits>(store: &mut Store<T>, spec: &FunctionSpec) {
    // Tasks stand in the same tables of a component as what it has open; that alone is bounded by the resource table.
    let entries = spec.limits.handles.saturating_add(spec.limits.tasks);
    store.set_max_component_handles(for_all_calls(spec, entries));
    store.set_hostcall_fuel(spec.limits.value_bytes);
    if let Some(tasks) = store.concurrent_resource_table() {
        tasks.set_max_capacity(for_all_calls(spec, spec.limits.tasks));
    }
    refuel(spec.limits.fuel, |fuel| store.set_fuel(fuel));
    store.limiter(|data| data.limits());
    if spec.reuse.is_some_and(|reuse| reuse.max_concurrent > 1) {
        store.call_hook(|store: StoreContextMut<'_, T>, hook| {
            if matches!(hook, CallHook::CallingHost) {
                T::calling_host(store);
            }
            Ok(())
        });
    }
    store.set_epoch_deadline(if is_at_the_side() { 1 } else { BEATS.into() });
    store.epoch_deadline_callback(|mut store: StoreContextMut<'_, T>| {
        let limits = store.data_mut().limits();
        if !limits.cpu.look() {
            limits.exceeded = Some(Exceeded::Cpu);
            return Ok(UpdateDeadline::Interrupt);
        }
        Ok(limits.next_deadline())
    });
}

#[cfg(test)]
mod tests {
    use weft_core::clock::ManualClock;

    use super::*;

    #[test]
    fn an_epoch_is_one_of_all_time_and_at_the_side_has_beats() {
        let epoch = Duration::from_millis(10);
        let spec = InstanceSpec::default();
        let meter = CpuMeter::new(spec.cpu, epoch, Arc::default(), Arc::new(ManualClock::default()));
        let mut limits = InstanceLimits::new(&spec, epoch, HostMemory::new(usize::MAX), meter);
        assert!(matches!(limits.next_deadline(), UpdateDeadline::Yield(beats) if beats == u64::from(BEATS)));
        let start = Duration::from_secs(1);
        assert!(matches!(limits.at_a_beat(start), UpdateDeadline::Yield(1)));
        assert!(matches!(limits.at_a_beat(start + epoch / 2), UpdateDeadline::Continue(1)));
        // Others had the processor in between.
        assert!(matches!(limits.at_a_beat(start + epoch), UpdateDeadline::Yield(1)));
        assert!(matches!(limits.at_a_beat(start + 3 * epoch / 2), UpdateDeadline::Continue(1)));
    }
}
