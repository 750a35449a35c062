//! What is refused first when there is more to do than the host can, and how it finds out how much that is. Measuring and
//! refusing belong to the gateway.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::manifest::Manifest;
use crate::manifest::diagnostic::Located;
use crate::manifest::problems::Problems;
use crate::manifest::rate_limit;
use crate::manifest::section::{Entry, Section};

/// Roles, and tiers, that have a priority.
const MAX_CLASSES: usize = 64;
/// Longest name of a role, in bytes, as routes have it.
const MAX_ROLE_BYTES: usize = 128;

/// How much a route matters when not everything can be served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Refused first: it may have half of the limit.
    Low,
    /// What a route has that says nothing: four fifths of the limit.
    #[default]
    Normal,
    /// Nine tenths of the limit.
    High,
    /// Refused last: all of the limit.
    Critical,
}

impl Priority {
    /// All of them, the least important first.
    pub const ALL: [Self; 4] = [Self::Low, Self::Normal, Self::High, Self::Critical];

    /// As it stands in the manifest.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// How much of the limit it may have, in percent.
    #[must_use]
    pub fn share_percent(self) -> u8 {
        match self {
            Self::Low => 50,
            Self::Normal => 80,
            Self::High => 90,
            Self::Critical => 100,
        }
    }
}

/// An unknown priority. Client fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a priority is low, normal, high or critical")]
pub struct PriorityError;

impl FromStr for Priority {
    type Err = PriorityError;

    fn from_str(text: &str) -> Result<Self, PriorityError> {
        Self::ALL.into_iter().find(|priority| priority.as_str() == text).ok_or(PriorityError)
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `[application.tool.weft.gateway.overload]`: how many requests run at a time follows from how long they take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overload {
    /// Whether there is such a limit; there is by default.
    pub enabled: bool,
    /// The limit never falls below it: 1 to 1,000,000, 10 by default. It never rises above the gateway's `max_concurrent`.
    pub min_concurrent: u32,
    /// How long requests may take, in percent of what those of the same route take while there is room: 100 to 1,000, 150
    /// by default.
    pub tolerance_percent: u32,
    /// And so much more, in milliseconds: 0 to 10,000, 5 by default.
    pub slack_ms: u32,
    /// How long is measured before the limit changes, in milliseconds: 10 to 10,000, 100 by default.
    pub window_ms: u32,
    /// How long a request may wait for its turn, in milliseconds: 0 to 60,000, 1,000 by default. While more comes than can
    /// be served it is a tenth.
    pub patience_ms: u32,
    /// How many may wait: 0 to 1,000,000, 500 by default.
    pub max_waiting: u32,
    /// The priority of requests of callers with a role, in the place of their route's: up to 64.
    pub roles: Vec<(Located<Arc<str>>, Priority)>,
    /// The same of a tier, where the role says nothing: up to 64.
    pub tiers: Vec<(Located<Arc<str>>, Priority)>,
}

impl Default for Overload {
    fn default() -> Self {
        Self {
            enabled: true,
            min_concurrent: 10,
            tolerance_percent: 150,
            slack_ms: 5,
            window_ms: 100,
            patience_ms: 1_000,
            max_waiting: 500,
            roles: Vec::new(),
            tiers: Vec::new(),
        }
    }
}

impl Overload {
    pub(in crate::manifest) fn read(section: Section<'_>, max_concurrent: u32) -> Self {
        let default = Self::default();
        let overload = Self {
            enabled: section.flag("enabled", default.enabled),
            min_concurrent: section.number("min_concurrent", 1..=1_000_000, default.min_concurrent),
            tolerance_percent: section.number("tolerance_percent", 100..=1_000, default.tolerance_percent),
            slack_ms: section.number("slack_ms", 0..=10_000, default.slack_ms),
            window_ms: section.number("window_ms", 10..=10_000, default.window_ms),
            patience_ms: section.number("patience_ms", 0..=60_000, default.patience_ms),
            max_waiting: section.number("max_waiting", 0..=1_000_000, default.max_waiting),
            roles: classes(&section, "roles"),
            tiers: classes(&section, "tiers"),
        };
        let min = section.get("min_concurrent").map_or(section.line, |entry| entry.line);
        if overload.min_concurrent > max_concurrent && overload.min_concurrent != default.min_concurrent {
            let message = format!("`{}` is more than the gateway's `max_concurrent`", section.name("min_concurrent"));
            section.report_with_help(min, message, format!("lower it to at most {max_concurrent}"));
        }
        section.finish();
        overload
    }

    /// Reports tiers that there are not, and callers whom nobody can know. Which roles there are is up to whoever signs tokens.
    pub(in crate::manifest) fn check(&self, manifest: &Manifest, problems: &Problems) {
        let tiers = &manifest.gateway.rate_limits.tiers;
        for (tier, _) in self.tiers.iter().filter(|(tier, _)| !tiers.contains_key(&tier.value)) {
            rate_limit::unknown("overload.tiers", "tier", tier, tiers.keys().map(|name| &**name), problems);
        }
        if manifest.auth.is_none()
            && let Some((first, _)) = self.roles.iter().chain(&self.tiers).next()
        {
            problems.report_with_help(
                first.line,
                "overload: priorities of roles and tiers, and nobody is known by a token or an API key",
                "add [application.tool.weft.auth], or remove `roles` and `tiers`",
            );
        }
    }
}

/// Priorities by names of callers.
fn classes(section: &Section<'_>, key: &'static str) -> Vec<(Located<Arc<str>>, Priority)> {
    let Some(table) = section.section(key) else { return Vec::new() };
    let entries = table.entries();
    if let Some((many, _)) = entries.get(MAX_CLASSES) {
        table.report(many.line, format!("`{}` has at most {MAX_CLASSES} entries", section.name(key)));
    }
    let class = |(name, entry): (Located<Arc<str>>, Entry<'_>)| {
        if name.is_empty() || name.len() > MAX_ROLE_BYTES {
            entry.report(format!("is called by 1 to {MAX_ROLE_BYTES} bytes"));
        }
        let written = entry.string()?;
        let priority = written.parse::<Priority>();
        let priority = priority.map_err(|error| entry.report(format!("is {:?}: {error}", &*written.value))).ok()?;
        Some((name, priority))
    };
    entries.into_iter().filter_map(class).collect()
}
