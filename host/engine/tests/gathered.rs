//! Calls that come in together: one instance does them all, a panic among them concerns no other, and an instance with nothing
//! more to do ends after a while.

use std::sync::Arc;

use tokio::runtime::Builder;
use wasmtime::component::Val;

use weft_core::clock::ManualClock;
use weft_core::{Clock, Failure, SystemClock, Target};
use weft_engine::{EngineOptions, ReuseSpec};

use crate::harness::{Bench, PANICS};

const INTERFACE: &str = "test:gathered/counting@1.0.0";
/// Told this, the function opens its output.
const OPENS_OUTPUT: u32 = 13;

/// Answers how often its instance was called, and goes on for a moment after it has.
fn counting() -> Vec<u8> {
    let text = format!(
        r#"(component
            (import "wasi:io/streams@0.2.0" (instance $streams (export "output-stream" (type (sub resource)))))
            (alias export $streams "output-stream" (type $output))
            (import "wasi:cli/stdout@0.2.0" (instance $stdout
                (alias outer 1 $output (type $outer))
                (export "output-stream" (type $own (eq $outer)))
                (export "get-stdout" (func (result (own $own))))))
            (core func $open (canon lower (func $stdout "get-stdout")))
            (core func $return (canon task.return (result u32)))
            (core module $module
                (import "host" "open" (func $open (result i32)))
                (import "host" "return" (func $return (param i32)))
                (global $calls (mut i32) (i32.const 0))
                (func (export "run") (param $what i32) (result i32)
                    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
                    (if (i32.eq (local.get $what) (i32.const {OPENS_OUTPUT})) (then (drop (call $open))))
                    (call $return (global.get $calls))
                    (i32.const 1 (; yield ;)))
                (func (export "go-on") (param i32 i32 i32) (result i32) (i32.const 0 (; exit ;))))
            (core instance $instance (instantiate $module
                (with "host" (instance (export "open" (func $open)) (export "return" (func $return))))))
            (func $run async (param "what" u32) (result u32)
                (canon lift (core func $instance "run") async (callback (core func $instance "go-on"))))
            (instance $counting (export "run" (func $run)))
            (export "{INTERFACE}" (instance $counting)))"#
    );
    wat::parse_str(text).unwrap()
}

/// Its runtime has one thread, so that what comes in together does so each time.
fn bench(clock: Arc<dyn Clock>) -> Bench {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let bench = Bench::on(runtime, clock, EngineOptions { max_instances: 16, ..EngineOptions::default() });
    let mut spec = bench.spec(PANICS, &counting());
    spec.reuse = Some(ReuseSpec { max_requests: 1_000, max_concurrent: 1 });
    bench.engine.deploy(vec![spec]).unwrap();
    bench
}

fn system_clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new(|time| Box::pin(tokio::time::sleep(time))))
}

fn run(bench: &Bench, whats: impl IntoIterator<Item = u32>) -> Vec<Result<u32, Failure>> {
    let target = Target { component: PANICS.into(), interface: INTERFACE.into(), function: "run".into() };
    let answers = bench.call_all(&target, whats.into_iter().map(|what| vec![Val::U32(what)]).collect());
    let count = |results: Vec<Val>| match results[..] {
        [Val::U32(count)] => count,
        _ => panic!("{results:?}"),
    };
    answers.into_iter().map(|answer| answer.map(count)).collect()
}

fn counts(answers: Vec<Result<u32, Failure>>) -> Vec<u32> {
    answers.into_iter().map(Result::unwrap).collect()
}

#[test]
fn one_instance_does_what_comes_in_together_in_its_order() {
    let bench = bench(system_clock());
    assert_eq!(counts(run(&bench, [0; 8])), [1, 2, 3, 4, 5, 6, 7, 8]);
    // The same one when more come, and more than are begun before others have their turn.
    assert_eq!(counts(run(&bench, [0; 100])), (9..=108).collect::<Vec<_>>());
    // One at a time it is the same as well, begun where it comes from after a while.
    let one_by_one: Vec<u32> = (0..100).flat_map(|_| counts(run(&bench, [0]))).collect();
    assert_eq!(one_by_one, (109..=208).collect::<Vec<_>>());
}

#[test]
fn a_panic_among_what_came_in_together_concerns_no_other() {
    let bench = bench(system_clock());
    let mut answers = run(&bench, [0, 0, OPENS_OUTPUT, 0, 0]);
    let failure = answers.remove(2).unwrap_err();
    assert!(failure.message.contains("stopped without an answer"), "{failure}");
    // Those behind it are begun at the same time, in instances of their own.
    assert_eq!(counts(answers), [1, 2, 1, 1]);
    assert_eq!(counts(run(&bench, [0])), [2]);
}

#[test]
fn an_instance_that_rests_ends_after_a_while() {
    let clock = Arc::new(ManualClock::default());
    let bench = bench(clock.clone());
    let look = || {
        bench.give_way();
        clock.advance_to_next().expect("it is looked who rests");
        bench.give_way();
    };
    for count in 1..=3 {
        assert_eq!(counts(run(&bench, [0])), [count]);
        look();
    }
    look();
    assert_eq!(counts(run(&bench, [0])), [1]);
}
