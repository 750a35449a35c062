//! Limits of one instance that a component written in a language cannot reach by itself: its tables, several memories,
//! its parts; and fuel, which is exact.

use std::time::{Duration, Instant};

use wasmtime::component::Val;

use weft_core::{Failure, Fault, Outcome, Reason};
use weft_engine::{EngineError, EngineOptions, FunctionSpec, ReuseSpec};

use crate::harness::Bench;

const INTERFACE: &str = "test:limits/attack@1.0.0";

/// A component of one module, whose function takes a number and answers one.
fn component(module: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
            (core module $module {module})
            (core instance $instance (instantiate $module))
            (func $run (param "times" u32) (result u32) (canon lift (core func $instance "run")))
            (instance $attack (export "run" (func $run)))
            (export "{INTERFACE}" (instance $attack)))"#
    );
    wat::parse_str(text).unwrap()
}

fn run(bench: &Bench, module: &str, times: u32, limit: impl FnOnce(&mut FunctionSpec)) -> Result<u32, Failure> {
    let mut spec = bench.spec("attack", &component(module));
    limit(&mut spec);
    bench.engine.deploy(vec![spec]).unwrap();
    again(bench, times)
}

fn again(bench: &Bench, times: u32) -> Result<u32, Failure> {
    let results = bench.call("attack", INTERFACE, "run", vec![Val::U32(times)])?;
    let [Val::U32(result)] = results[..] else { panic!("{results:?}") };
    Ok(result)
}

fn assert_passed(result: Result<u32, Failure>, reason: Reason, says: &str) {
    let failure = result.unwrap_err();
    assert_eq!(failure.reason, reason, "{failure}");
    assert!(failure.message.contains(says), "{failure}");
}

/// Grows one table by 1,000 for `times`, and another after it.
const TABLES: &str = r#"
    (table $a 0 funcref) (table $b 0 funcref)
    (func (export "run") (param $times i32) (result i32)
        (local $left i32)
        (local.set $left (local.get $times))
        (loop $again (if (local.get $left) (then
            (drop (table.grow $a (ref.null func) (i32.const 1000)))
            (local.set $left (i32.sub (local.get $left) (i32.const 1)))
            (br $again))))
        (drop (table.grow $b (ref.null func) (i32.const 5000)))
        (i32.add (table.size $a) (table.size $b)))"#;

#[test]
fn tables_are_bounded_together() {
    let bench = Bench::new();
    let to_10_000 = |spec: &mut FunctionSpec| spec.limits.table_elements = 10_000;
    assert_eq!(run(&bench, TABLES, 5, to_10_000).unwrap(), 10_000);
    assert_passed(again(&bench, 6), Reason::ResourceLimit, "passed its table limit");
    assert_passed(again(&bench, 11), Reason::ResourceLimit, "passed its table limit");
    assert_passed(run(&bench, TABLES, 1_000_000, |_| ()), Reason::ResourceLimit, "passed its table limit");
}

/// Grows one memory by `times` pages, and another by five.
const MEMORIES: &str = r#"
    (memory $a 1) (memory $b 1)
    (func (export "run") (param $times i32) (result i32)
        (drop (memory.grow $a (local.get $times)))
        (drop (memory.grow $b (i32.const 5)))
        (i32.add (memory.size $a) (memory.size $b)))"#;

#[test]
fn memories_are_bounded_together() {
    let bench = Bench::new();
    let to_a_mebibyte = |spec: &mut FunctionSpec| spec.limits.memory_bytes = 1 << 20;
    // 16 pages: one of each from the start, five, and nine.
    assert_eq!(run(&bench, MEMORIES, 9, to_a_mebibyte).unwrap(), 16);
    assert_passed(again(&bench, 10), Reason::ResourceLimit, "passed its memory limit");
    assert_passed(again(&bench, 15), Reason::ResourceLimit, "passed its memory limit");
}

/// Grows its memory by a page for `times`.
const GROWER: &str = r#"
    (memory 1)
    (func (export "run") (param $times i32) (result i32)
        (loop $again (if (local.get $times) (then
            (drop (memory.grow (i32.const 1)))
            (local.set $times (i32.sub (local.get $times) (i32.const 1)))
            (br $again))))
        (memory.size))"#;

/// An instance is free, or gone, a moment after its answer has come.
fn until_it_is<T>(attempt: impl Fn() -> Result<T, Failure>) -> T {
    let latest = Instant::now() + Duration::from_secs(60);
    loop {
        match attempt() {
            Ok(answer) => return answer,
            Err(failure) => assert!(Instant::now() < latest, "{failure}"),
        }
        std::thread::yield_now();
    }
}

/// Who holds memory are instances that are reused: they keep it between two calls.
#[test]
fn the_memory_of_all_instances_is_bounded_and_comes_back() {
    let bench = Bench::with(EngineOptions { max_instances: 16, max_memory_mb: 64, ..EngineOptions::default() });
    let growers: Vec<String> = (0..8).map(|number| format!("grower-{number}")).collect();
    let mut specs: Vec<FunctionSpec> = growers.iter().map(|id| bench.spec(id, &component(GROWER))).collect();
    for spec in &mut specs {
        spec.reuse = Some(ReuseSpec { max_requests: 1_000_000, max_concurrent: 1 });
    }
    specs.push(bench.spec("small", &component(GROWER)));
    bench.engine.deploy(specs).unwrap();
    let run = |id: &str, times: u32| {
        let results = bench.call(id, INTERFACE, "run", vec![Val::U32(times)])?;
        let [Val::U32(pages)] = results[..] else { panic!("{results:?}") };
        Ok::<_, Failure>(pages)
    };
    // 8 MiB each: seven of them have all but what is left for those that need little.
    for grower in &growers[..7] {
        assert_eq!(run(grower, 127).unwrap(), 128);
    }
    assert_eq!(bench.engine.memory_bytes(), (56 << 20, 64 << 20));
    let refused = run(&growers[7], 127).unwrap_err();
    assert_eq!((refused.reason, refused.fault), (Reason::Overloaded, Fault::Host), "{refused}");
    assert!(refused.message.contains("64 MiB (max_memory_mb"), "{refused}");
    assert!(refused.retry_after_ms.is_some());
    // Others go on, in instances that there are and in new ones.
    assert_eq!(until_it_is(|| run(&growers[0], 0)), 128);
    assert_eq!(run("small", 9).unwrap(), 10);
    // One that ends gives back what it had.
    assert_passed(run(&growers[1], 1_000_000), Reason::Overloaded, "max_memory_mb");
    assert_eq!(until_it_is(|| run(&growers[7], 127)), 128);
}

#[test]
fn an_instance_for_which_there_is_no_memory_does_not_begin() {
    let bench = Bench::with(EngineOptions { max_instances: 16, max_memory_mb: 1, ..EngineOptions::default() });
    let whole = component(&GROWER.replace("(memory 1)", "(memory 16)"));
    let larger = component(&GROWER.replace("(memory 1)", "(memory 17)"));
    bench.engine.deploy(vec![bench.spec("whole", &whole), bench.spec("larger", &larger)]).unwrap();
    let run = |id: &str| bench.call(id, INTERFACE, "run", vec![Val::U32(0)]);
    assert_eq!(run("whole").unwrap(), [Val::U32(16)]);
    let refused = run("larger").unwrap_err();
    assert_eq!((refused.reason, refused.outcome), (Reason::Overloaded, Outcome::NotAttempted), "{refused}");
    assert!(refused.message.contains("1 MiB (max_memory_mb"), "{refused}");
    assert_eq!((run("whole").unwrap(), bench.engine.memory_bytes()), (vec![Val::U32(16)], (0, 1 << 20)));
}

#[test]
fn instances_are_bounded_all_together() {
    const INSTANCES: u32 = 10;
    let bench = Bench::with(EngineOptions { max_instances: INSTANCES, ..EngineOptions::default() });
    let mut specs: Vec<FunctionSpec> = (0..=INSTANCES)
        .map(|number| {
            let mut spec = bench.spec(&format!("held-{number}"), &component(GROWER));
            spec.reuse = Some(ReuseSpec { max_requests: 1_000_000, max_concurrent: 1 });
            spec
        })
        .collect();
    specs.push(bench.spec("fresh", &component(GROWER)));
    bench.engine.deploy(specs).unwrap();
    let run = |id: &str| bench.call(id, INTERFACE, "run", vec![Val::U32(0)]);
    // An instance that is reused stays when it has answered.
    for number in 0..INSTANCES {
        assert_eq!(run(&format!("held-{number}")).unwrap(), [Val::U32(1)]);
    }
    for one_more in [format!("held-{INSTANCES}"), "fresh".to_owned()] {
        let refused = run(&one_more).unwrap_err();
        assert_eq!((refused.reason, refused.outcome), (Reason::Overloaded, Outcome::NotAttempted), "{refused}");
        assert!(refused.message.contains("no room for another instance"), "{refused}");
    }
    assert_eq!(until_it_is(|| run("held-0")), [Val::U32(1)]);
}

#[test]
fn parts_of_a_component_are_counted_when_it_is_loaded() {
    let bench = Bench::new();
    let idle = "(func (export \"run\") (param i32) (result i32) (i32.const 0))";
    let of = |part: &str, count: usize| component(&format!("{} {idle}", part.repeat(count)));
    let refused = |bytes: Vec<u8>| bench.engine.deploy(vec![bench.spec("attack", &bytes)]).unwrap_err();
    for (part, what, key) in
        [("(memory 1)", "linear memories", "max_memories = 17"), ("(table 1 funcref)", "tables", "max_tables = 33")]
    {
        let most = if what == "tables" { 32 } else { 16 };
        bench.engine.deploy(vec![bench.spec("attack", &of(part, most))]).unwrap();
        let EngineError::Refused(problems) = refused(of(part, most + 1)) else { panic!("{what} are refused") };
        let [problem] = &problems[..] else { panic!("{problems:?}") };
        assert_eq!(problem.message, format!("has {} {what}; it may have {most}", most + 1));
        assert!(problem.help.as_ref().is_some_and(|help| help.contains(key)), "{problem:?}");
    }
    // Core instances have the pool's bound.
    let empty = |count: usize| {
        let instances = "(core module $empty)".to_owned() + &"(core instance (instantiate $empty))".repeat(count);
        wat::parse_str(format!("(component {instances})")).unwrap()
    };
    bench.engine.deploy(vec![bench.spec("attack", &empty(200))]).unwrap();
    let refusal = refused(empty(201)).to_string();
    assert!(refusal.contains("201"), "{refusal}");
}

/// Counts to `times`.
const COUNT: &str = r#"
    (func (export "run") (param $times i32) (result i32)
        (local $count i32)
        (loop $again (if (i32.lt_u (local.get $count) (local.get $times)) (then
            (local.set $count (i32.add (local.get $count) (i32.const 1)))
            (br $again))))
        (local.get $count))"#;

#[test]
fn fuel_is_exact_and_new_for_each_call() {
    let bench = Bench::new();
    let with_fuel = |spec: &mut FunctionSpec| spec.limits.fuel = Some(100_000);
    assert_eq!(run(&bench, COUNT, 1, with_fuel).unwrap(), 1);
    let mut found = Vec::new();
    for _ in 0..2 {
        // The most that it can count to with its fuel, found by halving.
        let (mut enough, mut too_much) = (1, 100_000);
        while too_much - enough > 1 {
            let middle = enough + (too_much - enough) / 2;
            match again(&bench, middle) {
                Ok(count) => enough = count,
                Err(failure) => {
                    assert_passed(Err(failure), Reason::CpuLimit, "used up its fuel");
                    too_much = middle;
                }
            }
        }
        found.push(enough);
    }
    assert_eq!(found[0], found[1]);
    assert!((5_000..50_000).contains(&found[0]), "{found:?}");
    // Without fuel it counts on.
    assert_eq!(run(&bench, COUNT, 1_000_000, |_| ()).unwrap(), 1_000_000);
}

/// Calls itself `times` deep.
const DEEP: &str = r#"
    (func $run (export "run") (param $times i32) (result i32)
        (if (result i32) (local.get $times)
            (then (i32.add (i32.const 1) (call $run (i32.sub (local.get $times) (i32.const 1)))))
            (else (i32.const 0))))"#;

#[test]
fn the_stack_is_bounded() {
    let bench = Bench::new();
    assert_eq!(run(&bench, DEEP, 1_000, |_| ()).unwrap(), 1_000);
    assert_passed(again(&bench, 10_000_000), Reason::ResourceLimit, "overflowed its stack");
}
