//! How much requests matter by who makes them, where it is known already who that is.

use std::collections::BTreeMap;
use std::sync::Arc;

use weft_core::manifest::{self, Priority};

use crate::auth::Identity;

/// Priorities of callers.
#[derive(Debug)]
pub(crate) struct Classes {
    roles: BTreeMap<Arc<str>, Priority>,
    /// All tiers there are, with a priority where one has it.
    tiers: BTreeMap<Arc<str>, Option<Priority>>,
    of_api_key: Option<Arc<str>>,
    of_token: Option<Arc<str>>,
}

impl Classes {
    pub fn new(gateway: &manifest::Gateway) -> Self {
        let overload = &gateway.overload;
        let of = |tier: &Arc<str>| {
            overload.tiers.iter().find(|(name, _)| name.value == *tier).map(|(_, priority)| *priority)
        };
        let default = &gateway.rate_limits.default_tier;
        Self {
            roles: overload.roles.iter().map(|(name, priority)| (name.value.clone(), *priority)).collect(),
            tiers: gateway.rate_limits.tiers.keys().map(|tier| (tier.clone(), of(tier))).collect(),
            of_api_key: default.api_key.as_ref().map(|tier| tier.value.clone()),
            of_token: default.token.as_ref().map(|tier| tier.value.clone()),
        }
    }

    /// Whether it makes no difference who calls.
    pub fn is_empty(&self) -> bool {
        self.roles.is_empty() && self.tiers.values().all(Option::is_none)
    }

    /// What the caller's role says, else their tier, which is the one that limits hold for; `None` if neither says anything.
    pub fn of(&self, identity: &Identity) -> Option<Priority> {
        let default = if identity.api_key().is_some() { &self.of_api_key } else { &self.of_token };
        let known = |tier: &Arc<str>| self.tiers.get(tier);
        let of_tier = || *identity.tier().and_then(known).or_else(|| default.as_ref().and_then(known))?;
        self.roles.get(identity.role()).copied().or_else(of_tier)
    }
}

#[cfg(test)]
mod tests {
    use weft_core::manifest::{DefaultTier, Gateway, Located, Overload, RateLimits, Tier};

    use super::*;
    use crate::auth::ApiKey;

    fn caller(role: &str, tier: Option<&str>) -> Identity {
        let key = ApiKey {
            id: "k".into(),
            owner: "u1".into(),
            role: role.into(),
            tier: tier.map(Arc::from),
            ..ApiKey::default()
        };
        Identity::of_api_key(key).unwrap()
    }

    #[test]
    fn a_role_outranks_a_tier_and_a_tier_that_is_not_there_is_none() {
        let named = |name: &str, priority| (Located::new(Arc::from(name), 1), priority);
        let overload = Overload {
            roles: vec![named("admin", Priority::High)],
            tiers: vec![named("free", Priority::Low)],
            ..Overload::default()
        };
        let tier = Tier { per_minute: Some(1), per_hour: None, concurrent: None };
        let rate_limits = RateLimits {
            tiers: [("free".into(), tier.clone()), ("gold".into(), tier)].into(),
            default_tier: DefaultTier { api_key: Some(Located::new("free".into(), 1)), token: None },
            ..RateLimits::default()
        };
        let classes = Classes::new(&Gateway { overload, rate_limits, ..Gateway::default() });
        assert!(!classes.is_empty() && Classes::new(&Gateway::default()).is_empty());
        for (role, tier, expected) in [
            ("admin", Some("free"), Some(Priority::High)),
            ("student", Some("free"), Some(Priority::Low)),
            ("student", Some("gold"), None),
            ("student", Some("gone"), Some(Priority::Low)),
            ("student", None, Some(Priority::Low)),
            ("", Some("gold"), None),
        ] {
            assert_eq!(classes.of(&caller(role, tier)), expected, "{role} {tier:?}");
        }
        let token = Identity::for_tests("u1");
        assert_eq!(classes.of(&token), None, "the tier of keys is not that of tokens");
    }
}
