//! What one component may use of the host: memory, processor time, places, handles, bytes, time to answer; and how its
//! instances are reused. Keeping to it belongs to the engine and the mesh.

use std::ops::RangeInclusive;

use super::section::Section;

/// How long one call may take, in milliseconds: ten minutes at most.
pub(super) const DEADLINE_MS: RangeInclusive<u32> = 1..=600_000;
/// How long a call from function to function may take where nothing else is said.
pub const DEFAULT_CALL_DEADLINE_MS: u32 = 10_000;

/// Keys that mean something in `[component.<id>.tool.weft.limits]` alone.
pub(super) const KEYS: [&str; 14] = [
    "memory_mb",
    "cpu_ms",
    "fuel",
    "max_concurrent",
    "max_pending",
    "table_elements",
    "max_memories",
    "max_tables",
    "max_handles",
    "max_tasks",
    "header_kb",
    "values_mb",
    "output_kb",
    "output_kb_per_s",
];

/// Bounds of one component. What is said of an instance holds for all calls that it serves together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The linear memories of one instance together, in MiB: 1 to 4096, 128 by default.
    pub memory_mb: u32,
    /// Processor time of one call, in milliseconds: 1 to 600,000, 1,000 by default.
    pub cpu_ms: u32,
    /// Units of wasmtime's fuel for one call, about one for each instruction: 1 to 10^15. None by default: counting
    /// instructions slows a function down, and what it gives is that the same call ends at the same place every time.
    pub fuel: Option<u64>,
    /// Calls that run at once: 1 to 10,000, 100 by default.
    pub max_concurrent: u32,
    /// Calls that wait for a place: 0 to 10,000, 100 by default. One more is refused at once as overloaded.
    pub max_pending: u32,
    /// Elements of the tables of one instance together: 1 to 100,000, which is the default.
    pub table_elements: u32,
    /// Linear memories that the modules of one instance may have: 1 to 32, 16 by default.
    pub max_memories: u32,
    /// Tables that the modules of one instance may have: 1 to 64, 32 by default.
    pub max_tables: u32,
    /// Handles that one instance may have open for each call that it serves at once (files, header fields, requests,
    /// bodies, cursors, transactions, streams): 16 to 1,000,000, 1,000 by default.
    pub max_handles: u32,
    /// Tasks that one instance may have for each call that it serves at once, with the streams, futures and sets that
    /// they wait for: 16 to 1,000,000, 10,000 by default.
    pub max_tasks: u32,
    /// The header fields of one request or response that the component makes, in KiB, with 32 to 40 bytes more for each
    /// name and value: 1 to 1,024, 64 by default.
    pub header_kb: u32,
    /// The values that one call may hand over, and all arguments of the calls between functions that an instance has
    /// under way together, in MiB as they are held in memory: 1 to 1,024, 32 by default.
    pub values_mb: u32,
    /// What one instance may write to each of its output streams, in KiB: 0 to 1,048,576, 1,024 by default.
    pub output_kb: u32,
    /// What all instances may write to their output streams within a second, in KiB: 1 to 1,048,576, 4,096 by default.
    pub output_kb_per_s: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_mb: 128,
            cpu_ms: 1_000,
            fuel: None,
            max_concurrent: 100,
            max_pending: 100,
            table_elements: 100_000,
            max_memories: 16,
            max_tables: 32,
            max_handles: 1_000,
            max_tasks: 10_000,
            header_kb: 64,
            values_mb: 32,
            output_kb: 1_024,
            output_kb_per_s: 4_096,
        }
    }
}

impl Limits {
    pub(super) fn read(section: Section<'_>) -> Self {
        let default = Self::default();
        let limits = Self {
            memory_mb: section.number("memory_mb", 1..=4096, default.memory_mb),
            cpu_ms: section.number("cpu_ms", 1..=600_000, default.cpu_ms),
            fuel: section.get("fuel").and_then(|entry| entry.number(&(1..=1_000_000_000_000_000))),
            max_concurrent: section.number("max_concurrent", 1..=10_000, default.max_concurrent),
            max_pending: section.number("max_pending", 0..=10_000, default.max_pending),
            table_elements: section.number("table_elements", 1..=100_000, default.table_elements),
            max_memories: section.number("max_memories", 1..=32, default.max_memories),
            max_tables: section.number("max_tables", 1..=64, default.max_tables),
            max_handles: section.number("max_handles", 16..=1_000_000, default.max_handles),
            max_tasks: section.number("max_tasks", 16..=1_000_000, default.max_tasks),
            header_kb: section.number("header_kb", 1..=1_024, default.header_kb),
            values_mb: section.number("values_mb", 1..=1_024, default.values_mb),
            output_kb: section.number("output_kb", 0..=1 << 20, default.output_kb),
            output_kb_per_s: section.number("output_kb_per_s", 1..=1 << 20, default.output_kb_per_s),
        };
        section.finish();
        limits
    }
}

/// How often an instance serves before it is thrown away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reuse {
    /// Calls that one instance serves in its life: 1 to 1,000,000; 1 by default, a fresh instance for each.
    pub max_requests: u32,
    /// Calls that one instance serves at once: 1 to 1,000, at most `max_requests`; 1 by default.
    pub max_concurrent: u32,
}

impl Default for Reuse {
    fn default() -> Self {
        Self { max_requests: 1, max_concurrent: 1 }
    }
}

impl Reuse {
    /// Whether an instance serves more than one call.
    #[must_use]
    pub fn is_reused(&self) -> bool {
        self.max_requests > 1
    }

    pub(super) fn read(section: Section<'_>) -> Self {
        let reuse = Self {
            max_requests: section.number("max_requests", 1..=1_000_000, 1),
            max_concurrent: section.number("max_concurrent", 1..=1_000, 1),
        };
        if reuse.max_concurrent > reuse.max_requests {
            let (most, life) = (reuse.max_concurrent, reuse.max_requests);
            section.report_with_help(
                section.line,
                format!("an instance that serves {life} in all cannot serve {most} at once"),
                format!("raise `max_requests` to at least {most}, or lower `max_concurrent`"),
            );
        }
        section.finish();
        reuse
    }
}
