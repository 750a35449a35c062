//! How many requests the gateway admits: limits by name, which routes each covers, and tiers of callers. Counting
//! belongs to the gateway.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Manifest;
use super::diagnostic::Located;
use super::names;
use super::problems::Problems;
use super::route::{Route, Rule};
use super::section::{Entry, Section};

/// By this name a route asks for the limits of its caller's tier.
pub const TIER_LIMIT: &str = "tier";
/// So many limits may hold for one route, those of a tier beside them.
pub const MAX_ROUTE_LIMITS: usize = 12;
/// A month: what is counted longer than that belongs into a database.
const MAX_WINDOW_S: u32 = 31 * 24 * 60 * 60;
const MAX_REQUESTS: u32 = 1_000_000;

/// What `[application.tool.weft.gateway]` says about how many requests are admitted. Nothing is limited by default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimits {
    /// `rate_limits`: in the order of the file.
    pub limits: Vec<RateLimit>,
    /// `tiers`: what callers of each tier may do.
    pub tiers: BTreeMap<Arc<str>, Tier>,
    /// The tiers of callers of whom no tier is known.
    pub default_tier: DefaultTier,
    /// `max_limit_keys`: callers that one limit tells apart: 100 to 10,000,000, 100,000 by default.
    pub max_keys: u32,
}

/// `default_tier = { api_key = "...", token = "..." }`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DefaultTier {
    /// Of an API key that was made without one.
    pub api_key: Option<Located<Arc<str>>>,
    /// Of a token without the claim.
    pub token: Option<Located<Arc<str>>>,
}

/// One of `[application.tool.weft.gateway.rate_limits]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Its name, which clients see.
    pub name: Arc<str>,
    /// How it counts; `sliding-window` by default.
    pub strategy: RateStrategy,
    /// Whose requests are counted together; `user` by default.
    pub scope: RateScope,
    /// The components whose routes it covers, `courses-*` among them; without it those of all routes.
    pub components: Option<Vec<Located<Arc<str>>>>,
    /// The line it stands on.
    pub line: usize,
}

/// How requests are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateStrategy {
    /// A window begins with a request and ends after its time; at most so many in it.
    FixedWindow {
        /// Requests: 1 to 1,000,000.
        limit: u32,
        /// Seconds: 1 to 2,678,400.
        window_s: u32,
    },
    /// At most so many in any span of that length.
    SlidingWindow {
        /// Requests: 1 to 1,000,000.
        limit: u32,
        /// Seconds: 1 to 2,678,400.
        window_s: u32,
    },
    /// A bucket holds tokens, each request takes one, and they come back evenly.
    TokenBucket {
        /// The most that it holds: 1 to 1,000,000, 100 by default.
        capacity: u32,
        /// So many come back in each interval: 1 to 1,000,000, 10 by default.
        refill: u32,
        /// The interval in seconds: 1, 60 or 3,600.
        interval_s: u32,
    },
    /// At most so many at a time, each until the end of its answer.
    Concurrency {
        /// Requests: 1 to 1,000,000.
        limit: u32,
    },
}

/// Whose requests are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateScope {
    /// Those of one user; where nobody is known, of one address.
    User,
    /// Those with one API key; without one the limit does not hold.
    ApiKey,
    /// Those from one address; of IPv6, from one network of 64 bits.
    Ip,
    /// Those of one tenant; where none is known the limit does not hold.
    Tenant,
    /// All.
    Global,
}

/// What the callers of a tier may do, each by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    /// In any minute: 1 to 1,000,000.
    pub per_minute: Option<u32>,
    /// In any hour: 1 to 1,000,000.
    pub per_hour: Option<u32>,
    /// At a time: 1 to 1,000,000.
    pub concurrent: Option<u32>,
}

impl Default for RateLimits {
    fn default() -> Self {
        let (limits, tiers, default_tier) = (Vec::new(), BTreeMap::new(), DefaultTier::default());
        Self { limits, tiers, default_tier, max_keys: 100_000 }
    }
}

impl RateScope {
    const ALL: [Self; 5] = [Self::User, Self::ApiKey, Self::Ip, Self::Tenant, Self::Global];

    /// As it stands in the manifest.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::ApiKey => "api-key",
            Self::Ip => "ip",
            Self::Tenant => "tenant",
            Self::Global => "global",
        }
    }
}

impl RateLimit {
    /// Whether it holds for the routes of this component, if they do not say otherwise.
    #[must_use]
    pub fn covers(&self, component: &str) -> bool {
        self.components.as_ref().is_none_or(|covered| covered.iter().any(|pattern| names::covers(pattern, component)))
    }
}

impl RateLimits {
    /// Reads the keys of the gateway's table that are about this.
    pub(super) fn read(section: &Section<'_>) -> Self {
        let entries = |key| section.section(key).map(|table| table.entries()).unwrap_or_default();
        let limits = entries("rate_limits").into_iter().filter_map(|(name, entry)| limit(&name, entry));
        let tiers = entries("tiers").into_iter().filter_map(|(name, entry)| tier(&name, entry));
        let default_tier = section.section("default_tier").map(|table| {
            let default = DefaultTier { api_key: table.string("api_key"), token: table.string("token") };
            table.finish();
            default
        });
        Self {
            limits: limits.collect(),
            tiers: tiers.collect(),
            default_tier: default_tier.unwrap_or_default(),
            max_keys: section.number("max_limit_keys", 100..=10_000_000, Self::default().max_keys),
        }
    }
}

fn named<'a>(name: &Located<Arc<str>>, entry: Entry<'a>) -> Option<Section<'a>> {
    if !names::is_label(name) || &*name.value == TIER_LIMIT {
        entry.report_with_help(
            "is no name for this",
            format!("take words of one case joined by `-` or `_`; {TIER_LIMIT:?} stands for the caller's tier"),
        );
    }
    entry.section()
}

fn limit(name: &Located<Arc<str>>, entry: Entry<'_>) -> Option<RateLimit> {
    let section = named(name, entry)?;
    let strategy = strategy(name, &section);
    let scope = section.string("scope").map_or(Some(RateScope::User), |scope| {
        let found = RateScope::ALL.into_iter().find(|known| known.as_str() == &*scope.value);
        if found.is_none() {
            let message = format!("rate limit {:?}: {:?} is no scope", &*name.value, &*scope.value);
            section.report_with_help(scope.line, message, "write user, api-key, ip, tenant or global");
        }
        found
    });
    let components = section
        .get("components")
        .is_some()
        .then(|| section.names("components", names::is_pattern, "a component's id, or the beginning of ids and a `*`"));
    let line = section.line;
    section.finish();
    Some(RateLimit { name: name.value.clone(), strategy: strategy?, scope: scope?, components, line })
}

fn strategy(name: &str, section: &Section<'_>) -> Option<RateStrategy> {
    let kind = section.string("strategy");
    let window = |key| {
        if section.get(key).is_none() {
            let message = format!("rate limit {name:?}: `{key}` is missing");
            section.report_with_help(section.line, message, "such as limit = 500, window_s = 900");
        }
        section.number(key, 1..=if key == "window_s" { MAX_WINDOW_S } else { MAX_REQUESTS }, 1)
    };
    match kind.as_ref().map_or("sliding-window", |kind| &*kind.value) {
        "sliding-window" => Some(RateStrategy::SlidingWindow { limit: window("limit"), window_s: window("window_s") }),
        "fixed-window" => Some(RateStrategy::FixedWindow { limit: window("limit"), window_s: window("window_s") }),
        "concurrency" => Some(RateStrategy::Concurrency { limit: window("limit") }),
        "token-bucket" => Some(token_bucket(name, section)),
        other => {
            let message = format!("rate limit {name:?}: {other:?} is no strategy");
            let line = kind.as_ref().map_or(section.line, |kind| kind.line);
            section.report_with_help(line, message, "write sliding-window, fixed-window, token-bucket or concurrency");
            // What the strategies ask for, so that none of it is called unknown.
            for key in ["limit", "window_s", "capacity", "per_second", "per_minute", "per_hour"] {
                let _ = section.get(key);
            }
            None
        }
    }
}

fn token_bucket(name: &str, section: &Section<'_>) -> RateStrategy {
    let mut refills = Vec::new();
    for (key, interval_s) in [("per_second", 1), ("per_minute", 60), ("per_hour", 3_600)] {
        if section.get(key).is_some() {
            refills.push((section.number(key, 1..=MAX_REQUESTS, 1), interval_s));
        }
    }
    if refills.len() > 1 {
        section.report(section.line, format!("rate limit {name:?} has more than one rate"));
    }
    let (refill, interval_s) = refills.pop().unwrap_or((10, 1));
    RateStrategy::TokenBucket { capacity: section.number("capacity", 1..=MAX_REQUESTS, 100), refill, interval_s }
}

fn tier(name: &Located<Arc<str>>, entry: Entry<'_>) -> Option<(Arc<str>, Tier)> {
    let section = named(name, entry)?;
    let number = |key| section.get(key).and_then(|entry| entry.number(&(1..=MAX_REQUESTS)));
    let (per_minute, per_hour, concurrent) = (number("per_minute"), number("per_hour"), number("concurrent"));
    section.finish();
    Some((name.value.clone(), Tier { per_minute, per_hour, concurrent }))
}

/// The names of the limits that hold for a route, and whether its caller's tier does: what the route's rule says, else
/// those that cover the component.
pub(super) fn of_route(manifest: &Manifest, rule: Option<&Rule>, component: &str) -> (Vec<Arc<str>>, bool) {
    let limits = &manifest.gateway.rate_limits;
    match rule.and_then(|rule| rule.limits.as_ref()) {
        Some(named) => {
            let (tier, own): (Vec<_>, Vec<_>) = named.iter().partition(|name| &*name.value == TIER_LIMIT);
            (own.into_iter().map(|name| name.value.clone()).collect(), !tier.is_empty())
        }
        None => {
            let covering = limits.limits.iter().filter(|limit| limit.covers(component));
            (covering.map(|limit| limit.name.clone()).collect(), true)
        }
    }
}

/// Reports references that lead nowhere.
pub(super) fn check(manifest: &Manifest, rules: &[Rule], problems: &Problems) {
    let limits = &manifest.gateway.rate_limits;
    for limit in &limits.limits {
        for pattern in limit.components.iter().flatten() {
            if !manifest.components.keys().any(|id| names::covers(pattern, id)) {
                let message = format!("rate limit {:?}: no component is called {:?}", &*limit.name, &**pattern);
                let near = names::nearest(pattern, manifest.components.keys().map(|id| &**id));
                let help = near.map_or_else(|| "remove it".to_owned(), |near| format!("did you mean {near:?}?"));
                problems.report_with_help(pattern.line, message, help);
            }
        }
        if limit.scope == RateScope::ApiKey && !manifest.auth.as_ref().is_some_and(|auth| auth.api_keys) {
            let message = format!("rate limit {:?} counts by API key, and there are none", &*limit.name);
            problems.report_with_help(limit.line, message, "add api_keys = true to [application.tool.weft.auth]");
        }
    }
    for tier in limits.default_tier.api_key.iter().chain(&limits.default_tier.token) {
        if !limits.tiers.contains_key(&tier.value) {
            unknown("default_tier", "tier", tier, limits.tiers.keys().map(|name| &**name), problems);
        }
    }
    let known = || limits.limits.iter().map(|limit| &*limit.name).chain([TIER_LIMIT]);
    for name in rules.iter().filter_map(|rule| rule.limits.as_ref()).flatten() {
        if !known().any(|known| *known == *name.value) {
            unknown("route", "rate limit", name, known(), problems);
        }
    }
}

/// Reports a name that leads nowhere, in words about who names what.
pub(super) fn unknown<'n>(
    who: &str,
    what: &str,
    name: &'n Located<Arc<str>>,
    known: impl Iterator<Item = &'n str>,
    problems: &Problems,
) {
    let help = names::nearest(name, known)
        .map_or_else(|| format!("define the {what}, or remove this"), |near| format!("did you mean {near:?}?"));
    problems.report_with_help(name.line, format!("{who}: there is no {what} {:?}", &*name.value), help);
}

/// Reports routes that more limits hold for than the gateway takes.
pub(super) fn check_number(routes: &[Route], problems: &Problems) {
    for route in routes.iter().filter(|route| route.limits.len() > MAX_ROUTE_LIMITS) {
        let (method, path, number) = (route.method, &route.pattern, route.limits.len());
        let message = format!("{number} rate limits hold for {method} {path}; at most {MAX_ROUTE_LIMITS} may");
        problems.report_with_help(route.line, message, "name those that shall: limits = [\"...\"]");
    }
}
