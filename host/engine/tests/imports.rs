//! What a component may import and has to export, said to whoever has another idea.

use weft_engine::{EngineError, EngineOptions, FunctionSpec, Problem, World};

use crate::harness::Bench;

/// A component that imports an interface with one function, if it says one, and exports another the same way.
fn component(import: Option<&str>, export: Option<&str>) -> Vec<u8> {
    let import = import.map(|name| format!(r#"(import "{name}" (instance (export "get" (func (result u32)))))"#));
    let export = export.map(|name| format!(r#"(export "{name}" (instance $own))"#));
    let (import, export) = (import.unwrap_or_default(), export.unwrap_or_default());
    let text = format!(
        r#"(component {import}
            (core module $m (func (export "get") (result i32) (i32.const 7)))
            (core instance $i (instantiate $m))
            (func $get (result u32) (canon lift (core func $i "get")))
            (instance $own (export "get" (func $get)))
            {export})"#
    );
    wat::parse_str(text).unwrap()
}

fn problems(bench: &Bench, bytes: &[u8], change: impl FnOnce(&mut FunctionSpec)) -> Vec<Problem> {
    let mut spec = bench.spec("it", bytes);
    change(&mut spec);
    match bench.engine.deploy(vec![spec]) {
        Ok(()) => Vec::new(),
        Err(EngineError::Refused(problems)) => problems,
        Err(error) => panic!("{error}"),
    }
}

fn says(problems: &[Problem], message: &str, help: &str) {
    let [problem] = problems else { panic!("{problems:?}") };
    assert_eq!(problem.message, message);
    assert!(problem.help.as_ref().is_some_and(|said| said.contains(help)), "{problem:?}");
}

#[test]
fn interfaces_that_are_not_here_are_named_with_those_that_are() {
    let bench = Bench::new();
    let importing = |name: &str| problems(&bench, &component(Some(name), None), |_| ());
    for (name, help) in [
        ("wasi:config/store@0.2.0-rc.1", "wasi:config/store@0.2.0-draft-2024-09-27"),
        ("wasi:config/runtime@0.2.0-draft-2024-09-27", "`spin:variables`"),
        ("wasi:keyvalue/watch@0.2.0-draft2", "poll the key"),
        ("fermyon:spin/config", "version 2 or later"),
    ] {
        says(&importing(name), &format!("imports `{name}`, which this host does not have"), help);
    }
}

#[test]
fn the_handler_of_spin_1_is_known_by_name() {
    let bench = Bench::new();
    let exporting = |name: &str| {
        problems(&bench, &component(None, Some(name)), |spec| {
            spec.serves_http = true;
        })
    };
    let message = "is the target of a route but exports no wasi:http handler";
    says(&exporting("fermyon:spin/inbound-http"), message, "the handler of Spin 1");
    let [problem] = &exporting("a:b/c")[..] else { panic!("it is refused") };
    assert_eq!((problem.message.as_str(), &problem.help), (message, &None));
}

#[test]
fn a_host_that_does_as_spin_does_has_spins_world_and_no_more() {
    let options = EngineOptions { world: World::Spin, max_instances: 16, ..EngineOptions::default() };
    let (spins, own) = (Bench::with(options), Bench::new());
    for name in ["weft:sql/database@0.1.0", "a:b/c@1.0.0", "wasi:otel/tracing@0.2.0-rc.2"] {
        let bytes = component(Some(name), None);
        let message = format!("imports `{name}`, which Spin's world spin:up/http-trigger@4.1.0 does not have");
        says(&problems(&spins, &bytes, |_| ()), &message, "--as-spin");
        let said = problems(&own, &bytes, |_| ());
        assert!(said.iter().all(|problem| !problem.message.contains("Spin's world")), "{said:?}");
    }
    assert!(problems(&spins, &component(None, Some("a:b/c")), |_| ()).is_empty());
}
