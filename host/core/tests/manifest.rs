//! The manifest over whole files: what a good one resolves to, and word for word what is said about bad ones.

use std::path::Path;

use weft_core::manifest::{Diagnostic, KeySource, Manifest};

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/manifests"))
}

fn education() -> Manifest {
    let path = folder().join("good/education/spin.toml");
    Manifest::load(path).unwrap_or_else(|problems| panic!("{}", shown(&problems)))
}

fn shown(problems: &[Diagnostic]) -> String {
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}

#[test]
fn a_whole_manifest_is_understood() {
    let manifest = education();
    let root = folder().join("good/education");
    assert_eq!(manifest.root, root);
    assert_eq!(&*manifest.application.name, "education");
    assert_eq!(&*manifest.startup[0].value, "ensure-admin");
    assert_eq!(manifest.gateway.max_body_bytes, 1_000_000);
    assert_eq!(manifest.gateway.request_timeout_ms, 5_000);
    let build = manifest.build.as_ref().unwrap();
    assert_eq!(build.workdir, root.join("components"));
    let migrations = &manifest.contexts["courses"].migrations;
    let names: Vec<_> = migrations.iter().map(|migration| (migration.number, &*migration.name)).collect();
    assert_eq!(names, [(1, "courses"), (2, "title")]);
    let auth = manifest.auth.as_ref().unwrap();
    assert_eq!((auth.leeway_s, &auth.keys[0].value), (30, &KeySource::Variable("jwt_private_key".into())));
    let running: Vec<_> = manifest.running().map(|component| &*component.id).collect();
    assert_eq!(running, ["assets", "courses-create", "courses-list", "enroll", "enrolling", "ensure-admin"]);
}
