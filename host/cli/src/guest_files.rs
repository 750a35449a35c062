//! Files that the components of Spin applications may read: what `files` names is copied when the application is loaded,
//! and shown read-only. A copy, so that what runs does not change under it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Component as Part, Path, PathBuf};
use std::sync::Arc;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use weft_core::id;
use weft_core::manifest::{Component, Diagnostic, FileMount, Manifest};

/// The folders to show at `/`, by component; those without files are not in it.
pub type GuestFiles = BTreeMap<Arc<str>, PathBuf>;

/// The most files of one component.
const MAX_FILES: usize = 100_000;
/// The most bytes of all files of one component.
const MAX_BYTES: u64 = 4 << 30;

/// Copies the files of all components into `<data>/files`, and removes what earlier starts left there.
///
/// # Errors
/// What cannot be read or written, or is too much, at the component's line.
pub fn prepare(manifest: &Manifest, data: &Path) -> Result<GuestFiles, Vec<Diagnostic>> {
    let home = data.join("files");
    let mut prepared = GuestFiles::new();
    let mut problems = Vec::new();
    for component in manifest.running().filter(|component| !component.grants.files.is_empty()) {
        // A folder of its own for each load: instances that run still read the one before.
        let folder = home.join(format!("{}-{}", component.id, id::new_span_id()));
        match copy(manifest, component, &folder, data) {
            Ok(()) => drop(prepared.insert(component.id.clone(), folder)),
            Err(message) => {
                let message = format!("component {:?}: files: {message}", &*component.id);
                problems.push(manifest.problem(component.line, message));
            }
        }
    }
    if problems.is_empty() { Ok(prepared) } else { Err(problems) }
}

/// Removes the copies of earlier starts.
///
/// # Errors
/// If they cannot be removed.
pub fn clear(data: &Path) -> io::Result<()> {
    match fs::remove_dir_all(data.join("files")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn copy(manifest: &Manifest, component: &Component, folder: &Path, data: &Path) -> Result<(), String> {
    // As in Spin, `*` in these stands for folders as well, and paths are those from the manifest's folder.
    let hidden = globs(component.grants.exclude_files.iter().map(|glob| &**glob), false)?;
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let data = data.canonicalize().map_err(|error| format!("{}: {error}", data.display()))?;
    let mut copying = Copying { folder, root: &manifest.root, data, hidden, files: 0, bytes: 0 };
    for mount in &component.grants.files {
        match mount {
            FileMount::Glob(glob) => copying.pattern(glob)?,
            FileMount::Folder { source, destination } => copying.placed(source, destination)?,
        }
    }
    Ok(())
}

/// The deepest folder that holds all that a glob can match, so that others are not looked through.
fn start_of(root: &Path, glob: &str) -> PathBuf {
    let is_plain = |part: &&str| !is_glob(part);
    let mut plain: Vec<&str> = glob.split('/').take_while(is_plain).collect();
    if plain.len() == glob.split('/').count() {
        plain.pop();
    }
    plain.into_iter().fold(root.to_owned(), |path, part| path.join(part))
}

fn globs<'a>(globs: impl IntoIterator<Item = &'a str>, literal_separator: bool) -> Result<GlobSet, String> {
    let mut set = GlobSetBuilder::new();
    for glob in globs {
        // Braces mean nothing in Spin's globs.
        let glob = glob.replace('{', "[{]").replace('}', "[}]");
        set.add(
            GlobBuilder::new(&glob).literal_separator(literal_separator).build().map_err(|error| error.to_string())?,
        );
    }
    set.build().map_err(|error| error.to_string())
}

/// Whether a pattern means other files than the one that is called so.
fn is_glob(pattern: &str) -> bool {
    pattern.contains(['*', '?', '[', ']'])
}

struct Copying<'a> {
    folder: &'a Path,
    /// The manifest's folder.
    root: &'a Path,
    /// The host's own, with its keys: no component reads it, whatever the globs cover.
    data: PathBuf,
    hidden: GlobSet,
    files: usize,
    bytes: u64,
}

impl Copying<'_> {
    /// What a string of `files` means: the file or folder that is called so, else the files that match it; shown under
    /// their paths from the manifest's folder.
    fn pattern(&mut self, pattern: &str) -> Result<(), String> {
        let names_it_whole = pattern == "." || pattern.ends_with("/.");
        if pattern.starts_with('/') || names_it_whole || pattern.split('/').any(|part| part == "..") {
            return Err(format!(
                "{pattern:?} leads out of the manifest's folder, or names it whole; name a folder by source and destination"
            ));
        }
        let pattern = pattern.strip_prefix("./").unwrap_or(pattern);
        let path = self.root.join(pattern);
        if path.is_file() {
            self.file(&path, Path::new(pattern))
        } else if path.is_dir() {
            self.walk(&path, &path, Path::new(pattern), None)
        } else if is_glob(pattern) {
            let wanted = globs([pattern], true)?;
            self.walk(self.root, &start_of(self.root, pattern), Path::new(""), Some(&wanted))
        } else {
            Err(format!("there is no file or folder {}, and {pattern:?} is no glob", path.display()))
        }
    }

    /// What a source and a destination mean: a folder or a file shown there.
    fn placed(&mut self, source: &Path, destination: &str) -> Result<(), String> {
        let target: PathBuf =
            Path::new(destination).components().filter(|part| matches!(part, Part::Normal(_))).collect();
        if !source.is_file() {
            return self.walk(source, source, &target, None);
        }
        if destination.ends_with(['/', '.']) {
            return Err(format!("{destination:?} is no name for the file {}", source.display()));
        }
        self.file(source, &target)
    }

    /// Copies files below `from` that match, shown below `target` under their path from `root`.
    fn walk(&mut self, root: &Path, from: &Path, target: &Path, wanted: Option<&GlobSet>) -> Result<(), String> {
        let failed = |error: io::Error| format!("{}: {error}", from.display());
        for entry in fs::read_dir(from).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let shown = path.strip_prefix(root).unwrap_or(&path);
            // Links are followed to files, not to folders, which could lead in circles.
            let kind = fs::symlink_metadata(&path).map_err(failed)?;
            if kind.is_dir() && path.canonicalize().is_ok_and(|path| path == self.data) {
                continue;
            }
            if kind.is_dir() {
                self.walk(root, &path, target, wanted)?;
            } else if path.is_file()
                && wanted.is_none_or(|wanted| wanted.is_match(shown))
                && !self.hidden.is_match(path.strip_prefix(self.root).unwrap_or(&path))
            {
                self.file(&path, &target.join(shown))?;
            }
        }
        Ok(())
    }

    fn file(&mut self, from: &Path, shown: &Path) -> Result<(), String> {
        let to = self.folder.join(shown);
        let failed = |error: io::Error| format!("{}: {error}", from.display());
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        self.files += 1;
        self.bytes += fs::copy(from, &to).map_err(failed)?;
        if self.files > MAX_FILES || self.bytes > MAX_BYTES {
            return Err(format!("more than {MAX_FILES} files or {MAX_BYTES} bytes"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(folder: &Path) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(one) = folders.pop() {
            for entry in fs::read_dir(one).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.push(path.strip_prefix(folder).unwrap().display().to_string());
                }
            }
        }
        found.sort();
        found
    }

    fn prepared(files: &str) -> Result<Vec<String>, String> {
        let root = tempfile::tempdir().unwrap();
        for file in ["a.txt", "b.md", "pages/one.html", "pages/deep/two.html", "pages/deep/three.css", "secret.key"] {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        let text = format!(
            "spin_manifest_version = 2\n[application]\nname = \"x\"\n[[trigger.http]]\nroute = \"/...\"\ncomponent = \"c\"\n\
             [component.c]\nsource = \"c.wasm\"\n{files}\n"
        );
        let manifest = Manifest::parse(&root.path().join("spin.toml"), &text).unwrap();
        let data = root.path().join("data");
        let folders = prepare(&manifest, &data).map_err(|problems| problems[0].message.clone())?;
        let found = shown(&folders["c"]);
        clear(&data).unwrap();
        assert!(!data.join("files").exists());
        Ok(found)
    }

    #[test]
    fn globs_and_folders_are_shown_where_they_are_to_be() {
        assert_eq!(prepared("files = [\"*.txt\"]").unwrap(), ["a.txt"]);
        assert_eq!(prepared("files = [\"pages/*\", \"b.md\"]").unwrap(), ["b.md", "pages/one.html"]);
        let all = ["pages/deep/three.css", "pages/deep/two.html", "pages/one.html"];
        assert_eq!(prepared("files = [\"pages/**/*\"]").unwrap(), all);
        let but_styles = prepared("files = [\"pages/**/*\"]\nexclude_files = [\"**/*.css\"]").unwrap();
        assert_eq!(but_styles, ["pages/deep/two.html", "pages/one.html"]);
        let mounted = prepared("files = [{ source = \"pages\", destination = \"/www\" }]").unwrap();
        assert_eq!(mounted, ["www/deep/three.css", "www/deep/two.html", "www/one.html"]);
        assert_eq!(prepared("files = [\"pages/deep\"]").unwrap(), ["pages/deep/three.css", "pages/deep/two.html"]);
        let file = prepared("files = [{ source = \"a.txt\", destination = \"/x/y.txt\" }, \"./b.md\"]").unwrap();
        assert_eq!(file, ["b.md", "x/y.txt"]);
    }

    #[test]
    fn what_is_excluded_is_said_from_the_manifests_folder_and_not_of_single_files() {
        let shown = |exclude: &str| {
            let files = "files = [{ source = \"pages\", destination = \"/www\" }, \"a.txt\"]";
            prepared(&format!("{files}\nexclude_files = [{exclude}]")).unwrap()
        };
        assert_eq!(shown("\"*.css\""), ["a.txt", "www/deep/two.html", "www/one.html"]);
        assert_eq!(shown("\"pages/deep/*\", \"a.txt\""), ["a.txt", "www/one.html"]);
        assert_eq!(shown("\"deep/*\""), ["a.txt", "www/deep/three.css", "www/deep/two.html", "www/one.html"]);
        assert_eq!(shown("\"**/*.{css,html}\"").len(), 4, "braces stand for themselves");
    }

    #[test]
    fn what_leads_out_or_is_not_there_is_refused() {
        let all = prepared("files = [\"**/*\"]").unwrap();
        assert!(all.contains(&"secret.key".to_owned()) && !all.iter().any(|file| file.starts_with("data/")), "{all:?}");
        assert!(prepared("files = [\"../*\"]").unwrap_err().contains("leads out"));
        assert!(prepared("files = [{ source = \"gone\", destination = \"/\" }]").unwrap_err().contains("gone"));
        assert!(prepared("files = [\"[\"]").is_err());
        assert!(prepared("files = [\"gone.txt\"]").unwrap_err().contains("no file or folder"));
        assert!(prepared("files = [\"pages/.\"]").unwrap_err().contains("names it whole"));
        let onto_a_folder = prepared("files = [{ source = \"a.txt\", destination = \"/\" }]");
        assert!(onto_a_folder.unwrap_err().contains("is no name for the file"));
    }
}
