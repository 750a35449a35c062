//! The one wasmtime configuration. Every component runs under it, durable ones included, so that a component compiles
//! to one artifact and behaves alike wherever it runs. Code that counts its instructions is the one exception: counting
//! is part of the machine code.

use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::spin_world::World;

/// How many instances the process can hold at once, and how large they may grow. Bounds of the whole host;
/// each function has its own limits below them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineOptions {
    /// Component instances at the same time (default 1,000). Past it a call fails as overloaded.
    pub max_instances: u32,
    /// The linear memories of all instances together, in MiB (default 4,096). Past it a call fails as overloaded.
    pub max_memory_mb: u32,
    /// The largest linear memory that any function may ask for, in MiB (default 4,096).
    pub largest_memory_mb: u32,
    /// What components may import (default: all that this host has).
    pub world: World,
    /// Milliseconds between two epochs (default 10): the granularity of CPU limits and of fairness between functions.
    pub epoch_ms: u64,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self { max_instances: 1_000, max_memory_mb: 4_096, largest_memory_mb: 4_096, world: World::Weft, epoch_ms: 10 }
    }
}

impl EngineOptions {
    pub(crate) fn memory_bytes(&self) -> usize {
        bytes(self.max_memory_mb)
    }
}

fn bytes(mb: u32) -> usize {
    usize::try_from(mb).unwrap_or(usize::MAX).saturating_mul(1 << 20)
}

/// Core instances, memories and tables that one component may consist of: a Rust component has three instances (module,
/// shim, fixups), a memory and two tables, composed ones have as many for each part. The bounds are Spin's.
const CORE_INSTANCES_PER_COMPONENT: u32 = 200;
const MEMORIES_PER_COMPONENT: u32 = 32;
const TABLES_PER_COMPONENT: u32 = 64;
/// Bytes of an instance's memory that stay resident between two uses and are zeroed by hand: clearing them costs less
/// than giving them back, which interrupts all cores, and faulting them in again.
const KEEP_RESIDENT_BYTES: usize = 256 * 1024;
/// Elements of one table.
const TABLE_ELEMENTS: usize = 100_000;
/// Stack of a guest call. The rest of wasmtime's 2 MiB asynchronous stack is for host functions.
const MAX_WASM_STACK_BYTES: usize = 512 * 1024;

/// Whether code counts the instructions that it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Metering {
    /// It does not: processor time is measured, not counted.
    Epochs,
    /// It does, for functions whose manifest gives them fuel.
    Fuel,
}

pub(crate) fn wasmtime_config(options: &EngineOptions, metering: Metering) -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .wasm_component_model_async(true)
        .epoch_interruption(true)
        .consume_fuel(metering == Metering::Fuel)
        .max_wasm_stack(MAX_WASM_STACK_BYTES)
        // Durable functions are replayed: the same inputs must give the same bits. The cost for others is small,
        // and one configuration for all is worth more.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .memory_init_cow(true)
        // Frames in a trap's log line; no DWARF, which would cost at every load.
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(20))
        .parallel_compilation(true)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool(options)));
    config
}

fn pool(options: &EngineOptions) -> PoolingAllocationConfig {
    let instances = options.max_instances;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        // A function with all the parts that it may have and all the calls that it may by default leaves room for others.
        .total_core_instances(instances.saturating_mul(5))
        .total_memories(instances.saturating_mul(2))
        .total_tables(instances.saturating_mul(4))
        .total_stacks(instances.saturating_mul(2))
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT)
        .max_memories_per_component(MEMORIES_PER_COMPONENT)
        .max_tables_per_component(TABLES_PER_COMPONENT)
        // All of them may be of one module.
        .max_memories_per_module(MEMORIES_PER_COMPONENT)
        .max_tables_per_module(TABLES_PER_COMPONENT)
        .table_elements(TABLE_ELEMENTS)
        .max_memory_size(bytes(options.largest_memory_mb))
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
        .table_keep_resident(16 * 1024)
        // The kernel (from 6.7) tells which pages were touched: a few at the stack's and at the heap's end, and not the
        // lowest ones.
        .pagemap_scan(Enabled::Auto)
        .max_unused_warm_slots(64);
    pool
}
