//! Small components in the text format, put together and taken wrongly together.

use std::collections::BTreeMap;

use super::*;

/// A component with an interface that answers `number`; `imports` it also asks of its surroundings.
fn provider(interface: &str, imports: &[&str]) -> Vec<u8> {
    let imports: String = imports.iter().map(|name| import(name)).collect();
    component(&format!(
        r#"(component {imports}
            (core module $m (func (export "number") (result i32) (i32.const 7)))
            (core instance $i (instantiate $m))
            (func $number (result u32) (canon lift (core func $i "number")))
            (instance $own (export "number" (func $number)))
            (export "{interface}" (instance $own)))"#
    ))
}

/// A component that imports these interfaces and exports the function `run` of its own.
fn consumer(imports: &[&str]) -> Vec<u8> {
    let imports: String = imports.iter().map(|name| import(name)).collect();
    component(&format!(
        r#"(component {imports}
            (core module $m (func (export "run") (result i32) (i32.const 1)))
            (core instance $i (instantiate $m))
            (func $run (result u32) (canon lift (core func $i "run")))
            (export "run" (func $run)))"#
    ))
}

fn import(name: &str) -> String {
    format!(r#"(import "{name}" (instance (export "number" (func (result u32)))))"#)
}

fn component(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

/// What a component imports and exports.
fn shape(bytes: &[u8]) -> (Vec<String>, Vec<String>) {
    let mut composition = Composition::new();
    let place = composition.add("it", bytes).unwrap();
    (composition.imports(place), composition.exports(place))
}

fn dependency<'a>(name: &'a str, bytes: &'a [u8], is_for: &'a dyn Fn(&str) -> bool) -> Dependency<'a> {
    Dependency { name, bytes, is_for, export: None, is_denied: &|_| false }
}

#[test]
fn a_dependency_takes_the_place_of_an_import() {
    let (add, main) = (provider("example:calc/add@1.0.0", &[]), consumer(&["example:calc/add@1.0.0", "spin:host/x"]));
    let is_for = |import: &str| import.starts_with("example:calc/");
    let composed = with_dependencies("main", &main, &[dependency("example:calc", &add, &is_for)]).unwrap();
    assert_eq!(shape(&composed), (vec!["spin:host/x".to_owned()], vec!["run".to_owned()]));
}

#[test]
fn an_export_of_another_name_is_taken_by_name() {
    let (add, main) = (provider("example:other/sum", &[]), consumer(&["example:calc/add"]));
    let is_for = |import: &str| import == "example:calc/add";
    let named = Dependency { export: Some("example:other/sum"), ..dependency("d", &add, &is_for) };
    assert_eq!(shape(&with_dependencies("main", &main, &[named]).unwrap()).0, Vec::<String>::new());
    let error = with_dependencies("main", &main, &[dependency("d", &add, &is_for)]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the dependency \"d\" of main does not export \"example:calc/add\", which main is to have for its import \
         \"example:calc/add\"; it exports example:other/sum"
    );
}

#[test]
fn what_a_dependency_is_denied_it_does_not_share() {
    let (add, main) = (provider("example:calc/add", &["spin:host/x"]), consumer(&["example:calc/add", "spin:host/x"]));
    let is_for = |import: &str| import == "example:calc/add";
    let shared = with_dependencies("main", &main, &[dependency("d", &add, &is_for)]).unwrap();
    assert_eq!(shape(&shared).0, ["spin:host/x"]);
    let is_denied = |import: &str| import == "spin:host/x";
    let denied = Dependency { is_denied: &is_denied, ..dependency("d", &add, &is_for) };
    let mut imports = shape(&with_dependencies("main", &main, &[denied]).unwrap()).0;
    imports.sort();
    assert_eq!(imports, ["denied-d1-spin:host/x", "spin:host/x"]);
}

/// Imports an interface with a resource, and another that speaks of it, as those of WASI do.
fn with_resources(name: &str) -> Vec<u8> {
    component(&format!(
        r#"(component
            (import "wasi:net/types@0.2.0" (instance $types (export "socket" (type (sub resource)))))
            (alias export $types "socket" (type $socket))
            (import "wasi:net/connect@0.2.0" (instance $connect
                (alias outer 1 $socket (type $s))
                (export "socket" (type $t (eq $s)))
                (export "connect" (func (result (result (own $t)))))))
            (core module $m (func (export "number") (result i32) (i32.const 7)))
            (core instance $i (instantiate $m))
            (func $number (result u32) (canon lift (core func $i "number")))
            (instance $own (export "number" (func $number)))
            (export "{name}" (instance $own)))"#
    ))
}

#[test]
fn interfaces_that_share_resources_are_denied_together_or_apart() {
    let (net, main) = (with_resources("example:calc/add"), consumer(&["example:calc/add"]));
    let is_for = |import: &str| import == "example:calc/add";
    let imports = |is_denied: &dyn Fn(&str) -> bool| {
        let denied = Dependency { is_denied, ..dependency("d", &net, &is_for) };
        shape(&with_dependencies("main", &main, &[denied]).unwrap()).0
    };
    assert_eq!(imports(&|_| false), ["wasi:net/types@0.2.0", "wasi:net/connect@0.2.0"]);
    let apart = imports(&|import| import.starts_with("wasi:net/connect"));
    assert_eq!(apart, ["wasi:net/types@0.2.0", "denied-d1-wasi:net/connect@0.2.0"]);
    let together = imports(&|import| import.starts_with("wasi:net"));
    assert_eq!(together, ["denied-d1-wasi:net/types@0.2.0", "denied-d1-wasi:net/connect@0.2.0"]);
}

#[test]
fn dependencies_that_do_not_fit_are_refused_by_name() {
    let (add, main) = (provider("example:calc/add", &[]), consumer(&["example:calc/add"]));
    let (is_for, never) = (|import: &str| import == "example:calc/add", |_: &str| false);
    let compose = |dependencies: &[Dependency<'_>]| with_dependencies("main", &main, dependencies).unwrap_err();
    let twice = compose(&[dependency("a", &add, &is_for), dependency("b", &add, &is_for)]);
    assert_eq!(
        twice.to_string(),
        "the import \"example:calc/add\" of main would be satisfied by the dependencies a, b"
    );
    let unused = compose(&[dependency("c", &add, &never)]);
    let expected = "main imports nothing that the dependency \"c\" is for; it imports example:calc/add";
    assert_eq!(unused.to_string(), expected);
    let other_types = component(
        r#"(component
            (core module $m (func (export "number") (result i64) (i64.const 7)))
            (core instance $i (instantiate $m))
            (func $number (result u64) (canon lift (core func $i "number")))
            (instance $own (export "number" (func $number)))
            (export "example:calc/add" (instance $own)))"#,
    );
    let incompatible = compose(&[dependency("e", &other_types, &is_for)]);
    assert!(matches!(incompatible, ComposeError::Incompatible { .. }), "{incompatible}");
    for bytes in [&b""[..], b"\0asm", &main[..main.len() / 2]] {
        let invalid = with_dependencies("main", bytes, &[]).unwrap_err();
        assert!(invalid.to_string().starts_with("main is not a valid component: "), "{invalid}");
    }
}

#[test]
fn a_function_and_what_it_calls_are_one_component_and_each_is_there_once() {
    let part = |bytes: Vec<u8>, calls: &[(&str, &str)]| {
        let calls = calls.iter().map(|(interface, id)| ((*interface).to_owned(), (*id).to_owned())).collect();
        Part { bytes, calls }
    };
    let mut parts = BTreeMap::from([
        ("top".to_owned(), part(consumer(&["a:b/left", "a:b/right"]), &[("a:b/left", "left"), ("a:b/right", "right")])),
        ("left".to_owned(), part(provider("a:b/left", &["a:b/base"]), &[("a:b/base", "base")])),
        ("right".to_owned(), part(provider("a:b/right", &["a:b/base", "wasi:x/y"]), &[("a:b/base", "base")])),
        ("base".to_owned(), part(provider("a:b/base", &[]), &[])),
    ]);
    let composed = function("top", &parts).unwrap();
    assert_eq!(shape(&composed), (vec!["wasi:x/y".to_owned()], vec!["run".to_owned()]));

    parts.insert("base".to_owned(), part(provider("a:b/base", &["a:b/left"]), &[("a:b/left", "left")]));
    let circle = function("top", &parts).unwrap_err();
    assert_eq!(circle, ComposeError::Circle(vec!["left".to_owned(), "base".to_owned()]));
    assert!(function("nobody", &parts).is_err());
}

#[test]
fn middleware_stands_before_the_handler_in_order() {
    const HANDLER: &str = "wasi:http/handler@0.3.0";
    let inner = provider(HANDLER, &["spin:host/x"]);
    let layer = provider(HANDLER, &[HANDLER]);
    let middleware = |name, bytes| Middleware { name, bytes, is_denied: &|_| false };
    let chain = [middleware("outer", &layer), middleware("next", &layer)];
    let chained = with_middleware("main", &inner, &chain).unwrap();
    assert_eq!(shape(&chained), (vec!["spin:host/x".to_owned()], vec![HANDLER.to_owned()]));
    let error = with_middleware("main", &inner, &[middleware("odd", &inner)]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the middleware \"odd\" imports nothing that the dependency \"wasi:http/handler@0.3\" is for; it imports spin:host/x"
    );
}

#[test]
fn a_module_of_preview_1_becomes_a_command() {
    let module = component(
        r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 1) (func (export "_start") (call $exit (i32.const 0))))"#,
    );
    let (imports, exports) = shape(&of_module("it", &module).unwrap());
    assert!(exports.iter().any(|export| export.starts_with("wasi:cli/run@0.2")), "{exports:?}");
    assert!(imports.iter().any(|import| import.starts_with("wasi:cli/exit@0.2")), "{imports:?}");
}

#[test]
fn what_is_no_such_module_is_refused_by_name() {
    let refusal = |text: &str| of_module("component \"x\"", &component(text)).unwrap_err().to_string();
    let neither = refusal("(module (func (export \"handle-http-request\")))");
    assert!(neither.contains("the module of component \"x\"") && neither.contains("nor is it a command"), "{neither}");
    let foreign = refusal("(module (import \"env\" \"x\" (func)) (func (export \"_start\")))");
    assert!(foreign.contains("the module of component \"x\" is not a valid component: "), "{foreign}");
}

#[test]
fn candidates_that_were_released_get_the_released_names() {
    let candidate = |name: &str| format!("wasi:http/{name}@0.3.0-rc-2026-03-15");
    let release = |name: &str| format!("wasi:http/{name}@0.3.0");
    let known = provider(&candidate("handler"), &["spin:host/x", &candidate("types"), "wasi:io/poll@0.2.6"]);
    let renamed = released(&known).unwrap().expect("it has candidates");
    let imports = ["spin:host/x", &release("types"), "wasi:io/poll@0.2.6"].map(str::to_owned).to_vec();
    assert_eq!(shape(&renamed), (imports, vec![release("handler")]));
    assert_eq!(released(&renamed).unwrap(), None, "nothing is left to do");

    // One that has both keeps both; an export is renamed all the same.
    let both = provider(&candidate("handler"), &[&candidate("types"), &release("types")]);
    let renamed = released(&both).unwrap().expect("it exports a candidate");
    assert_eq!(shape(&renamed), (vec![candidate("types"), release("types")], vec![release("handler")]));

    let other = provider("example:calc/add@0.3.0-rc-2026-03-15", &["wasi:http/types@0.3.0-rc-2025-09-16"]);
    assert_eq!(released(&other).unwrap(), None, "of others nobody knows that they are the same");
    assert!(released(b"no component").is_err());
}

#[test]
fn the_handler_of_the_snapshot_is_known_as_the_released_one() {
    let snapshot = |name: &str| format!("wasi:http/{name}@0.2.0-rc-2023-10-18");
    let renamed = released(&provider(&snapshot("incoming-handler"), &[&snapshot("types")])).unwrap();
    let renamed = renamed.expect("it exports the snapshot's handler");
    // What it imports stays the snapshot's: its functions are others.
    assert_eq!(shape(&renamed), (vec![snapshot("types")], vec!["wasi:http/incoming-handler@0.2.0".to_owned()]));
    assert_eq!(released(&renamed).unwrap(), None);

    let others = provider("wasi:http/incoming-handler@0.2.0-rc-2023-11-10", &[&snapshot("incoming-handler")]);
    assert_eq!(released(&others).unwrap(), None);
}
