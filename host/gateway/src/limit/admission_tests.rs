//! All or nothing, and exact while many ask at once.

use std::hash::RandomState;
use std::sync::atomic::{AtomicU64, AtomicUsize};

use super::super::key::Who;
use super::*;

const S: u64 = 1_000_000_000;

fn limit(name: &str, strategy: RateStrategy) -> Arc<Limit> {
    Arc::new(Limit::new(name.into(), strategy, Scope::Caller, 1_000))
}

fn sliding(name: &str, limit: u32, window_s: u32) -> Arc<Limit> {
    self::limit(name, RateStrategy::SlidingWindow { limit, window_s })
}

fn user(name: &str, seed: &RandomState) -> Hashed {
    Who::User(name.into()).hashed(seed)
}

fn asks(limits: &[&Arc<Limit>], caller: &Hashed) -> Vec<Ask> {
    limits.iter().map(|limit| Ask::new(Arc::clone(limit), caller.clone())).collect()
}

fn used(limit: &Limit, caller: &Hashed, now_ns: u64) -> u32 {
    let rule = limit.table.rule;
    rule.limit() - limit.table.lock(caller.hash).standing(rule, caller, now_ns).remaining
}

#[test]
fn what_one_limit_refuses_no_other_counts() {
    let seed = RandomState::new();
    let caller = user("ada", &seed);
    let wide = [
        sliding("hour", 100, 3_600),
        limit("fixed", RateStrategy::FixedWindow { limit: 100, window_s: 60 }),
        limit("bucket", RateStrategy::TokenBucket { capacity: 100, refill: 1, interval_s: 3_600 }),
        limit("concurrency", RateStrategy::Concurrency { limit: 100 }),
    ];
    let (narrow, other) = (sliding("narrow", 2, 60), sliding("other", 1, 600));
    // Whatever the order in which they are given.
    let all: Vec<_> = wide[..2].iter().chain([&narrow]).chain(&wide[2..]).collect();
    let kept: Vec<_> = (0..2).map(|_| admit(asks(&all, &caller), || S).unwrap()).collect();
    assert_eq!(&*kept[1].nearest.as_ref().unwrap().limit.name, "narrow");
    for _ in 0..5 {
        let refusal = admit(asks(&all, &caller), || S).unwrap_err();
        assert_eq!((refusal.names, &*refusal.longest.limit.name), (vec!["narrow".into()], "narrow"));
    }
    for limit in &wide {
        assert_eq!(used(limit, &caller, S), 2, "{}", limit.name);
    }
    // Of several that refuse, the one that lasts longest is told.
    admit(asks(&[&other], &caller), || S).unwrap();
    let refusal = admit(asks(&[&narrow, &other], &caller), || S).unwrap_err();
    assert_eq!((refusal.names.len(), &*refusal.longest.limit.name), (2, "other"));
    assert!((600..=610).contains(&refusal.longest.retry_after_s()));
    // Another caller is none of their business.
    assert!(admit(asks(&all, &user("bob", &seed)), || S).is_ok());
}

#[test]
fn what_is_given_back_was_never_there_and_what_is_in_work_ends_by_itself() {
    let seed = RandomState::new();
    let caller = user("ada", &seed);
    let limits = [sliding("window", 1, 60), limit("concurrency", RateStrategy::Concurrency { limit: 1 })];
    let all: Vec<_> = limits.iter().collect();
    let admission = admit(asks(&all, &caller), || S).unwrap();
    admission.give_back();
    assert_eq!((used(&limits[0], &caller, S), used(&limits[1], &caller, S)), (0, 1));
    admission.end();
    assert_eq!(used(&limits[1], &caller, S), 0);
}

#[test]
fn the_limit_nearest_to_its_end_is_told_with_what_is_left() {
    let seed = RandomState::new();
    let caller = user("ada", &seed);
    let limits = [
        sliding("hour", 5, 3_600),
        sliding("minute", 3, 60),
        limit("concurrency", RateStrategy::Concurrency { limit: 1 }),
    ];
    let all: Vec<_> = limits.iter().collect();
    let mut headers = HeaderMap::new();
    let admission = admit(asks(&all, &caller), || 90 * S).unwrap();
    admission.nearest.as_ref().unwrap().dress(&mut headers, 1_000_000);
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    // The slot from 90 s to 91 s ends, and a window later nothing of it counts.
    assert_eq!(header("ratelimit"), "\"minute\";r=2;t=61");
    assert_eq!(header("ratelimit-policy"), "\"minute\";q=3;w=60");
    let common = ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"].map(header);
    assert_eq!(common, ["3", "2", "1061"]);
    // Alone, requests at a time are told of as well.
    admission.end();
    let alone = admit(asks(&[&limits[2]], &caller), || 90 * S).unwrap();
    alone.nearest.unwrap().dress(&mut headers, 1_000_000);
    assert_eq!(headers["ratelimit"], "\"concurrency\";r=0");
    assert_eq!(headers["ratelimit-policy"], "\"concurrency\";q=1;qu=\"concurrent-requests\"");
}

/// Threads that ask different limits in different orders, on a clock that they push on: each limit admits exactly what
/// it may, and nobody waits for anybody.
#[test]
fn many_at_once_are_admitted_exactly_as_often_as_the_limits_say() {
    const THREADS: usize = 8;
    const EACH: usize = 5_000;
    let seed = RandomState::new();
    let (everyone, wide, narrow) =
        (sliding("everyone", 3_000, 3_600), sliding("wide", 700, 3_600), sliding("narrow", 400, 3_600));
    let clock_ns = AtomicU64::new(S);
    let admitted: Vec<AtomicUsize> = (0..THREADS).map(|_| AtomicUsize::new(0)).collect();
    let all = Who::Everyone.hashed(&seed);
    std::thread::scope(|scope| {
        for (number, admitted) in admitted.iter().enumerate() {
            let (everyone, wide, narrow, clock_ns, seed, all) = (&everyone, &wide, &narrow, &clock_ns, &seed, &all);
            scope.spawn(move || {
                // Two threads are one user.
                let caller = user(&format!("user {}", number / 2), seed);
                for _ in 0..EACH {
                    let own = if number % 2 == 0 { [wide, narrow] } else { [narrow, wide] };
                    let mut asked = asks(&own, &caller);
                    asked.insert(number % 3, Ask::new(Arc::clone(everyone), all.clone()));
                    if admit(asked, || clock_ns.fetch_add(1, Relaxed)).is_ok() {
                        admitted.fetch_add(1, Relaxed);
                    }
                }
            });
        }
    });
    let total: usize = admitted.iter().map(|count| count.load(Relaxed)).sum();
    // Four users, of whom each has 400: the limits of 700 and 3,000 are not reached.
    assert_eq!(total, 4 * 400);
    let now_ns = clock_ns.load(Relaxed);
    assert_eq!(used(&everyone, &all, now_ns), 1_600, "what is refused is not counted elsewhere");
    for number in 0..4 {
        let caller = user(&format!("user {number}"), &seed);
        assert_eq!((used(&wide, &caller, now_ns), used(&narrow, &caller, now_ns)), (400, 400));
    }
}

/// Threads over a limit that fills up again while they ask: no span of the window has more than the limit.
#[test]
fn no_window_of_many_threads_has_more_than_the_limit() {
    const THREADS: usize = 8;
    let seed = RandomState::new();
    let all = Who::Everyone.hashed(&seed);
    let (limit, bucket) = (
        sliding("window", 50, 1),
        self::limit("bucket", RateStrategy::TokenBucket { capacity: 40, refill: 60, interval_s: 1 }),
    );
    let clock_ns = AtomicU64::new(0);
    let mut admitted: Vec<u64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    let mut admitted = Vec::new();
                    for _ in 0..5_000 {
                        let mut at_ns = 0;
                        let now_ns = || {
                            at_ns = clock_ns.fetch_add(S / 4_000, Relaxed);
                            at_ns
                        };
                        if admit(asks(&[&limit, &bucket], &all), now_ns).is_ok() {
                            admitted.push(at_ns);
                        }
                    }
                    admitted
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    admitted.sort_unstable();
    // Ten seconds of about 49 each: a request counts for a sixtieth longer than the window.
    assert!((450..=550).contains(&admitted.len()), "{}", admitted.len());
    for (number, first) in admitted.iter().enumerate() {
        let within = admitted[number..].iter().take_while(|at| **at < first + S).count();
        assert!(within <= 50, "{within} from {first} on");
    }
    for span in admitted.windows(2 * 40) {
        let (first, last) = (span[0], span[span.len() - 1]);
        assert!(span.len() as u64 * S <= 40 * S + 60 * (last - first), "a bucket gave more than it had");
    }
}
