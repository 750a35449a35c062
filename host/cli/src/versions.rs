//! Versions of components that are deployed beside those of the manifest: which there are, how much each serves, and how canaries go.
//! They are kept in `versions/` of the data directory: the components by their digests, and what is said of them in
//! `versions.json`. Choosing and counting belong to the mesh, running to the engine.

pub mod canary;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};

use weft_core::manifest::{self, Component, Diagnostic, Manifest, SourceFile};
use weft_core::{id, version_name, whole};
use weft_engine::{FunctionSpec, Source};
use weft_mesh::{Share, Split, WHOLE};

use crate::composing;

use canary::Canary;

/// Versions of one component beside the manifest's.
pub const MAX_VERSIONS: usize = 8;
/// Digits of the digest that name a version.
pub const NAME_DIGITS: usize = 12;
/// Headers by which one version can be asked for.
pub const MAX_HEADERS: usize = 16;

/// A version beside the manifest's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// The component.
    pub component: Arc<str>,
    /// SHA-256 of the version's file, in hex.
    pub digest: Arc<str>,
    /// How much it serves, of [`WHOLE`].
    pub weight: u32,
    /// Of so many of [`WHOLE`] calls that others serve it gets a copy.
    #[serde(default)]
    pub mirror: u32,
    /// Requests with one of these headers are served by it in any case.
    pub headers: Vec<(Arc<str>, Arc<str>)>,
    /// Digest of the manifest's own version when this was put beside it. Once that is another, this one is dropped: what was tried
    /// or promoted by hand has been overtaken by a deployment of the manifest.
    pub beside: Arc<str>,
    /// How it is tried, or was.
    pub canary: Option<Canary>,
    /// Its name in the manifest, if it stands there. Such a one is not kept, and nothing is done to it by hand.
    #[serde(skip)]
    pub declared: Option<Arc<str>>,
}

impl Version {
    /// Its name: that of the manifest, or the first digits of its digest.
    #[must_use]
    pub fn name(&self) -> &str {
        if let Some(name) = &self.declared {
            return name;
        }
        self.digest.get(..NAME_DIGITS).unwrap_or(&self.digest)
    }

    /// What the engine and the mesh know it by.
    #[must_use]
    pub fn function(&self) -> Arc<str> {
        version_name(&self.component, self.name())
    }

    /// What the engine knows all its functions by: that of its component and those of the component's halves.
    #[must_use]
    pub fn functions(&self, manifest: &Manifest) -> Vec<Arc<str>> {
        halves(manifest, &self.component).map(|half| version_name(&half.id, self.name())).collect()
    }
}

/// Why the versions cannot be what they were to become.
#[derive(Debug, thiserror::Error)]
pub enum VersionError {
    /// It is asked for something that is not there.
    #[error("{0}")]
    Missing(String),
    /// It cannot be done as things stand.
    #[error("{0}")]
    Conflict(String),
    /// It could not be kept.
    #[error("the versions cannot be kept in {}: {source}", path.display())]
    Kept {
        /// Where.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// The versions of one application.
#[derive(Debug)]
pub struct Versions {
    folder: PathBuf,
    /// What is kept. Read without a lock: whoever changes it may wait for the disk.
    now: ArcSwap<Vec<Version>>,
    changing: Mutex<()>,
}

impl Versions {
    /// Those that are kept in `data`. A version whose file is gone or damaged is dropped, and a file that is no version's removed.
    ///
    /// # Errors
    /// If what is kept cannot be read.
    pub fn open(data: &Path) -> Result<Self, VersionError> {
        let folder = data.join("versions");
        let path = folder.join("versions.json");
        let kept = |source| VersionError::Kept { path: path.clone(), source };
        // Its own name is to outlast a power cut as well as what is kept in it.
        fs::create_dir_all(&folder).and_then(|()| fs::File::open(data)?.sync_all()).map_err(kept)?;
        let mut now: Vec<Version> = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| kept(error.into()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(kept(error)),
        };
        now.retain(|version| {
            let file = file(data, &version.digest);
            let is_whole = fs::read(&file).is_ok_and(|bytes| id::digest(&bytes) == *version.digest);
            if !is_whole {
                let (component, file) = (&version.component, file.display());
                tracing::error!(%component, %file, "the file of a version is gone or damaged: the version is dropped");
            }
            is_whole
        });
        let versions = Self { folder, now: ArcSwap::from_pointee(now), changing: Mutex::new(()) };
        versions.remove_files(|extension| extension != "json");
        Ok(versions)
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> Arc<Vec<Version>> {
        self.now.load_full()
    }

    /// Looks at them while nobody changes them.
    pub fn with(&self, look: impl FnOnce(&[Version])) {
        let _alone = self.alone();
        look(&self.all());
    }

    /// Changes them, durably, one change after the other; `then` sees what they are, and nobody changes them meanwhile.
    ///
    /// # Errors
    /// Those of `change`, and if it cannot be kept; nothing has changed then.
    pub fn change<T>(
        &self,
        change: impl FnOnce(&mut Vec<Version>) -> Result<T, VersionError>,
        then: impl FnOnce(&[Version]),
    ) -> Result<T, VersionError> {
        let _alone = self.alone();
        let mut changed = Vec::clone(&self.all());
        let answer = change(&mut changed)?;
        let path = self.folder.join("versions.json");
        let written = serde_json::to_vec_pretty(&changed).map_err(io::Error::from);
        let written = written.and_then(|bytes| whole::write(&path, &bytes));
        written.map_err(|source| VersionError::Kept { path, source })?;
        let changed = Arc::new(changed);
        self.now.store(changed.clone());
        then(&changed);
        Ok(answer)
    }

    /// Removes components that are no version's. One that a deployment has just brought may be among them; that is then refused, and
    /// can be made again.
    pub fn sweep(&self) {
        let _alone = self.alone();
        self.remove_files(|extension| extension == "wasm");
    }

    fn remove_files(&self, is_meant: impl Fn(&OsStr) -> bool) {
        let kept: BTreeSet<PathBuf> =
            self.all().iter().map(|version| self.folder.join(format!("{}.wasm", version.digest))).collect();
        let files = fs::read_dir(&self.folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let is_meant = |path: &Path| path.extension().is_some_and(&is_meant);
        for file in files.filter(|file| is_meant(file) && !kept.contains(file)) {
            if let Err(error) = fs::remove_file(&file) {
                tracing::warn!(file = %file.display(), %error, "a file that is no version's is left behind");
            }
        }
    }

    fn alone(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the component of a version is in a data directory.
#[must_use]
pub fn file(data: &Path, digest: &str) -> PathBuf {
    data.join("versions").join(format!("{digest}.wasm"))
}

/// Puts a component where a host on `data` finds it; answers its digest.
///
/// # Errors
/// If it cannot be read or written.
pub fn bring(data: &Path, source: &Path) -> io::Result<String> {
    let bytes = fs::read(source)?;
    let digest = id::digest(&bytes);
    let target = file(data, &digest);
    if let Some(folder) = target.parent() {
        fs::create_dir_all(folder)?;
    }
    whole::write(&target, &bytes)?;
    Ok(digest)
}

/// The functions of a version: one for its component, and one for each half of it behind middleware. Each has all that the
/// manifest's has but the code, and is composed with the same.
///
/// # Errors
/// If its file does not fit what stands before its component.
pub fn functions(
    version: &Version,
    manifest: &Manifest,
    of_manifest: &[FunctionSpec],
    data: &Path,
) -> Result<Vec<FunctionSpec>, Diagnostic> {
    let code = SourceFile { path: file(data, &version.digest), digest: None };
    let mut functions = Vec::new();
    for half in halves(manifest, &version.component) {
        let Some(spec) = of_manifest.iter().find(|spec| spec.id == half.id && spec.version.is_none()) else { continue };
        let name = version_name(&half.id, version.name());
        let composed = composing::composed_of(manifest, half, &name, &code, half.source.line)?;
        let source = Source { path: code.path.clone(), composed };
        functions.push(FunctionSpec { version: Some(version.name().into()), source, ..spec.clone() });
    }
    Ok(functions)
}

/// What runs the code of a component: itself, and its halves behind middleware.
fn halves<'m>(manifest: &'m Manifest, component: &'m str) -> impl Iterator<Item = &'m Component> {
    manifest.running().filter(move |half| **half.whole() == *component)
}

/// The versions that the manifest itself puts beside its components; `digest` is that of a function that runs.
#[must_use]
pub fn declared(manifest: &Manifest, digest: impl Fn(&str) -> Option<Arc<str>>) -> Vec<Version> {
    let part = |percent: u32| percent * (WHOLE / 100);
    let of = |component: &Component| {
        let version = |version: &manifest::Version| Version {
            component: component.id.clone(),
            digest: digest(&version_name(&component.id, &version.name)).unwrap_or_default(),
            weight: part(version.percent),
            mirror: part(version.mirror_percent),
            headers: version.headers.clone(),
            beside: digest(&component.id).unwrap_or_default(),
            canary: None,
            declared: Some(version.name.clone()),
        };
        component.versions.iter().map(version).collect::<Vec<_>>()
    };
    // The mesh has one split for a component, whichever of its halves is asked.
    manifest.running().filter(|component| component.split_from.is_none()).flat_map(of).collect()
}

/// How calls are split between them. Those by hand come first: the manifest's have what these leave.
#[must_use]
pub fn splits(by_hand: &[Version], declared: &[Version]) -> Vec<Split> {
    let mut splits: BTreeMap<Arc<str>, Vec<Share>> = BTreeMap::new();
    for version in by_hand.iter().chain(declared) {
        let Version { weight, mirror, ref headers, .. } = *version;
        let share = Share { name: version.function(), weight, mirror, headers: headers.clone() };
        splits.entry(version.component.clone()).or_default().push(share);
    }
    let split = |(component, versions)| Split { component, versions, sticky: true };
    splits.into_iter().map(split).collect()
}

/// Puts a version beside the manifest's. It serves nothing but what asks for it by header.
///
/// # Errors
/// If it is there already, or there are too many.
pub fn add(versions: &mut Vec<Version>, version: Version) -> Result<(), VersionError> {
    let conflict = |text: String| Err(VersionError::Conflict(text));
    let component = &version.component;
    if version.digest == version.beside {
        return conflict(format!("that is the version of {component} that the manifest has"));
    }
    let of_component: Vec<&Version> = versions.iter().filter(|other| other.component == *component).collect();
    if of_component.iter().any(|other| other.digest == version.digest) {
        return conflict(format!("version {} of {component} is deployed already", version.name()));
    }
    if of_component.len() >= MAX_VERSIONS {
        return conflict(format!("{component} has {MAX_VERSIONS} versions beside the manifest's: abort one first"));
    }
    versions.push(version);
    Ok(())
}

/// The version of a component that is meant: the named one, or the only one.
///
/// # Errors
/// If there is none, or not one alone.
pub fn find<'v>(
    versions: &'v mut [Version],
    component: &str,
    name: Option<&str>,
) -> Result<&'v mut Version, VersionError> {
    let is_meant =
        |version: &Version| &*version.component == component && name.is_none_or(|name| version.name() == name);
    let names: BTreeSet<String> = versions.iter().filter(|v| is_meant(v)).map(|v| v.name().to_owned()).collect();
    match (names.len(), name) {
        (1, _) => {}
        (0, Some(name)) => return Err(VersionError::Missing(format!("{component} has no version {name}"))),
        (0, None) => {
            let text = format!("{component} has no version beside the manifest's: `weft deploy` puts one there");
            return Err(VersionError::Missing(text));
        }
        _ => {
            let names = names.into_iter().collect::<Vec<_>>().join(", ");
            return Err(VersionError::Conflict(format!("{component} has several versions: say which of {names}")));
        }
    }
    versions.iter_mut().find(|version| is_meant(version)).ok_or_else(|| VersionError::Missing(component.to_owned()))
}

/// Gives a version a share. It comes first, so that whoever it serves stays with it as it grows; what others have is cut to what is left.
pub fn give(versions: &mut [Version], component: &str, digest: &str, weight: u32) {
    let mut left = WHOLE - weight.min(WHOLE);
    for version in versions.iter_mut().filter(|version| &*version.component == component) {
        if &*version.digest == digest {
            version.weight = weight.min(WHOLE);
        } else {
            version.weight = version.weight.min(left);
            left -= version.weight;
        }
    }
    // Stable: all others keep their order.
    versions.sort_by_key(|version| !(&*version.component == component && &*version.digest == digest));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(component: &str, digest: &str, weight: u32) -> Version {
        let [component, digest, beside] = [component, digest, "base"].map(Arc::from);
        Version { component, digest, weight, mirror: 0, headers: Vec::new(), beside, canary: None, declared: None }
    }

    #[test]
    fn what_is_changed_is_kept_and_what_fails_changes_nothing() {
        let data = tempfile::tempdir().unwrap();
        let versions = Versions::open(data.path()).unwrap();
        let source = data.path().join("new.wasm");
        fs::write(&source, "code").unwrap();
        let digest = bring(data.path(), &source).unwrap();
        let put = |all: &mut Vec<Version>| add(all, version("a", &digest, 0));
        versions.change(put, |all| assert_eq!(all.len(), 1)).unwrap();
        let refused = versions.change(put, |_| panic!("it was refused")).unwrap_err();
        assert!(refused.to_string().contains("deployed already"), "{refused}");
        fs::write(file(data.path(), "nobodys"), "left by a deployment that was refused").unwrap();
        let kept = Versions::open(data.path()).unwrap().all();
        assert_eq!((&kept, kept.len()), (&versions.all(), 1));
        assert!(!file(data.path(), "nobodys").exists());
        assert_eq!(*kept[0].function(), format!("a@{}", &digest[..12]));
        // One whose code is not what was deployed is not run.
        fs::write(file(data.path(), &digest), "other code").unwrap();
        assert!(Versions::open(data.path()).unwrap().all().is_empty());
    }

    #[test]
    fn a_version_is_found_by_its_name_or_alone() {
        let mut all = vec![version("a", &"1".repeat(64), 0), version("a", &"2".repeat(64), 0), version("b", "3", 0)];
        assert_eq!(find(&mut all, "b", None).unwrap().name(), "3");
        assert_eq!(find(&mut all, "a", Some("222222222222")).unwrap().name(), "222222222222");
        assert!(find(&mut all, "a", None).unwrap_err().to_string().contains("say which of 111111111111, 2222"));
        assert!(matches!(find(&mut all, "a", Some("9")), Err(VersionError::Missing(_))));
        assert!(matches!(find(&mut all, "c", None), Err(VersionError::Missing(_))));
    }

    #[test]
    fn shares_never_exceed_the_whole() {
        let mut all = vec![version("a", "1", 6_000), version("b", "9", 10_000), version("a", "2", 4_000)];
        give(&mut all, "a", "2", 9_000);
        let shares: Vec<_> = all.iter().map(|v| (&*v.component, &*v.digest, v.weight)).collect();
        assert_eq!(shares, [("a", "2", 9_000), ("a", "1", 1_000), ("b", "9", 10_000)]);
        give(&mut all, "a", "1", 20_000);
        assert_eq!((all[0].weight, all[1].weight), (10_000, 0));
    }

    #[test]
    fn what_is_done_by_hand_comes_before_what_the_manifest_says() {
        let declared = Version { declared: Some("v2".into()), ..version("a", "9", 3_000) };
        let splits = splits(&[version("a", "1", 8_000)], std::slice::from_ref(&declared));
        let shares: Vec<_> = splits[0].versions.iter().map(|share| (&*share.name, share.weight)).collect();
        assert_eq!(shares, [("a@1", 8_000), ("a@v2", 3_000)]);
    }

    #[test]
    fn what_the_manifest_has_is_no_version_beside_it() {
        let mut all = Vec::new();
        assert!(add(&mut all, version("a", "base", 0)).is_err());
        for number in 0..MAX_VERSIONS {
            add(&mut all, version("a", &number.to_string(), 0)).unwrap();
        }
        assert!(add(&mut all, version("a", "x", 0)).unwrap_err().to_string().contains("abort one first"));
    }
}
