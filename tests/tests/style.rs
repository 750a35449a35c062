//! The habits of the house that no lint knows: how files open and how long they are, nothing left open, no waiting by
//! the clock, no addresses of one machine's registry.

use std::path::PathBuf;

use weft_tests::repository::{files, relative};

const LINES_MAX: usize = 800;
/// Files whose tests may sleep, and why.
const MAY_SLEEP: [(&str, &str); 5] = [
    ("tests/src/wait.rs", "between two looks at another process"),
    ("tests/bench/src/event_store/rebuild.rs", "between two looks at the host"),
    ("tests/bench/src/messaging/engine.rs", "between two looks at a server"),
    ("tests/bench/src/messaging/workload.rs", "to publish at a steady rate"),
    ("tests/bench/src/push.rs", "until idle connections have shown that they are alive"),
];
/// Hosts that addresses in build files may name.
const KNOWN_HOSTS: [&str; 3] = ["github.com", "rustup.rs", "127.0.0.1"];

/// Rust files of the host, the components and the tests, with their text.
fn sources() -> Vec<(String, String)> {
    let folders = ["host", "components", "tests"];
    let paths = folders.iter().flat_map(|folder| files(folder));
    let rust = paths.filter(|path| path.extension().is_some_and(|end| end == "rs"));
    let sources: Vec<_> = rust.map(|path| (relative(&path), read(&path))).collect();
    assert!(sources.len() > 100, "where are the sources?");
    sources
}

fn read(path: &PathBuf) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Lines that `bad` finds fault with.
fn faults(bad: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let faults = sources().into_iter().flat_map(|(path, source)| {
        let lines = source.lines().enumerate().filter(|(_, line)| bad(&path, line));
        lines.map(|(number, line)| format!("{path}:{}: {}", number + 1, line.trim())).collect::<Vec<_>>()
    });
    faults.collect()
}

fn assert_none(what: &str, faults: &[String]) {
    assert!(faults.is_empty(), "{what}:\n{}", faults.join("\n"));
}

#[test]
fn files_open_with_what_they_own() {
    let bad: Vec<String> =
        sources().into_iter().filter(|(_, source)| !source.starts_with("//! ")).map(|(path, _)| path).collect();
    assert_none("files that do not open with //!", &bad);
}

#[test]
fn files_are_short() {
    let long = sources().into_iter().filter_map(|(path, source)| {
        let lines = source.lines().count();
        (lines > LINES_MAX).then(|| format!("{path}: {lines} lines"))
    });
    assert_none(&format!("files over {LINES_MAX} lines"), &long.collect::<Vec<_>>());
}

#[test]
fn nothing_is_left_open() {
    // Put together so that this file does not find itself.
    let open =
        [["to", "do!("].concat(), ["unimplem", "ented!("].concat(), ["FIX", "ME"].concat(), ["TO", "DO"].concat()];
    assert_none("left open", &faults(|_, line| open.iter().any(|word| line.contains(word))));
}

#[test]
fn no_test_is_ignored_without_a_reason() {
    let ignore = ["#[ig", "nore]"].concat();
    assert_none("ignored without a reason", &faults(|_, line| line.contains(&ignore)));
}

#[test]
fn tests_do_not_wait_by_the_clock() {
    let sleeps = [["thread::", "sleep("].concat(), ["time::", "sleep("].concat()];
    // How a test makes the machine's clock, which tokio's sleep is a part of, is no waiting.
    let makes_clock = "SystemClock::new(";
    let mut bad = Vec::new();
    for (path, source) in sources() {
        if MAY_SLEEP.iter().any(|(known, _)| *known == path) {
            continue;
        }
        let all_tests = path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("tests.rs");
        let tests_from = if all_tests { Some(0) } else { source.find("#[cfg(test)]\nmod ") };
        let tests = tests_from.map_or("", |from| &source[from..]);
        let found = tests.lines().filter(|line| sleeps.iter().any(|sleep| line.contains(sleep)));
        let found = found.filter(|line| !line.contains(makes_clock));
        bad.extend(found.map(|line| format!("{path}: {}", line.trim())));
    }
    assert_none("tests that sleep; wait for what you wait for, or add the file with its reason", &bad);
}

/// Where a crate's tests are one program, a file that it does not name is never built.
#[test]
fn no_test_file_is_left_out() {
    let sources = sources();
    let mut bad = Vec::new();
    for (path, main) in &sources {
        let Some(folder) = path.strip_suffix("main.rs").filter(|folder| folder.ends_with("/tests/")) else { continue };
        let files = sources.iter().filter_map(|(path, _)| path.strip_prefix(folder)?.strip_suffix(".rs"));
        let modules = files.filter(|file| *file != "main" && !file.contains('/'));
        let missing = modules.filter(|module| !main.contains(&format!("mod {module};\n")));
        bad.extend(missing.map(|module| format!("{folder}{module}.rs")));
    }
    assert_none("not named in the main.rs beside them", &bad);
}

#[test]
fn build_files_name_no_other_registry() {
    let build_file = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        let folder = relative(path);
        matches!(&*name, "Cargo.toml" | "Cargo.lock" | "config.toml" | "rust-toolchain.toml")
            || folder.starts_with("scripts/")
            || folder.starts_with(".ci/")
    };
    let mut bad = Vec::new();
    for path in files("").into_iter().filter(build_file) {
        for (number, line) in read(&path).lines().enumerate() {
            let hosts = line.match_indices("://").map(|(at, _)| {
                let rest = &line[at + 3..];
                rest.split(|c: char| !c.is_alphanumeric() && !"-._".contains(c)).next().unwrap_or_default()
            });
            for host in hosts.filter(|host| !KNOWN_HOSTS.contains(host)) {
                bad.push(format!("{}:{}: {host}", relative(&path), number + 1));
            }
        }
    }
    assert_none("addresses of hosts that not everybody has", &bad);
}
