//! Rate limits: what the manifest says becomes limits that count, kept over a new manifest as long as they are defined
//! as before. How one caller is counted is in [`rule`], whose places they have in [`table`], how several limits are
//! asked at once in [`admission`], how hosts count together in [`shared`]. When a request is asked is the stack's business (`stack/limit.rs`).
//!
//! Own code rather than a library's: several limits have to be asked at once without one counting what another refuses,
//! and none of the known ones (governor among them) can look before it takes, or counts a sliding window without letting
//! too many through.

mod admission;
mod key;
mod report;
mod rule;
mod shared;
mod table;

use std::collections::{BTreeMap, HashMap};
use std::hash::RandomState;
use std::net::IpAddr;
use std::sync::Arc;

use weft_core::manifest::{self, RateLimits, RateScope, RateStrategy, Tier};

use crate::auth::Identity;
pub(crate) use admission::{Admission, Refusal, Shown};
use admission::{Ask, Limit, Scope, admit};
use key::Hashed;
pub(crate) use key::Who;
pub use report::{LimitReport, LimitedCaller};

/// All limits of an application.
#[derive(Debug, Default)]
pub(crate) struct LimitSet {
    /// In the order of the manifest.
    limits: Vec<Arc<Limit>>,
    tiers: Arc<Tiers>,
    /// Kept with the limits, whose callers are hashed under it.
    seed: RandomState,
}

/// The limits of each tier.
#[derive(Debug, Default)]
struct Tiers {
    by_name: BTreeMap<Arc<str>, Vec<Arc<Limit>>>,
    of_api_key: Option<Arc<str>>,
    of_token: Option<Arc<str>>,
}

/// The limits that hold for one route.
#[derive(Debug, Default)]
pub(crate) struct RouteLimits {
    /// Those that ask nobody's name.
    early: Vec<Arc<Limit>>,
    late: Vec<Arc<Limit>>,
    tiers: Option<Arc<Tiers>>,
    seed: RandomState,
}

impl LimitSet {
    /// The limits of a manifest. Those that `before` has with the same definition go on counting.
    pub fn new(definitions: &RateLimits, before: &Self) -> Self {
        let kept: HashMap<(&str, bool), &Arc<Limit>> = before
            .limits
            .iter()
            .map(|limit| ((&*limit.name, false), limit))
            .chain(before.tiers.by_name.values().flatten().map(|limit| ((&*limit.name, true), limit)))
            .collect();
        let limit = |name: Arc<str>, strategy: RateStrategy, scope: Scope| {
            let same = kept.get(&(&*name, scope == Scope::Caller)).filter(|limit| {
                limit.strategy == strategy && limit.scope == scope && limit.max_keys == definitions.max_keys
            });
            let new = || Arc::new(Limit::new(name.clone(), strategy, scope, definitions.max_keys));
            same.map_or_else(new, |limit| Arc::clone(limit))
        };
        let of_tier = |(name, tier): (&Arc<str>, &Tier)| {
            let parts = strategies(tier)
                .map(|(part, strategy)| limit(format!("{name}-{part}").into(), strategy, Scope::Caller));
            (name.clone(), parts.collect())
        };
        let default = &definitions.default_tier;
        let tiers = Tiers {
            by_name: definitions.tiers.iter().map(of_tier).collect(),
            of_api_key: default.api_key.as_ref().map(|tier| tier.value.clone()),
            of_token: default.token.as_ref().map(|tier| tier.value.clone()),
        };
        let own = definitions.limits.iter();
        Self {
            limits: own.map(|one| limit(one.name.clone(), one.strategy, Scope::Of(one.scope))).collect(),
            tiers: Arc::new(tiers),
            seed: before.seed.clone(),
        }
    }

    /// What holds for a route.
    pub fn of_route(&self, route: &manifest::Route) -> RouteLimits {
        let named = self.limits.iter().filter(|limit| route.limits.contains(&limit.name)).cloned();
        let (early, late) =
            named.partition(|limit| matches!(limit.scope, Scope::Of(RateScope::Ip | RateScope::Global)));
        let has_tiers = route.is_tiered && !self.tiers.by_name.is_empty();
        RouteLimits { early, late, tiers: has_tiers.then(|| self.tiers.clone()), seed: self.seed.clone() }
    }
}

fn strategies(tier: &Tier) -> impl Iterator<Item = (&'static str, RateStrategy)> {
    let window = |limit: Option<u32>, window_s| limit.map(|limit| RateStrategy::SlidingWindow { limit, window_s });
    let concurrent = tier.concurrent.map(|limit| RateStrategy::Concurrency { limit });
    let parts = [
        ("per-minute", window(tier.per_minute, 60)),
        ("per-hour", window(tier.per_hour, 3_600)),
        ("concurrent", concurrent),
    ];
    parts.into_iter().filter_map(|(part, strategy)| Some((part, strategy?)))
}

impl Tiers {
    /// The limits of a caller's tier. A tier that is not there any more is none.
    fn of(&self, identity: &Identity) -> &[Arc<Limit>] {
        let default = if identity.api_key().is_some() { &self.of_api_key } else { &self.of_token };
        let own = identity.tier().and_then(|tier| self.by_name.get(tier));
        let limits = own.or_else(|| default.as_ref().and_then(|tier| self.by_name.get(tier)));
        limits.map_or(&[], Vec::as_slice)
    }
}

impl RouteLimits {
    /// Asks the limits for which it does not matter who calls. `None` if there are none.
    pub fn admit_address(&self, address: IpAddr, now_ns: impl FnOnce() -> u64) -> Result<Option<Admission>, Refusal> {
        if self.early.is_empty() {
            return Ok(None);
        }
        let asks = self.early.iter().map(|limit| {
            let key = match limit.scope {
                Scope::Of(RateScope::Global) => Who::Everyone,
                _ => Who::of_address(address),
            };
            Ask::new(limit.clone(), key.hashed(&self.seed))
        });
        admit(asks.collect(), now_ns).map(Some)
    }

    /// Asks the limits for which it does. `None` if there are none.
    pub fn admit_caller(
        &self,
        identity: Option<&Identity>,
        address: IpAddr,
        now_ns: impl FnOnce() -> u64,
    ) -> Result<Option<Admission>, Refusal> {
        let of_tier = identity.zip(self.tiers.as_ref()).map_or(&[][..], |(identity, tiers)| tiers.of(identity));
        if self.late.is_empty() && of_tier.is_empty() {
            return Ok(None);
        }
        let hashed = |key: Who| key.hashed(&self.seed);
        let user = hashed(match identity {
            Some(identity) => Who::User(identity.shared_subject().clone()),
            None => Who::of_address(address),
        });
        let api_key = identity.and_then(Identity::api_key).map(|id| hashed(Who::ApiKey(id.clone())));
        let mut asks = Vec::with_capacity(self.late.len() + of_tier.len());
        for limit in self.late.iter().chain(of_tier) {
            let caller: Option<Hashed> = match limit.scope {
                Scope::Of(RateScope::User) => Some(user.clone()),
                Scope::Of(RateScope::ApiKey) => api_key.clone(),
                Scope::Of(RateScope::Tenant) => {
                    identity.and_then(Identity::tenant).map(|name| hashed(Who::Tenant(name.clone())))
                }
                Scope::Caller => Some(api_key.clone().unwrap_or_else(|| user.clone())),
                // Asked before.
                Scope::Of(RateScope::Ip | RateScope::Global) => None,
            };
            asks.extend(caller.map(|caller| Ask::new(limit.clone(), caller)));
        }
        admit(asks, now_ns).map(Some)
    }
}

#[cfg(test)]
#[path = "set_tests.rs"]
mod tests;
