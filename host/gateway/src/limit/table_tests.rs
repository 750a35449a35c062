//! The bound on callers, and that it lets nobody through more often.

use std::collections::HashMap;
use std::hash::RandomState;
use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use super::*;

const S: u64 = 1_000_000_000;

fn caller(number: u32, seed: &RandomState) -> Hashed {
    Who::of_address(IpAddr::V4(Ipv4Addr::from_bits(number))).hashed(seed)
}

/// Whether the caller is admitted.
fn request(table: &Table, caller: &Hashed, now_ns: u64) -> bool {
    let mut shard = table.lock(caller.hash);
    let has_room = shard.standing(table.rule, caller, now_ns).remaining > 0;
    if has_room {
        shard.take(table.rule, caller, now_ns);
    }
    has_room
}

fn places(table: &Table) -> usize {
    table.shards().map(|shard| shard.len()).sum()
}

#[test]
fn a_million_callers_take_no_more_than_their_places() {
    let seed = RandomState::new();
    for rule in [
        Rule::Sliding { limit: 5, window_ns: 900 * S },
        Rule::Fixed { limit: 5, window_ns: 900 * S },
        Rule::Bucket { capacity: 5, refill: 1, unit: 3_600 * S },
    ] {
        let table = Table::new(rule, 10_000);
        let known = caller(0, &seed);
        for number in 0..1_000_000 {
            // A microsecond each: all of them still count at the end.
            request(&table, &caller(number, &seed), u64::from(number) * 1_000);
        }
        let bound = 10_000_usize.div_ceil(SHARDS) * SHARDS;
        assert!((9_000..=bound).contains(&places(&table)), "{rule:?}: {}", places(&table));
        // Who was there before the flood has what is left to it; who comes after it waits with the others.
        let left = (0..10).filter(|_| request(&table, &known, S)).count();
        assert_eq!(left, 4, "{rule:?}");
        assert!(!request(&table, &caller(2_000_000, &seed), S), "{rule:?}");
        // When it is over, its places are free and newcomers are counted by themselves again.
        let later = 100_000 * S;
        for number in 3_000_000..3_000_100 {
            let own = caller(number, &seed);
            assert_eq!((0..10).filter(|_| request(&table, &own, later)).count(), 5, "{rule:?}");
        }
        assert_eq!(places(&table), 10_000.min(places(&table)), "{rule:?}");
    }
}

#[test]
fn who_is_not_in_work_takes_no_place_of_a_concurrency_limit() {
    let seed = RandomState::new();
    let rule = Rule::Concurrency { limit: 2 };
    let table = Table::new(rule, 100);
    for number in 0..100_000 {
        let caller = caller(number, &seed);
        let taken = table.lock(caller.hash).take(rule, &caller, 0);
        assert_eq!(table.lock(caller.hash).standing(rule, &caller, 0).remaining, 1);
        table.lock(caller.hash).give_back(rule, &caller, taken);
    }
    assert_eq!(places(&table), 0);
}

#[test]
fn what_is_given_back_leaves_nothing() {
    let seed = RandomState::new();
    for rule in [
        Rule::Sliding { limit: 2, window_ns: S },
        Rule::Fixed { limit: 2, window_ns: S },
        Rule::Bucket { capacity: 2, refill: 1, unit: S },
    ] {
        let table = Table::new(rule, 100);
        let caller = caller(1, &seed);
        let taken = table.lock(caller.hash).take(rule, &caller, 0);
        table.lock(caller.hash).give_back(rule, &caller, taken);
        assert_eq!((places(&table), table.lock(caller.hash).admitted), (0, 0), "{rule:?}");
    }
}

proptest! {
    /// With places for a few of many callers: whoever has one, gets one or loses one, nobody is admitted more often.
    #[test]
    fn a_full_table_lets_nobody_through_more_often(
        steps in proptest::collection::vec((0_u32..400, 0..S / 5), 1..2_000),
        limit in 1_u32..4,
    ) {
        let (window_ns, seed) = (4 * S, RandomState::new());
        let table = Table::new(Rule::Sliding { limit, window_ns }, 100);
        let mut admitted: HashMap<u32, Vec<u64>> = HashMap::new();
        let mut now_ns = 0;
        for (number, passes) in steps {
            now_ns += passes / 16;
            if request(&table, &caller(number, &seed), now_ns) {
                let times = admitted.entry(number).or_default();
                times.push(now_ns);
                let recent = times.iter().filter(|at| **at + window_ns > now_ns).count();
                prop_assert!(recent <= limit as usize, "{number}: {times:?}");
            }
        }
        prop_assert!(places(&table) <= 100_usize.div_ceil(SHARDS) * SHARDS);
    }
}
