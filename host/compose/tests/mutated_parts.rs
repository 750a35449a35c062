//! Parts that are damaged: each is composed with the others, or refused with its name; whoever composes stays. What is
//! made of sound parts is sound.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use wasmparser::{Validator, WasmFeatures};
use weft_compose::{ComposeError, Dependency, Middleware, of_module, released, with_dependencies, with_middleware};
use weft_tests::mutation::mutated;

const TRIES: u64 = 2_000;
const VAULT: &str = "example:vault/vault@1.0.0";
const HANDLER: &str = "wasi:http/handler@0.3.0";
const CANDIDATE: &str = "wasi:cli/exit@0.3.0-rc-2026-03-15";

/// A component that imports and exports these interfaces, each with one function.
fn component(imports: &[&str], exports: &[&str]) -> Vec<u8> {
    let import = |name: &&str| format!(r#"(import "{name}" (instance (export "number" (func (result u32)))))"#);
    let export = |name: &&str| format!(r#"(export "{name}" (instance $own))"#);
    let (imports, exports): (String, String) =
        (imports.iter().map(import).collect(), exports.iter().map(export).collect());
    let text = format!(
        r#"(component {imports}
            (core module $m (func (export "number") (result i32) (i32.const 7)))
            (core instance $i (instantiate $m))
            (func $number (result u32) (canon lift (core func $i "number")))
            (instance $own (export "number" (func $number)))
            {exports})"#
    );
    wat::parse_str(text).unwrap()
}

/// A command of WASI preview 1.
fn module() -> Vec<u8> {
    let text = r#"(module
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1)
        (func (export "_start") (call $exit (i32.const 0))))"#;
    wat::parse_str(text).unwrap()
}

fn is_sound(bytes: &[u8]) -> bool {
    Validator::new_with_features(WasmFeatures::all()).validate_all(bytes).is_ok()
}

/// How often something came of it, and how often not.
#[derive(Default)]
struct Seen {
    made: u32,
    refused: u32,
}

impl Seen {
    fn note(&mut self, outcome: Result<Vec<u8>, ComposeError>, of_sound_parts: bool, damaged: &str) {
        match outcome {
            Ok(bytes) => {
                self.made += 1;
                assert!(!of_sound_parts || is_sound(&bytes), "what is made of sound parts is not sound");
            }
            Err(ComposeError::Invalid { part, message }) => {
                self.refused += 1;
                assert!(part.contains(damaged) && !message.is_empty(), "{part}: {message}");
            }
            Err(_) => self.refused += 1,
        }
    }

    fn both(&self) -> bool {
        self.made > 0 && self.refused > 0
    }
}

#[test]
fn whatever_a_dependency_or_its_component_holds_they_are_composed_or_refused() {
    let (main, vault) = (component(&[VAULT, "wasi:x/y@0.2.0"], &["a:b/c"]), component(&["wasi:x/y@0.2.0"], &[VAULT]));
    let mut seen = Seen::default();
    mutated(&[main.clone(), vault.clone()], TRIES, |bytes| {
        for denied in [false, true] {
            let is_denied = |import: &str| denied && import.starts_with("wasi:");
            let with = |bytes| Dependency {
                name: "vault",
                bytes,
                is_for: &|import| import == VAULT,
                export: None,
                is_denied: &is_denied,
            };
            let sound = is_sound(bytes);
            seen.note(with_dependencies("main", &main, &[with(bytes)]), sound, "vault");
            seen.note(with_dependencies("main", bytes, &[with(&vault)]), sound, "main");
        }
    });
    assert!(seen.both(), "{} composed, {} refused", seen.made, seen.refused);
}

#[test]
fn whatever_middleware_or_its_handler_holds_they_are_composed_or_refused() {
    let (handler, layer) = (component(&[], &[HANDLER]), component(&[HANDLER, "wasi:x/y@0.2.0"], &[HANDLER]));
    let mut seen = Seen::default();
    mutated(&[handler.clone(), layer.clone()], TRIES, |bytes| {
        let with = |bytes| Middleware { name: "layer", bytes, is_denied: &|import| import.starts_with("wasi:x/") };
        let sound = is_sound(bytes);
        seen.note(with_middleware("main", &handler, &[with(bytes)]), sound, "layer");
        seen.note(with_middleware("main", bytes, &[with(&layer)]), sound, "main");
        seen.note(with_middleware("main", &handler, &[with(&layer), with(bytes)]), sound, "layer");
    });
    assert!(seen.both(), "{} composed, {} refused", seen.made, seen.refused);
}

#[test]
fn whatever_a_module_holds_it_becomes_a_component_or_is_refused() {
    let mut seen = Seen::default();
    mutated(&[module()], TRIES, |bytes| seen.note(of_module("main", bytes), is_sound(bytes), "main"));
    assert!(seen.both(), "{} made, {} refused", seen.made, seen.refused);
}

#[test]
fn whatever_a_component_holds_its_names_are_released_or_it_is_refused() {
    let seeds = [component(&[CANDIDATE], &["a:b/c"]), component(&[CANDIDATE, "wasi:cli/exit@0.3.0"], &["a:b/c"])];
    let (mut renamed, mut kept, mut refused) = (0, 0, 0);
    mutated(&seeds, TRIES, |bytes| match released(bytes) {
        Ok(Some(changed)) => {
            renamed += 1;
            assert!(!is_sound(bytes) || is_sound(&changed), "a sound component is not sound with other names");
        }
        Ok(None) => kept += 1,
        Err(message) => {
            refused += 1;
            assert!(!message.is_empty());
        }
    });
    assert!(renamed > 0 && kept > 0 && refused > 0, "{renamed} renamed, {kept} kept, {refused} refused");
}
