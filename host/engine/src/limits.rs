//! What one instance may use: memory and tables by a resource limiter, processor time by a meter on the edges of wasm
//! and on epochs. Wall time, concurrency and queues are the mesh's.

use std::time::{Duration, Instant};

use wasmtime::{CallHook, ResourceLimiter, StoreContextMut, UpdateDeadline};

/// Which limit of the instance was passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exceeded {
    Memory,
    Table,
    Cpu,
}

/// Elements that all tables of an instance may hold together.
const MAX_TABLE_ELEMENTS: usize = 100_000;

/// Bounds memory and tables, and remembers that a bound was hit: the trap that follows says only `unreachable`.
#[derive(Debug)]
pub(crate) struct InstanceLimits {
    max_memory_bytes: usize,
    pub exceeded: Option<Exceeded>,
    cpu: CpuMeter,
}

impl InstanceLimits {
    pub fn new(max_memory_bytes: usize, cpu: Duration, epoch: Duration) -> Self {
        let cpu = CpuMeter { limit: cpu, epoch, used: Duration::ZERO, running_since: None };
        Self { max_memory_bytes, exceeded: None, cpu }
    }

    /// Grants the processor time of one more request. The meter cannot tell requests of one instance apart, so each
    /// new one grants the whole again; what one of them may waste at most is bounded by its deadline.
    pub fn begin_request(&mut self) {
        self.cpu.used = Duration::ZERO;
    }
}

impl ResourceLimiter for InstanceLimits {
    fn memory_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        if desired <= self.max_memory_bytes {
            return Ok(true);
        }
        self.exceeded = Some(Exceeded::Memory);
        wasmtime::bail!("memory limit of {} bytes exceeded", self.max_memory_bytes)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        if desired <= MAX_TABLE_ELEMENTS {
            return Ok(true);
        }
        self.exceeded = Some(Exceeded::Table);
        wasmtime::bail!("table limit of {MAX_TABLE_ELEMENTS} elements exceeded")
    }
}

/// Processor time spent in wasm. Time between entering and leaving wasm counts; a stretch in which the instance may
/// have been suspended (a yield to the scheduler, a wait of a synchronous import) counts one epoch at most, since
/// more would have been noticed at an epoch in between.
#[derive(Debug)]
struct CpuMeter {
    limit: Duration,
    epoch: Duration,
    used: Duration,
    running_since: Option<Instant>,
}

impl CpuMeter {
    fn account(&mut self, now: Instant) {
        if let Some(since) = self.running_since {
            self.used += now.saturating_duration_since(since).min(self.epoch * 2);
        }
    }

    fn hook(&mut self, hook: CallHook) {
        let now = Instant::now();
        if hook.entering_host() {
            self.account(now);
            self.running_since = None;
        } else {
            self.running_since = Some(now);
        }
    }

    fn epoch_passed(&mut self) -> bool {
        let now = Instant::now();
        self.account(now);
        self.running_since = Some(now);
        self.used <= self.limit
    }
}

/// Gives access to the limits inside a store's data.
pub(crate) trait HasLimits: Send + Sized + 'static {
    fn limits(&mut self) -> &mut InstanceLimits;

    /// Wasm is about to call a host function.
    fn calling_host(store: StoreContextMut<'_, Self>);
}

/// Puts the limits on a store.
pub(crate) fn install<T: HasLimits>(store: &mut wasmtime::Store<T>) {
    store.limiter(|data| data.limits());
    store.call_hook(|mut store: StoreContextMut<'_, T>, hook| {
        store.data_mut().limits().cpu.hook(hook);
        if matches!(hook, CallHook::CallingHost) {
            T::calling_host(store);
        }
        Ok(())
    });
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|mut store: StoreContextMut<'_, T>| {
        let limits = store.data_mut().limits();
        if limits.cpu.epoch_passed() {
            // Yield, so that a busy function shares the thread and a deadline on its task can fire.
            return Ok(UpdateDeadline::Yield(1));
        }
        limits.exceeded = Some(Exceeded::Cpu);
        Ok(UpdateDeadline::Interrupt)
    });
}
