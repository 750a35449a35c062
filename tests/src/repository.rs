//! Where things are in the repository.

use std::path::{Path, PathBuf};

/// The repository's top.
///
/// # Panics
/// Never: this package is a folder of it.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are a folder of the repository")
}

/// All files under `folder` (relative to the top) that are sources, in order: without what builds and hosts leave
/// behind.
///
/// # Panics
/// If a folder cannot be read.
#[must_use]
pub fn files(folder: &str) -> Vec<PathBuf> {
    const LEFT_BEHIND: [&str; 6] = ["target", ".git", ".weft", ".services", "dist", "node_modules"];
    let mut files = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for entry in entries.map(|entry| entry.expect("a folder can be read to its end")) {
            let path = entry.path();
            let kind = entry.file_type().expect("an entry has a type");
            if kind.is_file() {
                files.push(path);
            } else if kind.is_dir() && !LEFT_BEHIND.contains(&entry.file_name().to_string_lossy().as_ref()) {
                folders.push(path);
            }
        }
    }
    files.sort();
    files
}

/// The path as it is written in the repository.
///
/// # Panics
/// If it is not in the repository.
#[must_use]
pub fn relative(path: &Path) -> String {
    path.strip_prefix(root()).expect("a path in the repository").to_string_lossy().into_owned()
}

/// The `weft` binary: `WEFT_BIN`, or the release build of this workspace.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn weft() -> PathBuf {
    let weft = std::env::var_os("WEFT_BIN").map_or_else(|| root().join("target/release/weft"), PathBuf::from);
    assert!(
        weft.is_file(),
        "{} does not exist: build it first with ./scripts/test or cargo build --release -p weft-cli",
        weft.display()
    );
    weft
}
