//! Requests through all policies, over instances that answer what a test says and a clock that a test moves.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use weft_core::clock::ManualClock;
use weft_core::manifest::Located;
use weft_core::manifest::access::{AccessRule, WrittenRule};
use weft_core::manifest::mesh::{Breaker, CallPolicy, Hedge, Retry};
use weft_core::manifest::service::{Ejection, HealthCheck, LoadBalance};
use weft_core::{Invocation, Runner};

use super::*;
use crate::breaker::BreakerState;
use crate::callee::BreakerOrder;
use crate::functions::FunctionVersion;
use crate::policy::{CalleePolicy, FailurePolicy, Kind, Policies, ServicePolicy};
use crate::registry::{InstanceFilter, RegistryError};

type Answer = Result<u32, Failure>;

struct NoFunctions;

impl Runner<u32> for NoFunctions {
    fn run(&self, _: Invocation<u32>) -> BoxFuture<'static, Result<Vec<u32>, Failure>> {
        unreachable!("no function is called")
    }
}

struct Bench {
    mesh: Mesh<u32>,
    clock: Arc<ManualClock>,
    /// Answers of the next attempts, each after its time; then 7 at once.
    script: Mutex<VecDeque<(Duration, Answer)>>,
    /// Instances that answer with a failure, whatever the script says.
    dead: Mutex<BTreeSet<&'static str>>,
    /// Where the attempts went.
    sent: Mutex<Vec<String>>,
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn unavailable() -> Failure {
    Failure::unknown(Fault::Backend, Reason::Unavailable, "503")
}

fn refused() -> Failure {
    Failure::not_attempted(Fault::Backend, Reason::Unavailable, "refused")
}

fn instance(id: &str) -> Instance {
    let (version, tags) = id.split_once('-').map_or((None, Vec::new()), |(tag, version)| {
        (Some(Arc::from(version)), vec![Arc::from(tag), Arc::from("all")])
    });
    let address = format!("http://{id}.example:80").parse().unwrap();
    Instance { id: id.into(), address, weight: 1, version, tags, ttl: None, declared: true }
}

fn registered(id: &str) -> Instance {
    Instance { declared: false, ..instance(id) }
}

fn policies(calls: &CallPolicy, ids: &[&str]) -> (CalleePolicy, ServicePolicy) {
    let callee = CalleePolicy {
        component: "pay".into(),
        kind: Kind::Service,
        callers: BTreeSet::new(),
        rules: calls.access_rules(),
        deadline: ms(30_000),
        max_concurrent: 100,
        max_pending: 100,
        durable: false,
        failures: FailurePolicy::of(calls, &CallPolicy::default()),
    };
    let service = ServicePolicy {
        load_balance: LoadBalance::RoundRobin,
        health: HealthCheck { enabled: false, ..HealthCheck::default() },
        ejection: Ejection::default(),
        allow_private: false,
        instances: ids.iter().map(|id| instance(id)).collect(),
    };
    (callee, service)
}

impl Bench {
    fn new(calls: &CallPolicy, ids: &[&str]) -> Self {
        let clock = Arc::new(ManualClock::at_ms(0));
        let mesh = Mesh::new(Arc::new(NoFunctions), clock.clone(), || 100);
        mesh.configure(Policies { services: vec![policies(calls, ids)], ..Policies::default() });
        Self { mesh, clock, script: Mutex::default(), dead: Mutex::default(), sent: Mutex::default() }
    }

    fn script(&self, answers: impl IntoIterator<Item = (u64, Answer)>) {
        self.script.lock().unwrap().extend(answers.into_iter().map(|(after, answer)| (ms(after), answer)));
    }

    fn ask(is_idempotent: bool) -> Ask<'static> {
        let (service, method) = ("pay", if is_idempotent { "GET" } else { "POST" });
        let header = &|name: &str| (name == "x-tenant").then_some("a");
        Ask {
            service,
            caller: Some("shop"),
            deadline: ms(1_000_000),
            method,
            header,
            is_idempotent,
            again: true,
            mirrored: false,
            generation: None,
        }
    }

    async fn send(&self, to: Destination) -> Answer {
        let id = to.instance.id.to_string();
        let is_dead = self.dead.lock().unwrap().contains(&*id);
        self.sent.lock().unwrap().push(id);
        if is_dead {
            return Err(refused());
        }
        let (after, answer) = self.script.lock().unwrap().pop_front().unwrap_or((Duration::ZERO, Ok(7)));
        self.clock.sleep(after).await;
        answer
    }

    /// Asks, and lets time pass until there is an answer.
    fn request(&self, ask: &Ask<'_>) -> Answer {
        let mut request = Box::pin(self.mesh.request(ask, |to| self.send(to)));
        loop {
            if let Some(answer) = request.as_mut().now_or_never() {
                return answer.map(|(answer, _)| answer);
            }
            self.clock.advance_to_next().unwrap();
        }
    }

    fn get(&self) -> Answer {
        self.request(&Self::ask(true))
    }

    fn sent(&self) -> Vec<String> {
        std::mem::take(&mut *self.sent.lock().unwrap())
    }

    fn breaker(&self) -> BreakerState {
        self.mesh.callees()[0].breaker.unwrap().state
    }
}

#[test]
fn requests_go_round_and_a_failed_one_goes_elsewhere() {
    let bench = Bench::new(&CallPolicy::default(), &["a", "b", "c"]);
    for _ in 0..3 {
        assert_eq!(bench.get(), Ok(7));
    }
    assert_eq!(bench.sent(), ["a", "b", "c"]);
    bench.script([(0, Err(unavailable())), (0, Err(unavailable()))]);
    assert_eq!(bench.get(), Ok(7));
    assert_eq!(bench.sent(), ["a", "b", "c"]);
    let view = &bench.mesh.callees()[0];
    assert_eq!((view.calls, view.failures, view.retries), (4, 0, 2));
}

#[test]
fn what_may_have_had_its_effect_is_made_again_only_if_it_has_it_once() {
    let declared = Retry { idempotent: vec![Located::new("POST".into(), 1)], ..Retry::default() };
    let declared = CallPolicy { retry: Some(declared), ..CallPolicy::default() };
    let undeclared = CallPolicy::default();
    for (calls, is_idempotent, again, failure, attempts) in [
        (&undeclared, true, true, unavailable(), 2),
        (&undeclared, false, true, unavailable(), 1),
        (&undeclared, false, true, refused(), 2),
        (&undeclared, false, false, refused(), 1),
        (&undeclared, true, false, unavailable(), 1),
        (&declared, false, true, unavailable(), 2),
    ] {
        let bench = Bench::new(calls, &["a", "b"]);
        bench.script([(0, Err(failure.clone()))]);
        let _ = bench.request(&Ask { again, ..Bench::ask(is_idempotent) });
        assert_eq!(bench.sent().len(), attempts, "{is_idempotent} {again} {failure:?}");
    }
}

fn written(rules: Vec<AccessRule>) -> Vec<WrittenRule> {
    rules.into_iter().map(|rule| WrittenRule { rule, callers: Vec::new(), functions: Vec::new() }).collect()
}

#[test]
fn a_request_that_a_rule_is_against_is_refused_and_counts_nowhere() {
    let rule = |tenant: &str| AccessRule {
        allows: true,
        callers: vec!["shop".into()],
        functions: Vec::new(),
        methods: vec!["GET".into()],
        headers: vec![("x-tenant".into(), tenant.into())],
    };
    for (rules, is_idempotent, may) in [
        (vec![], false, true),
        (vec![rule("a")], true, true),
        (vec![rule("a")], false, false),
        (vec![rule("b")], true, false),
    ] {
        let bench = Bench::new(&CallPolicy { rules: written(rules), ..CallPolicy::default() }, &["a"]);
        let answer = bench.request(&Bench::ask(is_idempotent));
        assert_eq!(answer.map_err(|failure| failure.reason), if may { Ok(7) } else { Err(Reason::Denied) });
        assert_eq!(bench.sent().len(), usize::from(may));
    }
}

#[test]
fn a_service_that_asks_for_patience_gets_it() {
    let bench = Bench::new(&CallPolicy::default(), &["a"]);
    let overloaded = Failure::unknown(Fault::Backend, Reason::Overloaded, "429").retry_after_ms(2_000);
    bench.script([(0, Err(overloaded.clone()))]);
    assert_eq!(bench.get(), Ok(7));
    assert_eq!(bench.clock.monotonic(), ms(2_000));
    // It is there: neither its breaker nor its place has anything against it.
    for _ in 0..30 {
        bench.script((0..4).map(|_| (0, Err(overloaded.clone()))));
        assert!(bench.get().is_err());
    }
    assert_eq!(bench.breaker(), BreakerState::Closed);
}

#[test]
fn a_dead_instance_is_left_out_and_nobody_notices() {
    let bench = Bench::new(&CallPolicy::default(), &["a", "b", "c"]);
    bench.dead.lock().unwrap().insert("b");
    for _ in 0..60 {
        assert_eq!(bench.get(), Ok(7));
        bench.clock.advance(ms(100));
    }
    let to_b = bench.sent().iter().filter(|id| *id == "b").count();
    assert_eq!(to_b, 5, "after so many it is left out");
    let ejected = |bench: &Bench| bench.mesh.registry().services()[0].instances[1].ejected_for;
    assert!(ejected(&bench).is_some());
    bench.dead.lock().unwrap().clear();
    bench.clock.advance(ms(40_000));
    for _ in 0..6 {
        assert_eq!(bench.get(), Ok(7));
    }
    assert_eq!((bench.sent().iter().filter(|id| *id == "b").count(), ejected(&bench)), (2, None));
}

#[test]
fn what_was_begun_is_made_again_within_the_budget() {
    let calls = CallPolicy { breaker: Some(Breaker { enabled: false, ..Breaker::default() }), ..CallPolicy::default() };
    let bench = Bench::new(&calls, &["a", "b", "c"]);
    bench.script((0..1_000).map(|_| (0, Err(unavailable()))));
    for _ in 0..50 {
        assert!(bench.get().is_err());
    }
    let retries = bench.mesh.callees()[0].retries;
    assert!((3..=10).contains(&retries), "{retries}");
    // If all refuse, each is asked once for nothing, and more is within the budget.
    let bench = Bench::new(&calls, &["a", "b", "c"]);
    bench.dead.lock().unwrap().extend(["a", "b", "c"]);
    for _ in 0..50 {
        assert!(bench.get().is_err());
    }
    assert!(bench.sent().len() <= 50 * 3 + 10);
}

#[test]
fn a_service_that_mostly_fails_is_left_alone_and_told_of() {
    let retry = Some(Retry { max_retries: 0, ..Retry::default() });
    let bench = Bench::new(&CallPolicy { retry, ..CallPolicy::default() }, &["a"]);
    let mut told = bench.mesh.breaker_events();
    bench.script((0..10).map(|_| (0, Err(unavailable()))));
    for _ in 0..10 {
        assert_eq!(bench.get(), Err(unavailable()));
    }
    assert_eq!((bench.breaker(), bench.sent().len()), (BreakerState::Open, 10));
    let refused = bench.get().unwrap_err();
    assert_eq!((refused.retry_after_ms, refused.fault, bench.sent().len()), (Some(30_000), Fault::Backend, 0));
    bench.mesh.order_breaker("pay", BreakerOrder::Reset).unwrap();
    assert_eq!(bench.get(), Ok(7));
    let events: Vec<_> = std::iter::from_fn(|| told.try_recv().ok()).map(|event| (event.from, event.to)).collect();
    assert_eq!(events, [(BreakerState::Closed, BreakerState::Open), (BreakerState::Open, BreakerState::Closed)]);
}

#[test]
fn an_instance_that_does_not_answer_in_time_has_failed() {
    let breaker = Some(Breaker { enabled: false, ..Breaker::default() });
    let bench = Bench::new(&CallPolicy { breaker, ..CallPolicy::default() }, &["a", "b"]);
    let failures = |bench: &Bench| bench.mesh.registry().services()[0].instances[0].failures;
    bench.script([(60_000, Ok(1))]);
    assert_eq!(bench.get().unwrap_err().reason, Reason::Deadline);
    assert_eq!((failures(&bench), bench.clock.monotonic()), (1, ms(30_000)));
    // One that is given up before says nothing; no request is left under way.
    assert_eq!(bench.get(), Ok(7));
    bench.script([(60_000, Ok(1))]);
    let ask = Bench::ask(true);
    let mut given_up = Box::pin(bench.mesh.request(&ask, |to| bench.send(to)));
    assert!(given_up.as_mut().now_or_never().is_none());
    drop(given_up);
    let view = bench.mesh.registry().services().remove(0).instances.remove(0);
    assert_eq!((view.failures, view.active), (1, 0));
}

#[test]
fn a_request_is_under_way_until_its_answer_has_been_read() {
    let bench = Bench::new(&CallPolicy::default(), &["a"]);
    let active = |bench: &Bench| bench.mesh.registry().services()[0].instances[0].active;
    let ask = Bench::ask(true);
    let (_, serving) = bench.mesh.request(&ask, |to| bench.send(to)).now_or_never().unwrap().unwrap();
    assert_eq!(active(&bench), 1);
    drop(serving);
    assert_eq!(active(&bench), 0);
}

#[test]
fn a_second_request_goes_to_another_instance() {
    let bench = Bench::new(&CallPolicy { hedge: Some(Hedge { after_ms: 50 }), ..CallPolicy::default() }, &["a", "b"]);
    bench.script([(5_000, Ok(1)), (10, Ok(2))]);
    assert_eq!(bench.get(), Ok(2));
    assert_eq!((bench.sent(), bench.clock.monotonic()), (vec!["a".to_owned(), "b".to_owned()], ms(60)));
}

#[test]
fn what_is_registered_gets_requests_and_stays_over_a_deployment() {
    let bench = Bench::new(&CallPolicy::default(), &[]);
    assert_eq!(bench.get().unwrap_err().outcome, weft_core::Outcome::NotAttempted);
    let registry = bench.mesh.registry();
    registry.register("pay", registered("r")).unwrap();
    assert_eq!((bench.get(), bench.sent()), (Ok(7), vec!["r".to_owned()]));
    let (callee, service) = policies(&CallPolicy::default(), &["a"]);
    bench.mesh.order_breaker("pay", BreakerOrder::Open).unwrap();
    bench.mesh.configure(Policies { services: vec![(callee, service)], ..Policies::default() });
    assert_eq!(bench.breaker(), BreakerState::Open, "only instances have changed");
    bench.mesh.order_breaker("pay", BreakerOrder::Reset).unwrap();
    for _ in 0..2 {
        assert_eq!(bench.get(), Ok(7));
    }
    assert_eq!(bench.sent().into_iter().collect::<BTreeSet<_>>(), ["a".to_owned(), "r".to_owned()].into());
    registry.deregister("pay", "r").unwrap();
    assert_eq!((bench.get(), bench.sent()), (Ok(7), vec!["a".to_owned()]));
}

#[test]
fn the_registry_says_what_it_does_not_do() {
    let bench = Bench::new(&CallPolicy::default(), &["a"]);
    let registry = bench.mesh.registry();
    let (pay, id) = ("pay".to_owned(), "x".to_owned());
    assert_eq!(registry.register("x", registered("r")), Err(RegistryError::NoService("x".into())));
    assert_eq!(registry.register("pay", registered("a")), Err(RegistryError::Declared(pay.clone(), "a".into())));
    assert_eq!(registry.deregister("pay", "a"), Err(RegistryError::Declared(pay.clone(), "a".into())));
    assert_eq!(registry.deregister("pay", "x"), Err(RegistryError::NoInstance(pay.clone(), id.clone())));
    assert_eq!(registry.renew("pay", "x"), Err(RegistryError::NoInstance(pay.clone(), id)));
    registry.register("pay", registered("r")).unwrap();
    assert_eq!(registry.renew("pay", "r"), Err(RegistryError::NoTtl(pay, "r".into())));
    let private = Instance { address: "http://127.0.0.1:80".parse().unwrap(), ..registered("p") };
    assert!(matches!(registry.register("pay", private), Err(RegistryError::Private(..))));
}

#[test]
fn instances_are_found_by_version_tag_and_health() {
    let bench = Bench::new(&CallPolicy::default(), &["eu-1.0.0", "eu-2.0.0", "us-2.0.0"]);
    let found = |version: Option<&str>, tags: &[&str], healthy| {
        let tags = tags.iter().map(ToString::to_string).collect();
        let filter = InstanceFilter { version: version.map(str::to_owned), tags, healthy };
        let view = bench.mesh.registry().discover("pay", &filter).unwrap();
        view.instances.iter().map(|view| view.instance.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(found(None, &[], true).len(), 3);
    assert_eq!(found(Some("2.0.0"), &[], false), ["eu-2.0.0", "us-2.0.0"]);
    assert_eq!(found(None, &["eu", "all"], false), ["eu-1.0.0", "eu-2.0.0"]);
    assert_eq!(found(Some("2.0.0"), &["eu"], false), ["eu-2.0.0"]);
    assert!(found(Some("3.0.0"), &[], false).is_empty());
    bench.dead.lock().unwrap().insert("eu-2.0.0");
    for _ in 0..20 {
        assert_eq!(bench.get(), Ok(7));
    }
    assert_eq!(found(Some("2.0.0"), &[], true), ["us-2.0.0"]);
    assert!(bench.mesh.registry().discover("x", &InstanceFilter::default()).is_err());
}

#[test]
fn whoever_watches_is_told_of_each_change() {
    let bench = Bench::new(&CallPolicy::default(), &["a"]);
    let registry = bench.mesh.registry();
    let index = || registry.discover("pay", &InstanceFilter::default()).unwrap().index;
    let first = index();
    // What has happened since is told at once; else it is waited for.
    assert!(registry.changed(Some("pay"), first - 1, ms(1_000)).now_or_never().is_some());
    let mut waiting = Box::pin(registry.changed(Some("pay"), first, ms(1_000)));
    assert!(waiting.as_mut().now_or_never().is_none());
    registry.register("pay", registered("r")).unwrap();
    assert_eq!(waiting.now_or_never(), Some(Ok(())));
    assert!(index() > first);
    // What is there already is no change.
    let before = index();
    registry.register("pay", registered("r")).unwrap();
    assert_eq!(index(), before);
    let mut in_vain = Box::pin(registry.changed(Some("pay"), before, ms(1_000)));
    assert!(in_vain.as_mut().now_or_never().is_none());
    bench.clock.advance(ms(1_000));
    assert_eq!(in_vain.now_or_never(), Some(Ok(())));
    // A service that goes is told of as well.
    let mut waiting = Box::pin(registry.changed(Some("pay"), before, ms(1_000)));
    assert!(waiting.as_mut().now_or_never().is_none());
    bench.mesh.configure(Policies::default());
    assert_eq!(waiting.now_or_never(), Some(Err(RegistryError::NoService("pay".into()))));
}

#[test]
fn whoever_watches_a_function_is_told_of_its_versions() {
    let bench = Bench::new(&CallPolicy::default(), &["a"]);
    let registry = bench.mesh.registry();
    let version = |name: &str, weight| FunctionVersion {
        name: name.into(),
        version: "v".into(),
        digest: Some("d".into()),
        weight,
        declared: true,
    };
    let note = |of_shop: Vec<FunctionVersion>| {
        registry.note_functions([("shop".into(), of_shop), ("other".into(), vec![version("other", 1)])].into());
    };
    let index = |name: &str| registry.function(name).unwrap().index;
    note(vec![version("shop", 10_000)]);
    let (first, other) = (index("shop"), index("other"));
    let mut waiting = Box::pin(registry.changed(Some("shop"), first, ms(1_000)));
    assert!(waiting.as_mut().now_or_never().is_none());
    // A deployment that changes nothing, and one of something else, are no change of it.
    note(vec![version("shop", 10_000)]);
    registry.register("pay", registered("r")).unwrap();
    assert!(waiting.as_mut().now_or_never().is_none());
    note(vec![version("shop", 9_000), version("shop@v", 1_000)]);
    assert_eq!(waiting.now_or_never(), Some(Ok(())));
    assert!(index("shop") > first && index("shop") == registry.index());
    assert_eq!(index("other"), other);
    let mut waiting = Box::pin(registry.changed(Some("shop"), index("shop"), ms(1_000)));
    assert!(waiting.as_mut().now_or_never().is_none());
    registry.note_functions(BTreeMap::new());
    assert_eq!(waiting.now_or_never(), Some(Err(RegistryError::NoService("shop".into()))));
    assert!(registry.functions().is_empty());
}

#[test]
fn an_unchanged_service_is_no_change() {
    let bench = Bench::new(&CallPolicy::default(), &["a"]);
    let before = bench.mesh.registry().index();
    bench.mesh.configure(Policies { services: vec![policies(&CallPolicy::default(), &["a"])], ..Policies::default() });
    assert_eq!(bench.mesh.registry().index(), before);
}

#[test]
fn checks_are_due_and_decide_who_is_asked() {
    let (callee, mut service) = policies(&CallPolicy::default(), &["a", "b"]);
    service.health.enabled = true;
    let bench = Bench::new(&CallPolicy::default(), &[]);
    bench.mesh.configure(Policies { services: vec![(callee, service)], ..Policies::default() });
    let registry = bench.mesh.registry();
    assert_eq!(registry.idle_for(), Some(Duration::ZERO));
    let due = registry.due();
    assert_eq!((due.len(), registry.due().len(), registry.idle_for()), (2, 0, None));
    registry.checked(&due[0], Err("refused".to_owned()));
    registry.checked(&due[1], Ok(()));
    assert_eq!(registry.idle_for(), Some(ms(10_000)));
    for _ in 0..4 {
        assert_eq!(bench.get(), Ok(7));
    }
    assert_eq!(bench.sent(), ["b"; 4]);
    bench.clock.advance(ms(10_000));
    let due = registry.due();
    registry.checked(&due[0], Ok(()));
    assert!(bench.get().is_ok() && bench.get().is_ok());
    assert_eq!(bench.sent().into_iter().collect::<BTreeSet<_>>().len(), 2);
}

#[test]
fn what_a_copy_of_a_call_asks_is_asked_once_and_counts_nowhere() {
    let bench = Bench::new(&CallPolicy::default(), &["a"]);
    for _ in 0..20 {
        bench.script.lock().unwrap().push_back((Duration::ZERO, Err(refused())));
        assert!(bench.request(&Ask { mirrored: true, ..Bench::ask(true) }).is_err());
    }
    assert_eq!(bench.sent().len(), 20);
    assert!(bench.request(&Bench::ask(true)).is_ok(), "neither breaker nor instance has it held against it");
}
