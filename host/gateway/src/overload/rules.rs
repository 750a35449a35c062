//! The numbers that the limit keeps to, as they are calculated with.

use std::time::Duration;

use weft_core::manifest::{self, Priority};

/// From the manifest.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub enabled: bool,
    pub min: f64,
    pub max: f64,
    /// A request may take so many times what its route takes while there is room,
    pub tolerance: f64,
    /// and so many seconds more.
    pub slack_s: f64,
    pub window: Duration,
    pub patience: Duration,
    pub max_waiting: usize,
}

impl Rules {
    pub fn new(overload: &manifest::Overload, max_concurrent: usize) -> Self {
        let ms = |ms: u32| Duration::from_millis(ms.into());
        let max = max_concurrent as f64;
        Self {
            enabled: overload.enabled,
            min: f64::from(overload.min_concurrent).min(max),
            max,
            tolerance: f64::from(overload.tolerance_percent) / 100.0,
            slack_s: ms(overload.slack_ms).as_secs_f64(),
            window: ms(overload.window_ms),
            patience: ms(overload.patience_ms),
            max_waiting: usize::try_from(overload.max_waiting).unwrap_or(usize::MAX),
        }
    }
}

/// How many requests may run for another of this priority to begin: the greater share, the greater the priority, so that
/// whoever is refused knows that nobody who matters less is let in.
pub(super) fn share(limit: f64, priority: Priority) -> f64 {
    (limit * f64::from(priority.share_percent()) / 100.0).max(1.0)
}
