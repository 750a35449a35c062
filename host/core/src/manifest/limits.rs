//! What one component may use of the host: memory, processor time, places, time to answer; and how its instances are
//! reused. Keeping to it belongs to the engine and the mesh.

use std::ops::RangeInclusive;

use super::section::Section;

/// How long one call may take, in milliseconds: ten minutes at most.
pub(super) const DEADLINE_MS: RangeInclusive<u32> = 1..=600_000;
/// How long a call from function to function may take where nothing else is said.
pub const DEFAULT_CALL_DEADLINE_MS: u32 = 10_000;

/// Bounds of one component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The linear memory of one instance, in MiB: 1 to 4096, 128 by default.
    pub memory_mb: u32,
    /// Processor time of one call, in milliseconds: 1 to 600,000, 1,000 by default.
    pub cpu_ms: u32,
    /// Calls that run at once: 1 to 10,000, 100 by default.
    pub max_concurrent: u32,
    /// Calls that wait for a place: 0 to 10,000, 100 by default. One more is refused at once as overloaded.
    pub max_pending: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory_mb: 128, cpu_ms: 1_000, max_concurrent: 100, max_pending: 100 }
    }
}

impl Limits {
    pub(super) fn read(section: Section<'_>) -> Self {
        let default = Self::default();
        let limits = Self {
            memory_mb: section.number("memory_mb", 1..=4096, default.memory_mb),
            cpu_ms: section.number("cpu_ms", 1..=600_000, default.cpu_ms),
            max_concurrent: section.number("max_concurrent", 1..=10_000, default.max_concurrent),
            max_pending: section.number("max_pending", 0..=10_000, default.max_pending),
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
