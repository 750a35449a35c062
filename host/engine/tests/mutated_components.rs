//! Component files that are damaged: each is loaded or refused by name; the host that looks at them stays.

use std::path::Path;

use weft_engine::{EngineError, EngineOptions, FunctionSpec, Grants, InstanceSpec, Source, check_functions};
use weft_tests::mutation::mutated;
use weft_tests::repository;

const TRIES: u64 = 500;

fn spec(path: &Path) -> FunctionSpec {
    FunctionSpec {
        id: "mutated".into(),
        version: None,
        source: Source { path: path.to_owned(), composed: None },
        calls: Default::default(),
        grants: Grants::default(),
        optional: false,
        durable: false,
        serves_http: false,
        required_exports: Vec::new(),
        files: None,
        environment: Vec::new(),
        limits: InstanceSpec::default(),
        reuse: None,
    }
}

#[test]
fn whatever_a_component_file_holds_it_is_loaded_or_refused() {
    let built = repository::root().join("components/target/wasm32-wasip2/release");
    let seeds: Vec<Vec<u8>> = ["example_greeter.wasm", "example_spin_guard.wasm", "example_hello_p2.wasm"]
        .map(|file| std::fs::read(built.join(file)).unwrap())
        .to_vec();
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("mutated.wasm");
    let (mut loaded, mut refused) = (0, 0);
    mutated(&seeds, TRIES, |bytes| {
        std::fs::write(&path, bytes).unwrap();
        match check_functions(&EngineOptions::default(), data.path(), vec![spec(&path)], &[]) {
            Ok(()) | Err(EngineError::Refused(_)) => loaded += 1,
            Err(EngineError::Load(error)) => {
                refused += 1;
                assert!(error.to_string().contains("mutated.wasm"), "{error}");
            }
            Err(other) => panic!("{other}"),
        }
    });
    assert!(loaded > 0 && refused > 0, "{loaded} loaded, {refused} refused");
}
