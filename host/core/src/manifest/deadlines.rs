//! How long what is outside of the host may take where nobody says more. Keeping to it belongs to those who ask.

use std::time::Duration;

use super::limits::DEADLINE_MS;
use super::section::Section;

/// `[application.tool.weft.deadlines]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// One statement of PostgreSQL, of one whose rows are streamed each row, and one command of Redis, in milliseconds: 1 to 600,000,
    /// 15,000 by default.
    pub database_ms: u32,
    /// The head of an answer over HTTP and each part of its body, where neither the component nor the service says otherwise, and one
    /// message to a broker, in milliseconds: 1 to 600,000, 30,000 by default.
    pub external_ms: u32,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { database_ms: 15_000, external_ms: 30_000 }
    }
}

impl Deadlines {
    pub(super) fn read(section: Section<'_>) -> Self {
        let default = Self::default();
        let deadlines = Self {
            database_ms: section.number("database_ms", DEADLINE_MS, default.database_ms),
            external_ms: section.number("external_ms", DEADLINE_MS, default.external_ms),
        };
        section.finish();
        deadlines
    }

    /// [`Self::database_ms`].
    #[must_use]
    pub fn database(&self) -> Duration {
        Duration::from_millis(self.database_ms.into())
    }

    /// [`Self::external_ms`].
    #[must_use]
    pub fn external(&self) -> Duration {
        Duration::from_millis(self.external_ms.into())
    }
}
