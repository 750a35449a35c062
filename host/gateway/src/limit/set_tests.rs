//! Which limits hold for whom, and what a new manifest keeps.

use std::sync::Arc;

use weft_core::manifest::{DefaultTier, Located, RateLimit};

use super::*;
use crate::auth::ApiKey;

const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn sliding(name: &str, scope: RateScope, limit: u32) -> RateLimit {
    let strategy = RateStrategy::SlidingWindow { limit, window_s: 60 };
    RateLimit { name: name.into(), strategy, scope, components: None, line: 1 }
}

fn definitions(limits: Vec<RateLimit>) -> RateLimits {
    let tier = |per_minute| Tier { per_minute: Some(per_minute), per_hour: Some(100), concurrent: Some(2) };
    let tiers = [("free", tier(3)), ("premium", tier(6))].map(|(name, tier)| (name.into(), tier));
    let default_tier = DefaultTier { api_key: Some(Located::new("free".into(), 1)), token: None };
    RateLimits { limits, tiers: tiers.into(), default_tier, ..RateLimits::default() }
}

fn route(set: &LimitSet, limits: &[&str]) -> RouteLimits {
    set.of_route(&manifest::Route {
        limits: limits.iter().map(|name| Arc::from(*name)).collect(),
        is_tiered: true,
        ..manifest::Route::new(manifest::Method::Get, "/a".parse().unwrap(), "a".into())
    })
}

fn api_key(id: &str, tier: Option<&str>) -> Identity {
    let tier = tier.map(Arc::from);
    Identity::of_api_key(ApiKey { id: id.into(), owner: "ada".into(), tier, ..ApiKey::default() }).unwrap()
}

/// How many of ten requests one after the other are admitted.
fn admitted(route: &RouteLimits, identity: Option<&Identity>) -> usize {
    let one = || {
        let address = route.admit_address(ADDRESS, || 1).ok()?;
        let caller = route.admit_caller(identity, ADDRESS, || 1);
        if caller.is_err() {
            address.iter().for_each(Admission::give_back);
        }
        let caller = caller.ok()?;
        address.iter().chain(&caller).for_each(Admission::end);
        Some(())
    };
    (0..10).filter_map(|_| one()).count()
}

#[test]
fn each_scope_counts_its_own() {
    let limits = vec![
        sliding("user", RateScope::User, 4),
        sliding("key", RateScope::ApiKey, 2),
        sliding("ip", RateScope::Ip, 9),
        sliding("tenant", RateScope::Tenant, 1),
    ];
    let set = LimitSet::new(&definitions(limits), &LimitSet::default());
    let (ada, bob) = (Identity::for_tests("ada"), Identity::for_tests("bob"));
    let user = route(&set, &["user"]);
    assert_eq!([None, Some(&ada), Some(&bob), Some(&ada)].map(|who| admitted(&user, who)), [4, 4, 4, 0]);
    let key = route(&set, &["key"]);
    // A token is no key, so that the limit does not hold for it.
    assert_eq!(admitted(&key, Some(&ada)), 10);
    assert_eq!(admitted(&key, Some(&api_key("k1", Some("premium")))), 2);
    let tenant = route(&set, &["tenant"]);
    assert_eq!(admitted(&tenant, Some(&ada)), 10);
    let of_tenant = |id: &str| {
        let tenant = Some("acme".into());
        Identity::of_api_key(ApiKey { id: id.into(), owner: id.into(), tenant, ..ApiKey::default() }).unwrap()
    };
    assert_eq!(admitted(&tenant, Some(&of_tenant("a"))) + admitted(&tenant, Some(&of_tenant("b"))), 1);
    let address = route(&set, &["ip"]);
    assert_eq!([None, Some(&ada)].map(|who| admitted(&address, who)), [9, 0]);
}

#[test]
fn what_a_later_limit_refuses_an_earlier_one_does_not_count() {
    let limits = vec![sliding("ip", RateScope::Ip, 9), sliding("user", RateScope::User, 2)];
    let set = LimitSet::new(&definitions(limits), &LimitSet::default());
    let both = route(&set, &["ip", "user"]);
    for user in ["a", "b", "c", "d"] {
        assert_eq!(admitted(&both, Some(&Identity::for_tests(user))), 2);
    }
    assert_eq!(admitted(&both, Some(&Identity::for_tests("e"))), 1, "eight of nine were left to the address");
}

#[test]
fn tiers_are_those_of_the_key_of_the_claim_or_the_default() {
    let set = LimitSet::new(&definitions(vec![]), &LimitSet::default());
    let route = route(&set, &[]);
    for (id, tier, expected) in
        [("k1", Some("free"), 3), ("k2", Some("premium"), 6), ("k3", None, 3), ("k4", Some("gone"), 3)]
    {
        assert_eq!(admitted(&route, Some(&api_key(id, tier))), expected, "{tier:?}");
    }
    // Tokens have no default here, and nobody has no tier.
    assert_eq!(admitted(&route, Some(&Identity::for_tests("ada"))), 10);
    assert_eq!(admitted(&route, None), 10);
    // At a time.
    let key = api_key("k5", Some("premium"));
    let held: Vec<_> = (0..2).map(|_| route.admit_caller(Some(&key), ADDRESS, || 1).unwrap().unwrap()).collect();
    let refusal = route.admit_caller(Some(&key), ADDRESS, || 1).unwrap_err();
    assert_eq!(refusal.names, ["premium-concurrent".into()]);
    assert_eq!(refusal.longest.retry_after_s(), 1);
    held[0].end();
    assert!(route.admit_caller(Some(&key), ADDRESS, || 1).is_ok());
}

#[test]
fn a_new_manifest_keeps_the_counts_of_what_it_leaves_as_it_was() {
    let limits = || vec![sliding("same", RateScope::User, 2), sliding("changed", RateScope::User, 2)];
    let before = LimitSet::new(&definitions(limits()), &LimitSet::default());
    let ada = Identity::for_tests("ada");
    let key = api_key("k1", Some("free"));
    for name in ["same", "changed"] {
        assert_eq!(admitted(&route(&before, &[name]), Some(&ada)), 2);
    }
    assert_eq!(admitted(&route(&before, &[]), Some(&key)), 3);
    let mut changed = definitions(limits());
    changed.limits[1].strategy = RateStrategy::SlidingWindow { limit: 3, window_s: 60 };
    changed.limits[1].components = Some(vec![]);
    changed.limits.push(sliding("new", RateScope::User, 1));
    let after = LimitSet::new(&changed, &before);
    let of = |name| admitted(&route(&after, &[name]), Some(&ada));
    assert_eq!(["same", "changed", "new"].map(of), [0, 3, 1]);
    assert_eq!(admitted(&route(&after, &[]), Some(&key)), 0, "tiers are limits like others");
}

#[test]
fn a_report_names_who_has_used_most() {
    let set = LimitSet::new(&definitions(vec![sliding("user", RateScope::User, 5)]), &LimitSet::default());
    let route = route(&set, &["user"]);
    for (user, requests) in [("a", 1), ("b", 5), ("c", 3)] {
        for _ in 0..requests {
            route.admit_caller(Some(&Identity::for_tests(user)), ADDRESS, || 1).unwrap();
        }
    }
    assert!(route.admit_caller(Some(&Identity::for_tests("b")), ADDRESS, || 1).is_err());
    let report = &set.report(2, 1)[0];
    assert_eq!((&*report.name, &*report.scope, &*report.strategy), ("user", "user", "sliding-window"));
    assert_eq!((report.limit, report.window_s, report.keys), (5, Some(60), 3));
    assert_eq!((report.admitted, report.refused), (9, 1));
    let callers: Vec<_> = report.callers.iter().map(|caller| (&*caller.key, caller.used)).collect();
    assert_eq!(callers, [("user b", 5), ("user c", 3)]);
    assert_eq!(set.report(1, 1)[1].name, "free-per-minute");
}
