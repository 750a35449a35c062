//! How the adaptive limit stands, for operators.

use serde::{Deserialize, Serialize};

/// How many requests run, and why not more.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct OverloadReport {
    /// Whether the limit holds.
    pub enabled: bool,
    /// How many requests may run at a time, now.
    pub limit: usize,
    /// It never falls below this.
    pub min: usize,
    /// It never rises above this.
    pub max: usize,
    /// How many run.
    pub running: usize,
    /// How many wait for their turn.
    pub waiting: usize,
    /// How long requests took in the last window, in percent of how long they should take; the limit falls above 100.
    pub ratio_percent: u32,
    /// By priority, the greatest first.
    pub classes: Vec<OverloadClass>,
    /// Routes of which it is known what they take, by name.
    pub routes: Vec<OverloadRoute>,
}

/// The requests of one priority.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct OverloadClass {
    /// `critical`, `high`, `normal` or `low`.
    pub priority: String,
    /// One more begins while fewer than this run, of all priorities together.
    pub most: usize,
    /// How many of them run.
    pub running: usize,
    /// How many have begun since the start.
    pub admitted: u64,
    /// How many have waited for their turn since the start.
    pub waited: u64,
    /// How many were refused since the start.
    pub refused: u64,
}

/// One route.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct OverloadRoute {
    /// Method and path.
    pub route: String,
    /// What its requests take while there is room, in milliseconds.
    pub usual_ms: f64,
    /// How many of them run.
    pub running: usize,
    /// Whether it takes too long while others do not.
    pub slow: bool,
}

/// A time is never a number that is none.
impl Eq for OverloadRoute {}
