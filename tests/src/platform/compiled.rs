//! Compiled components, shared by all tests: each host has a data directory of its own, and compiling forty components
//! for each would take longer than all tests. The first host compiles; the others get hard links to what it made.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use crate::repository;

/// Held by the one that compiles until its host is up.
pub(super) struct Compiled {
    shared: PathBuf,
    compiles: Option<(File, PathBuf)>,
}

/// Gives a data directory what is compiled already. If nothing is, the caller is the one that compiles, and others wait
/// until it says [`Compiled::keep`].
pub(super) fn provide(data: &Path) -> Compiled {
    let weft = repository::weft();
    let shared = weft.with_file_name("weft-tests-compiled");
    fs::create_dir_all(&shared).expect("a folder beside the binary");
    let ready = shared.join(format!("for-{:016x}", fingerprint(&weft)));
    let mut compiles = None;
    if !ready.exists() {
        let lock = File::create(shared.join("lock")).expect("a lock beside the binary");
        lock.lock().expect("the lock is waited for");
        // Another may have compiled meanwhile.
        if !ready.exists() {
            forget(&shared);
            compiles = Some((lock, ready));
        }
    }
    let cache = data.join("cache");
    fs::create_dir_all(&cache).expect("a folder in the data directory");
    link_all(&shared, &cache);
    Compiled { shared, compiles }
}

impl Compiled {
    /// The host is up: what it has compiled is for everybody.
    pub(super) fn keep(self, data: &Path) {
        // Also what only some hosts run.
        link_all(&data.join("cache"), &self.shared);
        if let Some((_lock, ready)) = self.compiles {
            File::create(&ready).expect("the folder can be written");
        }
    }
}

/// Of the binary and the components as they are now.
fn fingerprint(weft: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    let components = repository::root().join("components/target/wasm32-wasip2/release");
    let entries = fs::read_dir(components).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|end| end == "wasm")).collect();
    files.sort();
    files.push(weft.to_owned());
    for file in files {
        let about = fs::metadata(&file).expect("the file is there");
        (file, about.len(), about.modified().ok()).hash(&mut hasher);
    }
    hasher.finish()
}

fn compiled_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    entries.filter(|path| path.extension().is_some_and(|end| end == "cwasm")).collect()
}

fn link_all(from: &Path, to: &Path) {
    for file in compiled_in(from) {
        let place = to.join(file.file_name().expect("a file has a name"));
        if place.exists() || fs::hard_link(&file, &place).is_ok() || place.exists() {
            continue;
        }
        // On another file system.
        fs::copy(&file, &place).expect("compiled code can be copied");
    }
}

fn forget(shared: &Path) {
    let marks = fs::read_dir(shared).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    let marks = marks.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("for-")));
    for old in compiled_in(shared).into_iter().chain(marks) {
        // Links to it stay whole.
        let _ = fs::remove_file(old);
    }
}
