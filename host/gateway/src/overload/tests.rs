//! How the limit behaves over time, with the numbers of the manifest's defaults, against a host whose capacity is known.

use proptest::prelude::*;
use weft_core::manifest;
use weft_core::manifest::Priority;

use super::rules::{Rules, share};
use super::simulation::{Outcome, Route, Simulation};
use super::state::{Decision, End, Kind, State};
use super::*;

fn rules() -> Rules {
    Rules::new(&manifest::Overload { min_concurrent: 2, ..manifest::Overload::default() }, 1_000)
}

fn computing(per_s: f64, computes_ms: f64, priority: Priority) -> Route {
    Route { per_s, computes_ms, waits_ms: 0.0, priority }
}

fn waiting(per_s: f64, waits_ms: f64, priority: Priority) -> Route {
    Route { per_s, computes_ms: 0.0, waits_ms, priority }
}

/// Answered in a second, of the requests of all routes.
fn goodput(outcomes: &[Outcome], seconds: f64) -> f64 {
    outcomes.iter().map(|outcome| outcome.good).sum::<u64>() as f64 / seconds
}

const CORES: f64 = 2.0;
/// Two cores can do 500 of these in a second.
const COMPUTES_MS: f64 = 4.0;
const CAPACITY: f64 = 500.0;

/// A host that gets so many times as much as it can do, once it has settled.
fn settled(rules: Rules, times: f64, patience_s: f64) -> (Simulation, f64) {
    let route = computing(CAPACITY * times, COMPUTES_MS, Priority::Normal);
    let mut host = Simulation::new(rules, CORES, patience_s, &[route]);
    host.run(20.0);
    let outcomes = host.run(20.0);
    (host, goodput(&outcomes, 20.0))
}

#[test]
fn goodput_stays_near_its_best_under_five_times_the_load() {
    for patience_s in [0.1, 0.5] {
        let at = |times| settled(rules(), times, patience_s).1;
        let best = [0.8, 0.9, 1.0, 1.2].map(at).into_iter().fold(0.0, f64::max);
        assert!(best > CAPACITY * 0.85, "{best} with {patience_s} s");
        for times in [2.0, 5.0, 10.0] {
            let goodput = at(times);
            assert!(goodput >= best * 0.8, "{goodput} of {best} at {times} times the load with {patience_s} s");
        }
        // Which is the limit's doing.
        let without = Rules { enabled: false, ..rules() };
        assert!(settled(without, 5.0, patience_s).1 < best * 0.2);
    }
}

#[test]
fn the_limit_finds_what_the_cores_can_do() {
    for (cores, computes_ms) in [(1.0, 20.0), (2.0, 4.0), (8.0, 4.0), (8.0, 50.0), (32.0, 20.0)] {
        let per_s = cores / computes_ms * 1e3 * 3.0;
        let mut host = Simulation::new(rules(), cores, 1.0, &[computing(per_s, computes_ms, Priority::Normal)]);
        host.run(60.0);
        // What runs is the limit's share; a request takes so many times longer than alone.
        let times = host.limit() as f64 * 0.8 / cores;
        let allowed = (computes_ms * 1.5 + 5.0) / computes_ms * 2.5;
        assert!((0.9..=allowed.max(3.0)).contains(&times), "{} for {cores} cores, {computes_ms} ms", host.limit());
    }
}

#[test]
fn below_its_capacity_nothing_is_refused() {
    let mut host = Simulation::new(rules(), CORES, 1.0, &[computing(CAPACITY * 0.7, COMPUTES_MS, Priority::Normal)]);
    host.run(5.0);
    let [outcome] = host.run(60.0)[..] else { panic!() };
    assert_eq!((outcome.refused, outcome.late), (0, 0), "{outcome:?}, limit {}", host.limit());
}

#[test]
fn it_recovers_when_the_load_falls() {
    let (mut host, _) = settled(rules(), 5.0, 0.5);
    host.change(0, computing(CAPACITY * 0.6, COMPUTES_MS, Priority::Normal));
    host.run(2.0);
    let [outcome] = host.run(10.0)[..] else { panic!() };
    assert_eq!((outcome.refused, outcome.late), (0, 0), "{outcome:?}, limit {}", host.limit());
}

#[test]
fn a_rush_is_served_a_little_later() {
    let mut host = Simulation::new(rules(), CORES, 2.0, &[computing(50.0, COMPUTES_MS, Priority::Normal)]);
    host.run(10.0);
    // 150 requests within 50 ms are 300 ms of work.
    host.change(0, computing(3_000.0, COMPUTES_MS, Priority::Normal));
    let [rush] = host.run(0.05)[..] else { panic!() };
    host.change(0, computing(50.0, COMPUTES_MS, Priority::Normal));
    let [after] = host.run(3.0)[..] else { panic!() };
    assert!(rush.came > 100, "{rush:?}");
    assert_eq!((rush.refused + after.refused, rush.late + after.late), (0, 0), "{rush:?} {after:?}");
}

#[test]
fn what_matters_less_is_refused_first() {
    let routes = [
        computing(CAPACITY * 0.2, COMPUTES_MS, Priority::Critical),
        computing(CAPACITY * 0.2, COMPUTES_MS, Priority::High),
        computing(CAPACITY * 0.2, COMPUTES_MS, Priority::Normal),
        computing(CAPACITY * 4.4, COMPUTES_MS, Priority::Low),
    ];
    let mut host = Simulation::new(rules(), CORES, 0.5, &routes);
    host.run(20.0);
    let [critical, high, normal, low] = host.run(30.0)[..] else { panic!() };
    for (name, outcome) in [("critical", critical), ("high", high)] {
        assert_eq!((outcome.refused, outcome.late), (0, 0), "{name}: {outcome:?}");
    }
    assert!(normal.good as f64 >= normal.came as f64 * 0.98, "normal: {normal:?}");
    assert!(low.refused > low.came / 2, "low: {low:?}");
    assert!(low.good as f64 / 30.0 >= CAPACITY * 0.2, "low: what is left goes to it: {low:?}");
}

#[test]
fn even_alone_a_priority_has_all_of_the_host() {
    for priority in Priority::ALL {
        let mut host = Simulation::new(rules(), CORES, 0.5, &[computing(CAPACITY * 3.0, COMPUTES_MS, priority)]);
        host.run(20.0);
        let goodput = goodput(&host.run(20.0), 20.0);
        assert!(goodput > CAPACITY * 0.8, "{priority}: {goodput}");
    }
}

#[test]
fn another_mix_of_routes_changes_nothing() {
    let slow = |per_s| waiting(per_s, 800.0, Priority::Normal);
    let fast = |per_s| computing(per_s, 1.0, Priority::Normal);
    let mut host = Simulation::new(rules(), CORES, 5.0, &[fast(400.0), slow(1.0)]);
    host.run(20.0);
    for (of_fast, of_slow) in [(10.0, 60.0), (400.0, 1.0), (5.0, 60.0), (300.0, 60.0)] {
        host.change(0, fast(of_fast));
        host.change(1, slow(of_slow));
        let outcomes = host.run(15.0);
        let refused: u64 = outcomes.iter().map(|outcome| outcome.refused + outcome.late).sum();
        assert_eq!(refused, 0, "{of_fast} and {of_slow}: {outcomes:?}, limit {}", host.limit());
    }
}

#[test]
fn a_route_with_troubles_of_its_own_leaves_room_to_others() {
    let route = |waits_ms| waiting(100.0, waits_ms, Priority::Normal);
    let other = computing(300.0, 1.0, Priority::Normal);
    let mut host = Simulation::new(rules(), CORES, 5.0, &[route(5.0), other]);
    host.run(20.0);
    // What it asks is as slow as it can be; 200 at a time would be needed.
    host.change(0, route(2_000.0));
    let [_, others] = host.run(4.0)[..] else { panic!() };
    assert!(others.refused < others.came / 4, "until it is seen: {others:?}, limit {}", host.limit());
    let [_, others] = host.run(60.0)[..] else { panic!() };
    assert_eq!((others.refused, others.late), (0, 0), "{others:?}, limit {}", host.limit());
    // Once that is known to be its usual time it is served like any other.
    let [outcome, _] = host.run(30.0)[..] else { panic!() };
    assert!(outcome.good as f64 > outcome.came as f64 * 0.9, "{outcome:?}, limit {}", host.limit());
}

#[test]
fn a_host_that_waits_for_something_slow_is_not_taken_for_a_busy_one() {
    // A page that waits for an optional part until it gives up: no more can be done for it by refusing anybody.
    let page = |waits_ms| waiting(200.0, waits_ms, Priority::Normal);
    for seed in [20.0, 21.0, 23.7] {
        let mut host = Simulation::new(Rules::new(&manifest::Overload::default(), 1_000), CORES, 5.0, &[page(3.0)]);
        host.run(seed);
        host.change(0, page(300.0));
        let [outcome] = host.run(20.0)[..] else { panic!() };
        assert!(outcome.refused <= outcome.came / 200, "{outcome:?}, limit {}", host.limit());
    }
}

/// Asks until it is not let in; answers how often it was.
fn fill(state: &mut State<u64>, kind: Kind) -> usize {
    let (now, mut let_in) = (Duration::from_secs(1), 0);
    loop {
        match state.ask(now, kind, || 0, &mut |_, _| {}) {
            Decision::Run => let_in += 1,
            Decision::Wait { id, .. } => {
                assert!(state.leave(now, kind.priority, id));
                return let_in;
            }
            Decision::Refuse => return let_in,
        }
    }
}

/// Has a route of which it is known what it takes.
fn measure(state: &mut State<u64>, kind: Kind) {
    (0..20).for_each(|_| state.learn(Duration::from_secs(1), kind.route, End::Answered(Duration::from_millis(1))));
}

/// Takes all that a route of low priority may have beside another one.
fn fill_half(state: &mut State<u64>, kind: Kind) {
    assert_eq!(fill(state, kind), 50, "until it is seen that there is another");
    (0..30).for_each(|_| state.release(Duration::from_secs(1), kind, &mut |_, _| {}));
    assert_eq!(fill(state, kind), 5);
}

/// As when a function asks itself twice, for ever: what it has does not end before the others' have ended.
#[test]
fn what_a_route_took_while_it_was_alone_is_not_held_against_others() {
    let mut state = State::new(rules());
    let routes = state.routes.set(&["GET /hog".into(), "GET /other".into()]);
    let [hog, other] = [0, 1].map(|at| Kind { route: routes[at], priority: Priority::Normal, holds: true });
    assert_eq!(fill(&mut state, hog), 80, "alone it has all that its priority may have");
    assert_eq!(fill(&mut state, other), 40, "half, at once");
    assert_eq!(fill(&mut state, hog), 0);
    for _ in 0..40 {
        state.release(Duration::from_secs(1), other, &mut |_, _| {});
    }
    // The limit falls, and what the hog has ends only when others have ended.
    state.set_rules(Rules { max: 20.0, ..rules() });
    assert_eq!(fill(&mut state, other), 8);
    assert_eq!(fill(&mut state, hog), 0);
    let critical = |kind| Kind { priority: Priority::Critical, ..kind };
    assert_eq!(fill(&mut state, critical(hog)), 2, "the rest of the limit");
    assert_eq!(fill(&mut state, Kind { priority: Priority::Low, ..other }), 0);
    assert_eq!(fill(&mut state, critical(other)), 0);
}

#[test]
fn who_waits_is_first_when_another_route_falls_idle() {
    let mut state = State::new(rules());
    let routes = state.routes.set(&["GET /a".into(), "GET /b".into()]);
    let [a, b] = [0, 1].map(|at| Kind { route: routes[at], priority: Priority::Low, holds: true });
    let mut told = Vec::new();
    let at = Duration::from_secs;
    measure(&mut state, b);
    fill_half(&mut state, a);
    let high = Kind { priority: Priority::High, ..a };
    assert_eq!(fill(&mut state, high), 20);
    assert!(matches!(state.ask(at(1), high, || 7, &mut |_, _| {}), Decision::Wait { .. }));
    // The other one has not been measured since.
    assert_eq!(state.ask(at(12), a, || 8, &mut |who, may_run| told.push((who, may_run))), Decision::Run);
    assert_eq!(told, [(7, true)]);
}

#[test]
fn what_waits_on_purpose_leaves_the_others_all() {
    let mut state = State::new(rules());
    let routes = state.routes.set(&["GET /a".into(), "GET /changes".into()]);
    let [a, changes] =
        [(0, true), (1, false)].map(|(at, holds)| Kind { route: routes[at], priority: Priority::Normal, holds });
    assert_eq!(state.ask(Duration::from_secs(1), changes, || 0, &mut |_, _| {}), Decision::Run);
    assert_eq!(fill(&mut state, a), 80);
}

#[test]
fn what_matters_more_on_the_same_route_is_held_against_what_matters_less() {
    let mut state = State::new(rules());
    let routes = state.routes.set(&["GET /a".into(), "GET /b".into()]);
    let kind = |at: usize, priority| Kind { route: routes[at], priority, holds: true };
    measure(&mut state, kind(1, Priority::Low));
    fill_half(&mut state, kind(0, Priority::Low));
    assert_eq!(fill(&mut state, kind(0, Priority::High)), 20, "with these it has half");
    assert_eq!(fill(&mut state, kind(1, Priority::Low)), 5, "half of the limit is low at most");
    assert_eq!(fill(&mut state, kind(1, Priority::Critical)), 50);
}

#[derive(Clone, Debug)]
enum Step {
    Ask(Priority, bool),
    Release(usize),
    Leave(usize),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..4_usize, prop::bool::weighted(0.9)).prop_map(|(at, holds)| Step::Ask(Priority::ALL[at], holds)),
        3 => any::<usize>().prop_map(Step::Release),
        1 => any::<usize>().prop_map(Step::Leave),
        2 => (0..300_u64).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 1..400)
}

proptest! {
    /// Whatever comes in whatever order: places are counted rightly, nobody begins above the share of its priority, nobody is
    /// let in before one that matters more, and no more wait than may.
    #[test]
    fn places_are_kept(steps in steps()) {
        let rules = Rules { max: 10.0, min: 2.0, max_waiting: 5, ..rules() };
        let mut state = State::new(rules.clone());
        let route = state.routes.set(&["GET /a".into()])[0];
        let mut now = Duration::ZERO;
        let (mut running, mut waiting): (Vec<Kind>, Vec<(u64, u64, Kind)>) = (Vec::new(), Vec::new());
        let mut number = 0_u64;
        for step in steps {
            let mut told = Vec::new();
            let mut tell = |who: u64, may_run: bool| told.push((who, may_run));
            let before = running.iter().filter(|kind| kind.holds).count();
            match step {
                Step::Ask(priority, holds) => {
                    number += 1;
                    let kind = Kind { route, priority, holds };
                    match state.ask(now, kind, || number, &mut tell) {
                        Decision::Run => {
                            prop_assert!((before as f64) < share(10.0, priority), "{before} {priority}");
                            prop_assert!(waiting.iter().all(|(_, _, other)| other.priority < priority));
                            running.push(kind);
                        }
                        Decision::Wait { id, .. } => waiting.push((number, id, kind)),
                        Decision::Refuse => prop_assert_eq!(waiting.len(), 5),
                    }
                }
                Step::Release(at) if !running.is_empty() => {
                    let kind = running.swap_remove(at % running.len());
                    state.learn(now, route, End::Answered(Duration::from_millis(5)));
                    state.release(now, kind, &mut tell);
                }
                Step::Leave(at) if !waiting.is_empty() => {
                    let (_, id, kind) = waiting.remove(at % waiting.len());
                    prop_assert!(state.leave(now, kind.priority, id));
                    prop_assert!(!state.leave(now, kind.priority, id));
                }
                Step::Pass(ms) => now += Duration::from_millis(ms),
                _ => {}
            }
            for (who, may_run) in told {
                let at = waiting.iter().position(|(number, ..)| *number == who);
                let (_, _, kind) = waiting.remove(at.expect("it waits"));
                if may_run {
                    prop_assert!(waiting.iter().all(|(_, _, other)| other.priority <= kind.priority));
                    running.push(kind);
                }
            }
            prop_assert!(waiting.len() <= 5);
            let report = state.report();
            prop_assert_eq!(report.running, running.iter().filter(|kind| kind.holds).count());
            prop_assert_eq!(report.waiting, waiting.len());
        }
    }
}

#[test]
fn routes_keep_what_is_known_of_them() {
    let mut state = State::<u64>::new(rules());
    let first = state.routes.set(&["GET /a".into(), "GET /b".into()]);
    let took = Duration::from_millis(20);
    for _ in 0..20 {
        state.learn(Duration::from_secs(1), first[0], End::Answered(took));
    }
    let second = state.routes.set(&["GET /c".into(), "GET /a".into()]);
    assert_eq!(second[1], first[0]);
    assert_eq!(second[0], first[1], "the place of one that is gone");
    let report = state.report();
    assert_eq!(report.routes.len(), 1, "{report:?}");
    assert_eq!((&*report.routes[0].route, report.routes[0].usual_ms), ("GET /a", 20.0));
}
