//! Random runs of a pool in simulated time, against a model that looks at all that has happened so far, and what a pool is asked for.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::prelude::*;

use super::*;

pub(crate) fn instance(id: &str) -> Instance {
    Instance {
        id: id.into(),
        address: format!("http://{id}:80").parse().unwrap(),
        weight: 1,
        version: None,
        tags: Vec::new(),
        ttl: None,
        declared: true,
    }
}

fn policy() -> PoolPolicy {
    let health = HealthCheck { enabled: false, ..HealthCheck::default() };
    PoolPolicy { load_balance: LoadBalance::RoundRobin, health, ejection: Ejection::default() }
}

fn pool(ids: &[&str]) -> Pool {
    Pool::new(policy(), ids.iter().map(|id| instance(id)).collect(), Duration::ZERO)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// What has happened to one instance, in order.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Event {
    Success,
    Failure,
    Ejected { at: u64 },
    Checked { at: u64 },
}

/// How an instance stands, by its whole history.
struct Told {
    in_a_row: usize,
    /// How often it counts as left out.
    times: u64,
    /// Left out, if it is, until a check at this time or later.
    until: Option<u64>,
}

fn told(history: &[Event]) -> Told {
    let mut told = Told { in_a_row: 0, times: 0, until: None };
    for event in history {
        match *event {
            Event::Success => told.in_a_row = 0,
            Event::Failure => told.in_a_row += 1,
            Event::Ejected { at } => {
                let times = told.times + 1;
                told = Told { in_a_row: 0, times, until: Some(at + (30_000 * times).min(300_000)) };
            }
            Event::Checked { at } if told.until.is_some_and(|until| until <= at) => told.until = None,
            Event::Checked { .. } if told.until.is_none() => told.times = told.times.saturating_sub(1),
            Event::Checked { .. } => {}
        }
    }
    told
}

#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    /// What came of a request at one of them; nothing is neither.
    Record(usize, Option<bool>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let verdict = prop_oneof![6 => Just(Some(false)), 1 => Just(Some(true)), 1 => Just(None)];
    let record = (0usize..7, verdict).prop_map(|(at, verdict)| Step::Record(at, verdict));
    // Long enough for the longest time out, now and then.
    let wait = prop_oneof![3 => 0u64..3_000, 1 => 0u64..400_000].prop_map(Step::Wait);
    prop::collection::vec(prop_oneof![8 => record, 1 => wait], 1..600)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn instances_are_left_out_as_the_model_says(number in 1usize..7, steps in steps()) {
        let ids = ["a", "b", "c", "d", "e", "f"];
        let mut pool = pool(&ids[..number]);
        let mut histories: Vec<Vec<Event>> = vec![Vec::new(); number];
        let (mut now_ms, mut next_check) = (0, 0);
        for step in steps {
            let (place, verdict) = match step {
                Step::Wait(wait_ms) => {
                    now_ms += wait_ms;
                    pool.look(ms(now_ms));
                    if now_ms >= next_check {
                        histories.iter_mut().for_each(|history| history.push(Event::Checked { at: now_ms }));
                        next_check = now_ms + 10_000;
                    }
                    continue;
                }
                Step::Record(place, verdict) => (place % number, verdict),
            };
            let before: Vec<Told> = histories.iter().map(|history| told(history)).collect();
            let of_pool = match verdict {
                Some(true) => Verdict::Success,
                Some(false) => Verdict::Failure,
                None => Verdict::Nothing,
            };
            let ejected = pool.record(place as u64, of_pool, ms(1), ms(now_ms));
            let is_in_place = before[place].until.is_none();
            let out = before.iter().filter(|one| one.until.is_some()).count();
            if let Some(success) = verdict.filter(|_| is_in_place) {
                histories[place].push(if success { Event::Success } else { Event::Failure });
            }
            let is_too_much = is_in_place && verdict == Some(false) && told(&histories[place]).in_a_row >= 5;
            let expected = is_too_much && (out + 1) * 2 <= number;
            prop_assert_eq!(ejected.is_some(), expected);
            if expected {
                histories[place].push(Event::Ejected { at: now_ms });
            }
            for (view, history) in pool.views(ms(now_ms)).iter().zip(&histories) {
                let until = told(history).until;
                prop_assert_eq!(view.ejected_for, until.map(|until| ms(until.saturating_sub(now_ms))));
            }
            let now_out = pool.views(ms(now_ms)).iter().filter(|view| view.ejected_for.is_some()).count();
            prop_assert!(now_out * 2 <= number, "{now_out} of {number}");
            // Half of them at most are out, so there is always one that is fit.
            let (token, picked) = pool.pick(&[], now_ms, ms(now_ms)).unwrap();
            pool.end(token);
            let view = pool.views(ms(now_ms)).into_iter().find(|view| view.instance == picked).unwrap();
            prop_assert!(view.ejected_for.is_none());
        }
    }

    /// Whatever happens, what began ends: no request is under way for ever.
    #[test]
    fn requests_under_way_are_counted(steps in prop::collection::vec((0u8..4, 0usize..8), 1..200)) {
        let mut pool = pool(&["a", "b", "c"]);
        let mut under_way = Vec::new();
        for (what, place) in steps {
            match what {
                0 | 1 => under_way.extend(pool.pick(&[], place as u64, ms(0)).map(|(token, _)| token)),
                2 if !under_way.is_empty() => pool.end(under_way.swap_remove(place % under_way.len())),
                3 => pool.put(instance(["a", "b", "c"][place % 3]), ms(0)),
                _ => {}
            }
            for member in &pool.members {
                let expected = under_way.iter().filter(|token| **token == member.token).count();
                prop_assert_eq!(member.load.active as usize, expected);
            }
        }
    }
}

#[test]
fn another_instance_is_picked_for_another_attempt() {
    let mut pool = pool(&["a", "b", "c"]);
    let mut tried = Vec::new();
    for _ in 0..3 {
        let (token, _) = pool.pick(&tried, 0, ms(0)).unwrap();
        assert!(!tried.contains(&token));
        tried.push(token);
    }
    assert!(pool.pick(&tried, 0, ms(0)).is_some(), "all were tried: any will do");
    assert!(Pool::new(policy(), Vec::new(), ms(0)).pick(&[], 0, ms(0)).is_none());
}

#[test]
fn if_no_instance_is_fit_all_are_taken() {
    let mut policy = policy();
    policy.health.enabled = true;
    let mut pool = Pool::new(policy, vec![instance("a"), instance("b")], ms(0));
    let due = pool.due(ms(0));
    assert_eq!(due.len(), 2);
    for (number, check) in due.iter().enumerate() {
        assert!(pool.checked(check.token, Err("refused".to_owned()), ms(0), ms(1)).is_some());
        let picked: std::collections::BTreeSet<_> =
            (0..4).map(|_| pool.pick(&[], 0, ms(1)).unwrap().1.id.clone()).collect();
        assert_eq!(picked.len(), 1 + number, "the fit one alone, then both");
    }
    assert!(pool.checked(due[0].token, Ok(()), ms(10_000), ms(10_000)).is_some());
    assert!((0..4).all(|_| &*pool.pick(&[], 0, ms(10_000)).unwrap().1.id == "a"));
    // Declared ones are never given up.
    assert_eq!(pool.sweep(ms(999_999)), (false, Vec::new()));
}

#[test]
fn a_registered_instance_is_given_up_after_a_minute() {
    let mut policy = policy();
    policy.health.enabled = true;
    let mut pool = Pool::new(policy, Vec::new(), ms(0));
    pool.put(Instance { declared: false, ..instance("a") }, ms(0));
    let due = pool.due(ms(0));
    pool.checked(due[0].token, Err("refused".to_owned()), ms(0), ms(0));
    assert_eq!(pool.sweep(ms(59_999)), (false, Vec::new()));
    let (is_another, gone) = pool.sweep(ms(60_000));
    assert!(is_another && gone.len() == 1);
    assert_eq!((pool.instances().count(), pool.next()), (0, None));
}

#[test]
fn a_new_policy_keeps_what_is_known_of_instances() {
    let mut pool = pool(&["a", "b"]);
    let before: Vec<Token> = pool.members.iter().map(|member| member.token).collect();
    for _ in 0..5 {
        pool.record(before[0], Verdict::Failure, ms(1), ms(0));
    }
    pool.put(Instance { declared: false, ..instance("r") }, ms(0));
    let declared = vec![instance("a"), Instance { weight: 2, ..instance("b") }, instance("c")];
    pool.configure(PoolPolicy { load_balance: LoadBalance::Random, ..policy() }, declared, ms(0));
    let now: Vec<(&str, Token)> = pool.members.iter().map(|member| (&*member.instance.id, member.token)).collect();
    assert_eq!(now, [("a", before[0]), ("r", 2), ("b", 3), ("c", 4)]);
    assert!(pool.views(ms(0))[0].ejected_for.is_some());
}
