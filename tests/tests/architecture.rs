//! The arrows between crates, who may name wasmtime and concrete backends, and one version of each library. Read from
//! `cargo metadata` and the sources, so that no review has to watch them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use weft_tests::repository::{files, relative, root};

/// Each crate may depend on those before it.
const CHAIN: [&str; 9] = [
    "weft-core",
    "weft-compose",
    "weft-durable",
    "weft-capability",
    "weft-engine",
    "weft-mesh",
    "weft-gateway",
    "weft-console",
    "weft-cli",
];
/// Beside the chain: what it may depend on, and who may depend on it.
const TELEMETRY: &str = "weft-telemetry";
const TELEMETRY_MAY_USE: [&str; 1] = ["weft-core"];
const MAY_USE_TELEMETRY: [&str; 3] = ["weft-gateway", "weft-console", "weft-cli"];
const BACKEND_MAY_USE: [&str; 3] = ["weft-core", "weft-durable", "weft-capability"];
const ASSEMBLES: &str = "weft-cli";

/// Libraries of which two incompatible versions are built into `weft`, and why that cannot be helped yet.
const TWICE: [(&str, &str); 17] = [
    ("arrayvec", "cedar-policy's formatter, through pretty, has not moved from 0.5"),
    ("cpufeatures", "sha2 0.10 beside rand 0.10, through chacha20"),
    ("fallible-iterator", "tokio-postgres has not moved from 0.2, which rusqlite has left"),
    ("fixedbitset", "rumqttc is ahead of wac-graph's petgraph"),
    ("getrandom", "as rand_core; uuid takes the newer"),
    ("hashbrown", "gimli, which wasmtime uses, beside indexmap"),
    ("itertools", "cedar-policy is ahead of cranelift"),
    ("io-lifetimes", "fs-set-times beside cap-std, both through wasmtime-wasi"),
    ("logos", "cedar-policy is ahead of wasm-wave"),
    ("rand", "jsonwebtoken's rsa has not moved from 0.8, nor tokio-postgres from 0.9"),
    ("rand_chacha", "as rand"),
    ("rand_core", "ed25519-dalek 2 and jsonwebtoken's rsa have not moved from 0.6"),
    ("thiserror", "wac-graph has not moved from 1"),
    ("unicode-width", "miette, by which cedar-policy tells of errors, has not moved from 0.1"),
    ("wasm-encoder", "wac-graph is ahead of wasmtime"),
    ("wasmparser", "wac-graph is ahead of wasmtime"),
    ("wit-parser", "wit-component is of wac-graph's generation, and wasmtime's own is older"),
];

fn cargo(arguments: &[&str]) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo).args(arguments).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn metadata(options: &[&str]) -> Value {
    let all = [&["metadata", "--format-version", "1", "--locked"], options].concat();
    serde_json::from_str(&cargo(&all)).unwrap()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap()
}

/// Packages of this workspace: name, folder, and the names of the workspace's packages that each uses in what it ships.
fn own_packages() -> Vec<(String, String, BTreeSet<String>)> {
    let metadata = metadata(&["--no-deps"]);
    let packages = metadata["packages"].as_array().unwrap();
    let own: BTreeSet<&str> = packages.iter().map(|package| text(package, "name")).collect();
    let package = |package: &Value| {
        let manifest = Path::new(text(package, "manifest_path"));
        let shipped = package["dependencies"].as_array().unwrap().iter().filter(|used| used["kind"] != "dev");
        let used = shipped.map(|used| text(used, "name")).filter(|name| own.contains(name)).map(str::to_owned);
        (text(package, "name").to_owned(), relative(manifest.parent().unwrap()), used.collect())
    };
    packages.iter().map(package).collect()
}

fn may_use(name: &str, folder: &str) -> BTreeSet<String> {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    if name == TELEMETRY {
        return names(&TELEMETRY_MAY_USE);
    }
    if folder.starts_with("host/backend/") {
        return names(&BACKEND_MAY_USE);
    }
    if let Some(place) = CHAIN.iter().position(|link| *link == name) {
        let mut before = names(&CHAIN[..place]);
        if MAY_USE_TELEMETRY.contains(&name) {
            before.insert(TELEMETRY.to_owned());
        }
        return before;
    }
    match name {
        "weft-tests" => BTreeSet::new(),
        // The broker's own API and the mesh's are measured in its process.
        "weft-bench" => names(&["weft-core", "weft-capability", "weft-mesh", "weft-tests"]),
        _ => panic!("{name} in {folder}: where does this crate stand? Give it a place in this test"),
    }
}

#[test]
fn dependencies_point_one_way() {
    let packages = own_packages();
    let wrong: Vec<String> = packages
        .iter()
        .flat_map(|(name, folder, used)| {
            let mut allowed = may_use(name, folder);
            if name == ASSEMBLES {
                let backends = packages.iter().filter(|(_, folder, _)| folder.starts_with("host/backend/"));
                allowed.extend(backends.map(|(name, _, _)| name.clone()));
            }
            used.difference(&allowed).map(|used| format!("{name} -> {used}")).collect::<Vec<_>>()
        })
        .collect();
    assert!(wrong.is_empty(), "dependencies against the arrows: {wrong:?}");
    // A chain that no longer names the crates would forbid nothing.
    let known: BTreeSet<&str> = packages.iter().map(|(name, _, _)| name.as_str()).collect();
    assert!(CHAIN.iter().filter(|link| known.contains(*link)).count() >= 7, "{known:?}");
}

#[test]
fn logic_does_without_runtimes() {
    let metadata = metadata(&["--no-deps"]);
    for (crate_name, forbidden) in [("weft-core", ["tokio", "wasmtime"]), ("weft-durable", ["rusqlite", "wasmtime"])] {
        let packages = metadata["packages"].as_array().unwrap();
        let package = packages.iter().find(|package| package["name"] == crate_name).unwrap();
        let used = package["dependencies"].as_array().unwrap().iter().filter(|used| used["kind"].is_null());
        let wrong: Vec<&str> = used.map(|used| text(used, "name")).filter(|name| forbidden.contains(name)).collect();
        assert!(wrong.is_empty(), "{crate_name} uses {wrong:?}");
    }
}

/// Lines of the host's code that hold one of `words`, outside tests, comments and texts, and outside the files that
/// `allowed` names.
fn mentions(words: &[&str], allowed: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    let sources = files("host").into_iter().filter(|path| path.extension().is_some_and(|end| end == "rs"));
    let tests = |path: &str| path.contains("/tests/") || path.ends_with("tests.rs");
    for path in sources.filter(|path| !tests(&relative(path)) && !allowed(&relative(path))) {
        let source = std::fs::read_to_string(&path).unwrap();
        let code = source.split("#[cfg(test)]").next().unwrap();
        for (number, line) in code.lines().enumerate() {
            let line = without_texts(line.split("//").next().unwrap());
            let line = line.as_str();
            if words.iter().any(|word| holds_word(line, word)) {
                found.push(format!("{}:{}: {}", relative(&path), number + 1, line.trim()));
            }
        }
    }
    found
}

/// The line with its string literals empty.
fn without_texts(line: &str) -> String {
    line.split('"').step_by(2).collect::<Vec<_>>().join("\"\"")
}

/// Whether the word stands in the line; one that ends in `*` begins there.
fn holds_word(line: &str, word: &str) -> bool {
    let (start, open) = word.strip_suffix('*').map_or((word, false), |start| (start, true));
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(start).any(|(at, _)| {
        let before = line[..at].chars().next_back().is_some_and(part_of_word);
        let after = line[at + start.len()..].chars().next().is_some_and(part_of_word);
        !before && (open || !after)
    })
}

#[test]
fn only_the_engine_and_glue_name_wasmtime() {
    let allowed = |path: &str| {
        let glue = path.ends_with("/glue.rs") || path.contains("/glue/");
        path.starts_with("host/engine/") || (path.starts_with("host/capability/") && glue)
    };
    let found = mentions(&["wasmtime*"], allowed);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn only_assembly_names_concrete_backends() {
    let allowed = |path: &str| {
        path.starts_with("host/capability/")
            || path.starts_with("host/backend/")
            || path == "host/core/src/disk.rs"
            || path == "host/cli/src/assemble.rs"
    };
    let found = mentions(&["Embedded*", "SqlHost", "rusqlite*", "RealDisk"], allowed);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn each_library_is_built_in_once() {
    // Procedural macros work for the compiler; nothing of them is in the program.
    let edges = ["--edges", "normal,no-proc-macro", "--target", "x86_64-unknown-linux-gnu"];
    let tree = cargo(&[&["tree", "--locked", "--package", ASSEMBLES, "--prefix", "none"], &edges[..]].concat());
    let mut versions: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for line in tree.lines() {
        let mut words = line.split(' ');
        let (Some(name), Some(version)) = (words.next(), words.next()) else { panic!("no package: {line}") };
        versions.entry(name).or_default().insert(compatible_series(version.trim_start_matches('v')));
    }
    versions.retain(|_, versions| versions.len() > 1);
    let known: BTreeSet<&str> = TWICE.iter().map(|(name, _)| *name).collect();
    let twice: BTreeSet<&str> = versions.keys().copied().collect();
    assert_eq!(twice, known, "libraries in two incompatible versions, against the list of those known: {versions:#?}");
}

/// `1` of 1.2.3, `0.2` of 0.2.3: versions within a series are one.
fn compatible_series(version: &str) -> String {
    let parts: Vec<&str> = version.split('.').collect();
    match parts[0] {
        "0" => format!("0.{}", parts[1]),
        major => major.to_owned(),
    }
}
