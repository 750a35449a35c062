//! Manifests that are nearly right, and some that are nothing: each is read or refused, in little time, with lines that
//! are in it.

use std::path::Path;

use weft_core::manifest::{Manifest, Route};
use weft_tests::mutation::mutated;
use weft_tests::repository;

const TRIES: u64 = 20_000;

#[test]
fn whatever_a_manifest_holds_it_is_read_or_refused() {
    let mut seeds = vec![std::fs::read(repository::root().join("spin.toml")).unwrap()];
    for folder in ["host/core/tests/manifests", "tests/applications", "components/examples"] {
        let manifests =
            repository::files(folder).into_iter().filter(|path| path.extension().is_some_and(|end| end == "toml"));
        seeds.extend(manifests.map(|path| std::fs::read(path).unwrap()));
    }
    seeds.push(spin().into());
    assert!(seeds.len() > 20, "{}", seeds.len());
    let (mut read, mut refused) = (0, 0);
    mutated(&seeds, TRIES, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let lines = text.lines().count() + 1;
        let profile = text.contains("profile").then_some("fast");
        match Manifest::parse_with(Path::new("spin.toml"), &text, profile) {
            Ok(manifest) => {
                read += 1;
                let answered = |route: &Route| {
                    route.static_response.is_some() || manifest.components.contains_key(&route.component)
                };
                assert!(manifest.routes.iter().all(answered));
            }
            Err(problems) => {
                refused += 1;
                assert!(!problems.is_empty());
                assert!(problems.iter().all(|problem| problem.line <= lines), "{problems:?}");
            }
        }
    });
    assert!(read > 0 && refused > 0, "{read} read, {refused} refused");
}

/// Every form that Spin's manifest has, in one.
fn spin() -> String {
    std::fs::read_to_string(repository::root().join("host/core/tests/manifests/good/spin/spin.toml")).unwrap()
}
