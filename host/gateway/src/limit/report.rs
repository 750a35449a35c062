//! What an operator sees of the limits: how they are defined, what they let through, and who is near them.

use serde::{Deserialize, Serialize};

use weft_core::manifest::RateStrategy;

use super::admission::{Limit, Scope};
use super::{LimitSet, Who};

/// How one limit stands.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct LimitReport {
    /// Its name; a tier's limits are called `<tier>-per-minute` and the like.
    pub name: String,
    /// `sliding-window`, `fixed-window`, `token-bucket` or `concurrency`.
    pub strategy: String,
    /// `user`, `api-key`, `ip`, `tenant` or `global`; `caller` for those of tiers: the API key, else the user.
    pub scope: String,
    /// Requests in its window, in its bucket, or at a time.
    pub limit: u32,
    /// In which time it is whole again, in seconds; none for concurrency.
    pub window_s: Option<u64>,
    /// Requests admitted since it counts.
    pub admitted: u64,
    /// Requests refused.
    pub refused: u64,
    /// Callers that it knows of now.
    pub keys: usize,
    /// Those that have used most of it, most first.
    pub callers: Vec<LimitedCaller>,
}

/// How one caller stands with a limit.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct LimitedCaller {
    /// Such as `user 0192...`.
    pub key: String,
    /// How much is used.
    pub used: u32,
    /// In how many milliseconds more is admitted.
    pub reset_ms: u64,
}

impl LimitSet {
    /// How all limits stand, with so many of the callers that have used most of each.
    pub fn report(&self, callers: usize, now_ns: u64) -> Vec<LimitReport> {
        let all = self.limits.iter().chain(self.tiers.by_name.values().flatten());
        all.map(|limit| report(limit, callers, now_ns)).collect()
    }
}

fn report(limit: &Limit, most: usize, now_ns: u64) -> LimitReport {
    let rule = limit.table.rule;
    let (mut admitted, mut refused, mut keys) = (0, 0, 0);
    let mut callers: Vec<(u32, u64, Who)> = Vec::new();
    for mut shard in limit.table.shards() {
        admitted += shard.admitted;
        refused += shard.refused;
        keys += shard.len();
        let used = shard.callers(rule, now_ns);
        let used = used.map(|(key, standing)| (rule.limit() - standing.remaining, standing.reset_ns, key.clone()));
        callers.extend(used.filter(|(used, ..)| *used > 0));
        drop(shard);
        callers.sort_unstable_by_key(|(used, ..)| std::cmp::Reverse(*used));
        callers.truncate(most);
    }
    let callers = callers.into_iter().map(|(used, reset_ns, key)| LimitedCaller {
        key: key.to_string(),
        used,
        reset_ms: reset_ns.div_ceil(1_000_000),
    });
    LimitReport {
        name: limit.name.to_string(),
        strategy: strategy(limit.strategy).to_owned(),
        scope: scope(limit.scope).to_owned(),
        limit: rule.limit(),
        window_s: rule.window_s(),
        admitted,
        refused,
        keys,
        callers: callers.collect(),
    }
}

fn strategy(strategy: RateStrategy) -> &'static str {
    match strategy {
        RateStrategy::FixedWindow { .. } => "fixed-window",
        RateStrategy::SlidingWindow { .. } => "sliding-window",
        RateStrategy::TokenBucket { .. } => "token-bucket",
        RateStrategy::Concurrency { .. } => "concurrency",
    }
}

fn scope(scope: Scope) -> &'static str {
    match scope {
        Scope::Of(scope) => scope.as_str(),
        Scope::Caller => "caller",
    }
}
