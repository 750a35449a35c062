//! What all functions of a host may use together: `[application.tool.weft.engine]`. What one component may use is in
//! [`super::limits`]; keeping to it belongs to the engine.

use super::section::Section;

/// `[application.tool.weft.engine]`. It is read when the host starts, and not again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineSettings {
    /// The linear memories of all instances together, in MiB: 16 to 16,777,216. Without it, whoever assembles the host
    /// looks at the machine. Beyond it a memory does not begin or grow, and its call answers as overloaded.
    pub max_memory_mb: Option<u32>,
    /// Instances at the same time: 10 to 5,000, 1,000 by default. Beyond it a call answers as overloaded.
    pub max_instances: u32,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self { max_memory_mb: None, max_instances: 1_000 }
    }
}

impl EngineSettings {
    pub(super) fn read(section: Section<'_>) -> Self {
        let settings = Self {
            max_memory_mb: section.get("max_memory_mb").and_then(|entry| entry.number(&(16..=1 << 24))),
            // Each has 4 GiB of addresses for each of two memories, and there are two engines at most.
            max_instances: section.number("max_instances", 10..=5_000, Self::default().max_instances),
        };
        section.finish();
        settings
    }
}
