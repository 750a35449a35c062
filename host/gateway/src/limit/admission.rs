//! Asks all limits of a request at once: it is admitted by all of them and counted by each, or refused and counted by
//! none. The shards of all its callers are locked together, always in the order of the limits' numbers, so that nothing
//! comes between the questions and the counting and no two requests wait for each other.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, MutexGuard, OnceLock};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use weft_core::manifest::{MAX_ROUTE_LIMITS, RateScope, RateStrategy};
use weft_core::shared_limits::Window;

use super::key::Hashed;
use super::rule::Rule;
use super::shared::{self, Shared};
use super::table::{Shard, Table, Taken};

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// A route's own, and the three of a tier.
const MAX_LIMITS: usize = MAX_ROUTE_LIMITS + 3;

/// One limit with its callers.
#[derive(Debug)]
pub(crate) struct Limit {
    /// Unique in the process; locks are taken in this order.
    number: u64,
    pub name: Arc<str>,
    pub strategy: RateStrategy,
    pub scope: Scope,
    pub(super) table: Table,
    pub(super) max_keys: u32,
    /// How hosts count it together, and what its keys begin with then; each counts for itself what runs at a time.
    pub(super) shared: Option<(Window, Box<str>)>,
    /// Of the draft's `RateLimit-Policy`.
    pub policy: HeaderValue,
    pub quota: HeaderValue,
}

/// Whose requests a limit counts together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// As the manifest has it.
    Of(RateScope),
    /// For a tier's limits: those with one API key, else those of one user.
    Caller,
}

/// A limit that a request asks, and who it is there.
#[derive(Debug)]
pub(super) struct Ask {
    pub limit: Arc<Limit>,
    pub caller: Hashed,
    taken: Option<Taken>,
}

/// What a client is told of one limit.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub limit: Arc<Limit>,
    pub remaining: u32,
    /// Until more is admitted.
    pub reset: Duration,
}

/// A request that all its limits have admitted. What it holds is given back by [`Admission::end`].
#[derive(Debug)]
pub(crate) struct Admission {
    pub(super) asks: Vec<Ask>,
    /// The limit that is nearest to being used up.
    nearest: Option<Shown>,
    /// What hosts that count together said to it.
    pub(super) shared: OnceLock<Shared>,
}

/// A request that some of its limits have refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// The one that will last longest.
    pub longest: Shown,
    /// The names of all that refuse.
    pub names: Vec<Arc<str>>,
}

static NUMBERS: AtomicU64 = AtomicU64::new(0);

impl Limit {
    pub fn new(name: Arc<str>, strategy: RateStrategy, scope: Scope, max_keys: u32) -> Self {
        let rule = Rule::from(strategy);
        let quota = rule.limit();
        let policy = match rule.window_s() {
            Some(window_s) => format!("\"{name}\";q={quota};w={window_s}"),
            None => format!("\"{name}\";q={quota};qu=\"concurrent-requests\""),
        };
        Self {
            number: NUMBERS.fetch_add(1, Relaxed),
            strategy,
            scope,
            table: Table::new(rule, max_keys),
            max_keys,
            shared: shared::window(strategy).map(|window| (window, shared::prefix(&name, strategy))),
            // Names are letters, digits, `-` and `_`.
            policy: HeaderValue::try_from(policy).unwrap_or_else(|_| HeaderValue::from_static("")),
            quota: HeaderValue::from(quota),
            name,
        }
    }
}

impl Ask {
    pub fn new(limit: Arc<Limit>, caller: Hashed) -> Self {
        Self { limit, caller, taken: None }
    }
}

/// All or nothing. `now_ns` is asked once everything is locked, so that no request is counted earlier than it was
/// admitted.
pub(super) fn admit(mut asks: Vec<Ask>, now_ns: impl FnOnce() -> u64) -> Result<Admission, Refusal> {
    debug_assert!(asks.len() <= MAX_LIMITS, "the manifest bounds the limits of a route");
    asks.truncate(MAX_LIMITS);
    asks.sort_unstable_by_key(|ask| ask.limit.number);
    let mut nearest: Option<Shown> = None;
    let mut refused: Option<Refusal> = None;
    let mut taken = [None; MAX_LIMITS];
    let mut shards: [Option<MutexGuard<'_, Shard>>; MAX_LIMITS] = [const { None }; MAX_LIMITS];
    for (shard, ask) in shards.iter_mut().zip(&asks) {
        *shard = Some(ask.limit.table.lock(ask.caller.hash));
    }
    let now_ns = now_ns();
    for (shard, ask) in shards.iter_mut().flatten().zip(&asks) {
        let (rule, limit) = (ask.limit.table.rule, &ask.limit);
        let standing = shard.standing(rule, &ask.caller, now_ns);
        let reset = Duration::from_nanos(standing.reset_ns);
        if standing.remaining == 0 {
            shard.refused = shard.refused.saturating_add(1);
            refuse(&mut refused, Shown { limit: limit.clone(), remaining: 0, reset });
            continue;
        }
        let remaining = standing.remaining - 1;
        if is_nearer(rule, remaining, nearest.as_ref()) {
            nearest = Some(Shown { limit: limit.clone(), remaining, reset });
        }
    }
    if let Some(refused) = refused {
        return Err(refused);
    }
    for ((shard, ask), taken) in shards.iter_mut().flatten().zip(&asks).zip(&mut taken) {
        *taken = Some(shard.take(ask.limit.table.rule, &ask.caller, now_ns));
    }
    // What is shown is how things stand after this request.
    let shown = nearest.as_mut().and_then(|shown| {
        let mut asked = shards.iter_mut().flatten().zip(&asks);
        asked.find(|(_, ask)| Arc::ptr_eq(&ask.limit, &shown.limit)).map(|(shard, ask)| (shown, shard, ask))
    });
    if let Some((shown, shard, ask)) = shown {
        let standing = shard.standing(ask.limit.table.rule, &ask.caller, now_ns);
        (shown.remaining, shown.reset) = (standing.remaining, Duration::from_nanos(standing.reset_ns));
    }
    drop(shards);
    for (ask, taken) in asks.iter_mut().zip(taken) {
        ask.taken = taken;
    }
    Ok(Admission { asks, nearest, shared: OnceLock::new() })
}

pub(super) fn refuse(refused: &mut Option<Refusal>, shown: Shown) {
    let name = shown.limit.name.clone();
    match refused {
        None => *refused = Some(Refusal { longest: shown, names: vec![name] }),
        Some(refused) => {
            refused.names.push(name);
            if shown.reset > refused.longest.reset {
                refused.longest = shown;
            }
        }
    }
}

/// Whether a limit with so many requests left is used up before the one found so far. Requests at a time end by
/// themselves, so that they are told of only where there is nothing else to tell.
pub(super) fn is_nearer(rule: Rule, remaining: u32, nearest: Option<&Shown>) -> bool {
    nearest.is_none_or(|nearest| match (rule.is_concurrency(), nearest.limit.table.rule.is_concurrency()) {
        (false, true) => true,
        (true, false) => false,
        _ => remaining <= nearest.remaining,
    })
}

impl Admission {
    /// The limit that is nearest to being used up.
    pub fn nearest(&self) -> Option<&Shown> {
        let shared = self.shared.get().and_then(|shared| shared.nearest.as_ref());
        [self.nearest.as_ref(), shared].into_iter().flatten().reduce(Shown::nearer)
    }

    /// Undoes it, for a request that is refused after all; what it holds at a time it holds until its end.
    pub fn give_back(&self) {
        self.release(|rule| !rule.is_concurrency());
    }

    /// Ends the request: it does not count any longer among those at a time.
    pub fn end(&self) {
        self.release(Rule::is_concurrency);
    }

    fn release(&self, wanted: impl Fn(Rule) -> bool) {
        for ask in self.asks.iter().filter(|ask| wanted(ask.limit.table.rule)) {
            if let Some(taken) = ask.taken {
                ask.limit.table.lock(ask.caller.hash).give_back(ask.limit.table.rule, &ask.caller, taken);
            }
        }
    }
}

impl Shown {
    /// The one of two that is nearer to being used up.
    pub fn nearer<'s>(&'s self, other: &'s Self) -> &'s Self {
        if is_nearer(self.limit.table.rule, self.remaining, Some(other)) { self } else { other }
    }

    /// When to try again, in whole seconds, at least 1.
    pub fn retry_after_s(&self) -> u64 {
        seconds(self.reset).max(1)
    }

    /// Puts it on an answer, in the words that are common and in those of draft-ietf-httpapi-ratelimit-headers-10.
    /// `X-RateLimit-Reset` is a second since the Unix epoch, `t` the seconds until then.
    pub fn dress(&self, headers: &mut HeaderMap, now_ms: u64) {
        let reset_s = now_ms.saturating_add(u64::try_from(self.reset.as_millis()).unwrap_or(u64::MAX)).div_ceil(1000);
        headers.insert(LIMIT, self.limit.quota.clone());
        headers.insert(REMAINING, HeaderValue::from(self.remaining));
        headers.insert(RESET, HeaderValue::from(reset_s));
        headers.insert(POLICY, self.limit.policy.clone());
        let (name, left) = (&self.limit.name, self.remaining);
        let standing = match seconds(self.reset) {
            0 => format!("\"{name}\";r={left}"),
            reset_s => format!("\"{name}\";r={left};t={reset_s}"),
        };
        // A name, as in the policy, and numbers.
        if let Ok(value) = HeaderValue::try_from(standing) {
            headers.insert(RATE_LIMIT, value);
        }
    }
}

fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

#[cfg(test)]
#[path = "admission_tests.rs"]
mod tests;
