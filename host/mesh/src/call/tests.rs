//! Calls through all policies, over a runner that answers what a test says and a clock that a test moves.

#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::sync::Mutex;

use futures::FutureExt as _;
use weft_core::clock::ManualClock;
use weft_core::manifest::Located;
use weft_core::manifest::access::AccessRule;
use weft_core::manifest::mesh::{Breaker, CallPolicy, Hedge, Retry};
use weft_core::{CallContext, Outcome, StepScope, Target};

use super::*;
use crate::breaker::BreakerState;
use crate::mirror::MirrorView;
use crate::policy::{FailurePolicy, Kind};
use crate::versions::{Share, WHOLE};

type Answer = Result<Vec<u32>, Failure>;

/// Answers in the order of the script, each after its time; then with 7.
struct Script {
    clock: Arc<ManualClock>,
    answers: Mutex<VecDeque<(Duration, Answer)>>,
    runs: Mutex<u32>,
    /// The last one.
    run: Mutex<Option<Invocation<u32>>>,
}

impl Runner<u32> for Script {
    fn run(&self, invocation: Invocation<u32>) -> BoxFuture<'static, Answer> {
        *self.runs.lock().unwrap() += 1;
        *self.run.lock().unwrap() = Some(invocation);
        let (after, answer) = self.answers.lock().unwrap().pop_front().unwrap_or((Duration::ZERO, Ok(vec![7])));
        let sleep = self.clock.sleep(after);
        sleep.map(move |()| answer).boxed()
    }
}

struct Bench {
    mesh: Mesh<u32>,
    script: Arc<Script>,
    clock: Arc<ManualClock>,
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn failure(reason: Reason) -> Failure {
    Failure::unknown(Fault::Guest, reason, "scripted")
}

fn invocation() -> Invocation<u32> {
    Invocation {
        target: Target { component: "seats".into(), interface: "a:b/c@1.0.0".into(), function: "reserve".into() },
        arguments: [1].into(),
        keyed: true,
        context: CallContext {
            caller: Some("enroll".into()),
            depth: 1,
            ..CallContext::of_host(Duration::from_secs(1_000))
        },
    }
}

impl Bench {
    fn new(policy: &CallPolicy) -> Self {
        let clock = Arc::new(ManualClock::at_ms(0));
        let script = Arc::new(Script {
            clock: clock.clone(),
            answers: Mutex::default(),
            runs: Mutex::default(),
            run: Mutex::default(),
        });
        let mesh = Mesh::new(script.clone(), clock.clone(), || 100);
        let policy = CalleePolicy {
            component: "seats".into(),
            kind: Kind::Function,
            callers: ["enroll".into()].into(),
            rules: Vec::new(),
            deadline: Duration::from_secs(10),
            max_concurrent: 100,
            max_pending: 100,
            durable: false,
            failures: FailurePolicy::of(policy, &CallPolicy::default()),
        };
        mesh.configure(Policies { functions: vec![policy], ..Policies::default() });
        Self { mesh, script, clock }
    }

    fn script(&self, answers: impl IntoIterator<Item = (u64, Answer)>) {
        self.script.answers.lock().unwrap().extend(answers.into_iter().map(|(after, answer)| (ms(after), answer)));
    }

    /// Calls, and lets time pass until there is an answer.
    fn call(&self, invocation: Invocation<u32>) -> Answer {
        let mut call = self.mesh.call(invocation);
        loop {
            if let Some(answer) = call.as_mut().now_or_never() {
                return answer;
            }
            self.clock.advance_to_next().unwrap();
        }
    }

    fn runs(&self) -> u32 {
        std::mem::take(&mut self.script.runs.lock().unwrap())
    }

    fn breaker(&self) -> BreakerState {
        self.mesh.callees()[0].breaker.unwrap().state
    }
}

#[test]
fn a_call_that_failed_is_made_again() {
    let bench = Bench::new(&CallPolicy::default());
    bench.script([(0, Err(failure(Reason::Trapped))), (0, Err(failure(Reason::Unavailable)))]);
    assert_eq!(bench.call(invocation()), Ok(vec![7]));
    assert_eq!(bench.runs(), 3);
    assert_eq!(bench.mesh.callees()[0].retries, 2);
    // The first wait is up to 100 ms, the second up to 200.
    assert!(bench.clock.monotonic() > Duration::ZERO && bench.clock.monotonic() <= ms(300));
}

#[test]
fn a_call_is_made_again_three_times_at_most() {
    let bench = Bench::new(&CallPolicy::default());
    bench.script((0..9).map(|_| (0, Err(failure(Reason::Trapped)))));
    assert_eq!(bench.call(invocation()), Err(failure(Reason::Trapped)));
    assert_eq!(bench.runs(), 4);
}

#[test]
fn what_may_have_had_its_effect_is_made_again_only_with_a_key_or_if_declared() {
    let declared = Retry { idempotent: vec![Located::new("a:b/c@1.0.0#reserve".into(), 1)], ..Retry::default() };
    for (policy, keyed, runs) in [
        (CallPolicy::default(), false, 1),
        (CallPolicy::default(), true, 2),
        (CallPolicy { retry: Some(declared), ..CallPolicy::default() }, false, 2),
    ] {
        let bench = Bench::new(&policy);
        bench.script([(0, Err(failure(Reason::Trapped)))]);
        let _ = bench.call(Invocation { keyed, ..invocation() });
        assert_eq!(bench.runs(), runs);
    }
}

#[test]
fn a_step_of_a_saga_has_a_policy_of_its_own() {
    let bench = Bench::new(&CallPolicy { hedge: Some(Hedge { after_ms: 10 }), ..CallPolicy::default() });
    bench.script([(100, Err(failure(Reason::Trapped)))]);
    let mut in_a_step = invocation();
    in_a_step.context.step = Some(StepScope { key: "k/a#1".into() });
    assert_eq!(bench.call(in_a_step), Err(failure(Reason::Trapped)));
    assert_eq!(bench.runs(), 1);
}

#[test]
fn a_wait_that_would_outlast_the_deadline_is_not_begun() {
    let bench = Bench::new(&CallPolicy::default());
    bench.script([(0, Err(failure(Reason::Overloaded).retry_after_ms(60_000)))]);
    assert!(bench.call(invocation()).is_err());
    assert_eq!((bench.runs(), bench.clock.monotonic()), (1, Duration::ZERO));
}

#[test]
fn calls_made_again_keep_to_their_budget() {
    let bench = Bench::new(&CallPolicy {
        breaker: Some(Breaker { enabled: false, ..Breaker::default() }),
        ..CallPolicy::default()
    });
    bench.script((0..10_000).map(|_| (0, Err(failure(Reason::Unavailable)))));
    for _ in 0..100 {
        assert!(bench.call(invocation()).is_err());
    }
    let extra = bench.mesh.callees()[0].retries;
    assert!((3..=20).contains(&extra), "{extra}");
}

#[test]
fn a_deadline_ends_a_call_and_counts_against_its_callee() {
    let bench = Bench::new(&CallPolicy::default());
    bench.script((0..10).map(|_| (60_000, Ok(vec![1]))));
    for _ in 0..3 {
        assert_eq!(bench.call(invocation()).unwrap_err().reason, Reason::Deadline);
    }
    assert_eq!(bench.mesh.callees()[0].breaker.unwrap().failures, 1, "only the last ten seconds count");
    assert_eq!(bench.runs(), 3, "there is no time left for another attempt");
}

#[test]
fn an_attempt_has_a_timeout_of_its_own() {
    let retry = Retry { attempt_timeout_ms: Some(500), ..Retry::default() };
    let bench = Bench::new(&CallPolicy { retry: Some(retry), ..CallPolicy::default() });
    bench.script([(60_000, Ok(vec![1]))]);
    assert_eq!(bench.call(invocation()), Ok(vec![7]));
    assert_eq!(bench.runs(), 2);
}

#[test]
fn a_callee_that_mostly_fails_is_left_alone_and_tried_again() {
    let retry = Retry { max_retries: 0, ..Retry::default() };
    let bench = Bench::new(&CallPolicy { retry: Some(retry), ..CallPolicy::default() });
    bench.script((0..10).map(|_| (0, Err(failure(Reason::Trapped)))));
    for _ in 0..10 {
        assert!(bench.call(invocation()).is_err());
    }
    assert_eq!((bench.breaker(), bench.runs()), (BreakerState::Open, 10));
    let refused = bench.call(invocation()).unwrap_err();
    assert_eq!((refused.reason, refused.retry_after_ms, bench.runs()), (Reason::Unavailable, Some(30_000), 0));
    bench.clock.advance(Duration::from_secs(30));
    for _ in 0..3 {
        assert!(bench.call(invocation()).is_ok());
    }
    assert_eq!(bench.breaker(), BreakerState::Closed);
}

#[test]
fn a_breaker_sees_what_callers_see() {
    let bench = Bench::new(&CallPolicy::default());
    for _ in 0..20 {
        bench.script([(0, Err(failure(Reason::Trapped)))]);
        bench.clock.advance(Duration::from_secs(4));
        assert!(bench.call(invocation()).is_ok());
    }
    assert_eq!(bench.breaker(), BreakerState::Closed);
}

#[test]
fn by_hand_a_breaker_is_opened_and_reset() {
    let bench = Bench::new(&CallPolicy::default());
    bench.mesh.order_breaker("seats", BreakerOrder::Open).unwrap();
    assert!(bench.call(invocation()).is_err());
    assert_eq!(bench.runs(), 0);
    bench.mesh.order_breaker("seats", BreakerOrder::Reset).unwrap();
    assert!(bench.call(invocation()).is_ok());
    assert_eq!(bench.mesh.order_breaker("x", BreakerOrder::Reset), Err(OrderError::NoCallee("x".into())));
}

#[test]
fn a_second_call_is_made_beside_a_slow_one() {
    let bench = Bench::new(&CallPolicy { hedge: Some(Hedge { after_ms: 50 }), ..CallPolicy::default() });
    bench.script([(5_000, Ok(vec![1])), (10, Ok(vec![2]))]);
    assert_eq!(bench.call(invocation()), Ok(vec![2]));
    assert_eq!((bench.runs(), bench.clock.monotonic()), (2, ms(60)));
    assert_eq!(bench.mesh.callees()[0].hedges, 1);
    // The first may still be the one that answers.
    bench.script([(100, Ok(vec![1])), (10, Err(failure(Reason::Trapped)))]);
    assert_eq!(bench.call(invocation()), Ok(vec![1]));
    // What is not idempotent is called once.
    bench.runs();
    bench.script([(5_000, Ok(vec![1]))]);
    assert_eq!(bench.call(Invocation { keyed: false, ..invocation() }), Ok(vec![1]));
    assert_eq!(bench.runs(), 1);
}

#[test]
fn a_fault_is_made_by_hand_and_taken_away() {
    let bench = Bench::new(&CallPolicy::default());
    let rule = FaultRule {
        callee: Some("seats".into()),
        caller: None,
        function: None,
        percent: 100,
        delay_ms: Some(20),
        abort: Some(Reason::Trapped),
    };
    bench.mesh.add_fault(&rule).unwrap();
    assert_eq!(bench.call(invocation()).unwrap_err().reason, Reason::Trapped);
    assert_eq!(bench.runs(), 0);
    assert_eq!(bench.mesh.clear_faults(), 1);
    assert!(bench.call(invocation()).is_ok());
}

#[test]
fn a_caller_that_is_not_declared_is_refused_and_counts_nothing() {
    let bench = Bench::new(&CallPolicy::default());
    let mut stranger = invocation();
    stranger.context.caller = Some("stranger".into());
    for _ in 0..20 {
        assert_eq!(bench.call(stranger.clone()).unwrap_err().reason, Reason::Denied);
    }
    assert_eq!((bench.runs(), bench.breaker()), (0, BreakerState::Closed));
}

#[test]
fn a_callee_whose_policy_is_unchanged_keeps_its_breaker() {
    let bench = Bench::new(&CallPolicy::default());
    bench.mesh.order_breaker("seats", BreakerOrder::Open).unwrap();
    let same = bench.mesh.inner.callees.load()["seats"].policy.clone();
    bench.mesh.configure(Policies { functions: vec![same.clone()], ..Policies::default() });
    assert_eq!(bench.breaker(), BreakerState::Open);
    bench.mesh.configure(Policies { functions: vec![CalleePolicy { max_pending: 7, ..same }], ..Policies::default() });
    assert_eq!(bench.breaker(), BreakerState::Closed);
}

#[test]
fn what_may_have_happened_once_is_told_at_the_end() {
    let bench = Bench::new(&CallPolicy::default());
    let refused = Failure::not_attempted(Fault::Host, Reason::Unavailable, "scripted");
    bench.script([(0, Err(failure(Reason::Trapped)))]);
    bench.script((0..3).map(|_| (0, Err(refused.clone()))));
    assert_eq!(bench.call(invocation()).unwrap_err().outcome, Outcome::Unknown);
    bench.script((0..4).map(|_| (0, Err(refused.clone()))));
    bench.clock.advance(Duration::from_secs(20));
    assert_eq!(bench.call(invocation()).unwrap_err().outcome, Outcome::NotAttempted);
    let bench = Bench::new(&CallPolicy { hedge: Some(Hedge { after_ms: 50 }), ..CallPolicy::default() });
    bench.script([(60, Err(failure(Reason::CpuLimit))), (5_000, Err(refused.clone()))]);
    bench.script((0..9).map(|_| (0, Err(refused.clone()))));
    assert_eq!(bench.call(invocation()).unwrap_err().outcome, Outcome::Unknown);
}

#[test]
fn a_second_call_takes_a_place_of_its_own() {
    let bench = Bench::new(&CallPolicy { hedge: Some(Hedge { after_ms: 50 }), ..CallPolicy::default() });
    let policy = bench.mesh.inner.callees.load()["seats"].policy.clone();
    bench
        .mesh
        .configure(Policies { functions: vec![CalleePolicy { max_concurrent: 1, ..policy }], ..Policies::default() });
    bench.script([(5_000, Ok(vec![1]))]);
    assert_eq!(bench.call(invocation()), Ok(vec![1]));
    assert_eq!((bench.runs(), bench.mesh.callees()[0].hedges), (1, 0));
}

#[test]
fn a_request_that_is_given_up_at_its_deadline_is_a_failure() {
    let breaker = Some(Breaker { http: true, ..Breaker::default() });
    let bench = Bench::new(&CallPolicy { breaker, ..CallPolicy::default() });
    let asked = Asked { caller: None, method: "GET", user: None, header: &|_| None, mirrored: false, generation: None };
    for (after, failures) in [(4_999, 0), (5_000, 1)] {
        let deadline = bench.clock.monotonic() + ms(5_000);
        let admitted = bench.mesh.admit("seats", deadline, &asked).now_or_never().unwrap().unwrap();
        bench.clock.advance(ms(after));
        drop(admitted);
        assert_eq!(bench.mesh.callees()[0].breaker.unwrap().failures, failures, "{after}");
    }
}

fn mirrored(shares: u32) -> Vec<Split> {
    let share = Share { name: "seats@new".into(), weight: 0, mirror: shares, headers: Vec::new() };
    vec![Split { component: "seats".into(), versions: vec![share], sticky: true }]
}

#[tokio::test]
async fn a_copy_shows_what_it_would_answer_and_counts_nowhere_else() {
    let bench = Bench::new(&CallPolicy::default());
    bench.mesh.split(mirrored(WHOLE));
    // The copy runs once the call waits, or has come to its end: it gets the answers at even places.
    let answers = [Ok(vec![7]), Ok(vec![7]), Ok(vec![7]), Ok(vec![8]), Ok(vec![7]), Err(failure(Reason::Trapped))];
    bench.script(answers.map(|answer| (0, answer)));
    let seen = |bench: &Bench| bench.mesh.mirrored("seats")[0].1;
    for calls in 1..=3 {
        assert_eq!(bench.mesh.call(invocation()).await, Ok(vec![7]));
        while seen(&bench).calls < calls {
            tokio::task::yield_now().await;
        }
        let run = bench.script.run.lock().unwrap().take().unwrap();
        assert_eq!((run.context.mirrored, &*run.target.component), (true, "seats@new"));
    }
    assert_eq!(seen(&bench), MirrorView { calls: 3, failures: 1, differ: 1, skipped: 0 });
    let view = &bench.mesh.callees()[0];
    assert_eq!((bench.runs(), view.calls, view.failures, view.retries), (6, 3, 0, 0));
    let samples: Vec<_> = bench.mesh.versions("seats").iter().map(|(_, sample)| sample.calls).collect();
    assert_eq!(samples, [3, 0]);
}

#[test]
fn what_a_copy_calls_is_not_copied_nor_made_again_nor_counted() {
    let bench = Bench::new(&CallPolicy::default());
    bench.mesh.split(mirrored(WHOLE));
    let mut of_copy = invocation();
    of_copy.context.mirrored = true;
    bench.script([(0, Err(failure(Reason::Trapped)))]);
    assert_eq!(bench.call(of_copy.clone()).unwrap_err().reason, Reason::Trapped);
    assert_eq!((bench.runs(), bench.mesh.callees()[0].breaker.unwrap().failures), (1, 0));
    assert_eq!(bench.mesh.mirrored("seats")[0].1, MirrorView::default());
    let policy = bench.mesh.inner.callees.load()["seats"].policy.clone();
    bench.mesh.configure(Policies { functions: vec![CalleePolicy { durable: true, ..policy }], ..Policies::default() });
    assert_eq!(bench.call(of_copy).unwrap_err().reason, Reason::Denied);
    assert_eq!(bench.runs(), 0);
}

#[test]
fn typed_calls_keep_to_the_version_that_their_request_asked_for() {
    let bench = Bench::new(&CallPolicy::default());
    let headers = vec![("x-version".into(), "v2".into())];
    let share = Share { name: "seats@new".into(), weight: 0, mirror: 0, headers };
    assert!(bench.mesh.origin(Some("ada"), |_| Some("v2")).is_none(), "all have one version");
    bench.mesh.split(vec![Split { component: "seats".into(), versions: vec![share], sticky: true }]);
    for (value, expected) in [("v2", "seats@new"), ("v3", "seats")] {
        let mut asked = invocation();
        asked.context.origin = bench.mesh.origin(Some("ada"), |name| (name == "x-version").then_some(value));
        bench.call(asked).unwrap();
        assert_eq!(&*bench.script.run.lock().unwrap().take().unwrap().target.component, expected);
    }
}

#[test]
fn a_rule_refuses_what_a_declared_caller_may_not() {
    let bench = Bench::new(&CallPolicy::default());
    let rule = AccessRule {
        allows: true,
        callers: Vec::new(),
        functions: vec!["a:b/c@1.0.0#release".into()],
        methods: Vec::new(),
        headers: Vec::new(),
    };
    let policy = bench.mesh.inner.callees.load()["seats"].policy.clone();
    bench
        .mesh
        .configure(Policies { functions: vec![CalleePolicy { rules: vec![rule], ..policy }], ..Policies::default() });
    let refused = bench.call(invocation()).unwrap_err();
    assert_eq!((refused.reason, refused.outcome), (Reason::Denied, Outcome::NotAttempted));
    assert!(refused.message.contains("enroll may not call a:b/c@1.0.0#reserve of seats"), "{refused}");
    let mut released = invocation();
    released.target.function = "release".into();
    assert!(bench.call(released).is_ok());
    let mut by_host = invocation();
    by_host.context.caller = None;
    assert!(bench.call(by_host).is_ok(), "rules are for calls between functions");
}

/// `seats`, half of which stands behind middleware.
fn halved(bench: &Bench, rules: Vec<AccessRule>) {
    bench.mesh.configure(halves(bench, rules));
}

fn halves(bench: &Bench, rules: Vec<AccessRule>) -> Policies {
    let policy = CalleePolicy { rules, ..bench.mesh.inner.callees.load()["seats"].policy.clone() };
    let caller = CalleePolicy { component: "enroll".into(), ..policy.clone() };
    let halves = [("seats-behind-1".into(), "seats".into()), ("enroll-behind-1".into(), "enroll".into())];
    let functions = vec![CalleePolicy { max_concurrent: 1, max_pending: 0, ..policy }, caller];
    Policies { functions, halves: halves.into(), ..Policies::default() }
}

#[test]
fn the_halves_of_a_component_share_its_places_its_breaker_and_its_versions() {
    let breaker = Some(Breaker { http: true, ..Breaker::default() });
    let bench = Bench::new(&CallPolicy { breaker, ..CallPolicy::default() });
    halved(&bench, Vec::new());
    let admit = |function: &str, version: &'static str| {
        let header = move |name: &str| (name == "x-version").then_some(version);
        let asked =
            Asked { caller: None, method: "GET", user: None, header: &header, mirrored: false, generation: None };
        bench.mesh.admit(function, ms(1_000), &asked).now_or_never().unwrap()
    };
    let headers = vec![("x-version".into(), "v2".into())];
    let share = Share { name: "seats@new".into(), weight: 0, mirror: WHOLE, headers };
    bench.mesh.split(vec![Split { component: "seats".into(), versions: vec![share], sticky: true }]);
    for (function, version, expected) in [
        ("seats", "v1", "seats"),
        ("seats", "v2", "seats@new"),
        ("seats-behind-1", "v1", "seats-behind-1"),
        ("seats-behind-1", "v2", "seats-behind-1@new"),
    ] {
        let (place, mut passage) = admit(function, version).unwrap();
        assert_eq!(&**passage.function(), expected);
        // What the version serves itself is not copied to it.
        let copy = passage.mirror().map(|mirror| mirror.name.to_string());
        assert_eq!(copy, (version == "v1").then(|| format!("{function}@new")));
        assert_eq!(admit("seats", "v1").unwrap_err().reason, Reason::Overloaded, "there is one place for both");
        let detail = bench.mesh.details().pop().unwrap();
        assert_eq!((detail.running, detail.pending, detail.halves), (1, 0, vec!["seats-behind-1".into()]));
        passage.tell(&Ok(()), |()| false);
        drop(place);
    }
    let calls: Vec<_> = bench.mesh.versions("seats").iter().map(|(_, sample)| sample.calls).collect();
    assert_eq!(calls, [2, 2]);
    let callees = bench.mesh.callees();
    let names: Vec<_> = callees.iter().map(|view| (&*view.component, view.calls)).collect();
    assert_eq!(names, [("enroll", 0), ("seats", 8)]);
    bench.mesh.order_breaker("seats", BreakerOrder::Open).unwrap();
    assert_eq!(admit("seats-behind-1", "v1").unwrap_err().reason, Reason::Unavailable);
    bench.mesh.order_breaker("seats-behind-1", BreakerOrder::Reset).unwrap();
    assert!(admit("seats", "v1").is_ok());
}

#[test]
fn rules_and_faults_on_a_component_are_on_its_halves() {
    let bench = Bench::new(&CallPolicy::default());
    let rule = AccessRule {
        allows: false,
        callers: vec!["enroll".into()],
        functions: vec!["a:b/c@1.0.0#release".into()],
        methods: Vec::new(),
        headers: Vec::new(),
    };
    halved(&bench, vec![rule]);
    let mut of_half = invocation();
    of_half.context.caller = Some("enroll-behind-1".into());
    assert_eq!(bench.call(of_half.clone()), Ok(vec![7]));
    let mut denied = of_half.clone();
    denied.target.function = "release".into();
    assert_eq!(bench.call(denied).unwrap_err().reason, Reason::Denied);
    let fault = FaultRule {
        callee: Some("seats".into()),
        caller: Some("enroll".into()),
        function: None,
        percent: 100,
        delay_ms: None,
        abort: Some(Reason::Unavailable),
    };
    bench.mesh.add_fault(&fault).unwrap();
    assert_eq!(bench.call(of_half).unwrap_err().message, "a fault that is set for seats");
    let asked = Asked {
        caller: Some("enroll-behind-1"),
        method: "GET",
        user: None,
        header: &|_| None,
        mirrored: false,
        generation: None,
    };
    let refused = bench.mesh.admit("seats-behind-1", ms(1_000), &asked).now_or_never().unwrap();
    assert_eq!(refused.unwrap_err().message, "a fault that is set for seats");
}

#[test]
fn a_half_that_is_gone_from_the_manifest_is_known_to_the_calls_that_it_has_begun() {
    let bench = Bench::new(&CallPolicy::default());
    let policies = halves(&bench, Vec::new());
    let set = bench.mesh.prepare(policies.clone());
    let nothing: Part = Arc::new(());
    let generation = Generation::new(nothing.clone(), set.part(), nothing);
    bench.mesh.publish(set);
    let mut call = invocation();
    call.context.caller = Some("enroll-behind-1".into());
    assert_eq!(bench.call(call.clone()), Ok(vec![7]));
    bench.mesh.configure(Policies { halves: std::collections::BTreeMap::new(), ..policies });
    assert_eq!(bench.call(call.clone()).unwrap_err().reason, Reason::Denied);
    call.context.generation = Some(generation);
    assert_eq!(bench.call(call), Ok(vec![7]));
}
