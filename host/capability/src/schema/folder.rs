//! Schemas as files: `<folder>/<type>/<version>.json`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::document::{Document, MAX_SCHEMA_BYTES};
use super::registry::Given;

/// A file that is no schema, or a folder that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", path.display())]
pub struct FolderProblem {
    /// Which.
    pub path: PathBuf,
    /// What is wrong, and what to do.
    pub message: String,
}

/// Whether `name` may be a type that has schemas: it is the name of a folder and stands in addresses.
#[must_use]
pub fn is_type_name(name: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    !name.is_empty() && name.len() <= 255 && !name.starts_with('.') && name.chars().all(is_allowed)
}

/// The schemas in `folder`, by type and version.
///
/// # Errors
/// Every file that is none. Files whose names begin with a dot, and those beside the types' folders, are passed over.
pub fn read(folder: &Path) -> Result<Vec<Given>, Vec<FolderProblem>> {
    let (mut given, mut problems) = (Vec::new(), Vec::new());
    for path in entries(folder, &mut problems).into_iter().filter(|path| path.is_dir()) {
        let kind = name(&path);
        if !is_type_name(&kind) {
            let message = "a type has letters, digits, `.`, `-` and `_` in its name".to_owned();
            problems.push(FolderProblem { path, message });
            continue;
        }
        let kind: Arc<str> = kind.into();
        for path in entries(&path, &mut problems) {
            match one(&kind, &path) {
                Ok(schema) => given.push(schema),
                Err(message) => problems.push(FolderProblem { path, message }),
            }
        }
    }
    given.sort_by(|one, other| (&one.kind, one.version).cmp(&(&other.kind, other.version)));
    if problems.is_empty() { Ok(given) } else { Err(problems) }
}

fn one(kind: &Arc<str>, path: &Path) -> Result<Given, String> {
    let file = name(path);
    let version = file.strip_suffix(".json").filter(|digits| !digits.starts_with(['0', '+']));
    let version = version.and_then(|digits| digits.parse().ok());
    let version = version.ok_or_else(|| "name it <version>.json, such as 1.json".to_owned())?;
    let size = fs::metadata(path).map_err(|error| format!("cannot be read: {error}"))?.len();
    if size > MAX_SCHEMA_BYTES as u64 {
        return Err(format!("has {size} bytes; a schema has at most {MAX_SCHEMA_BYTES}"));
    }
    let text = fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
    let document = Document::parse(&text).map_err(|error| error.to_string())?;
    Ok(Given { kind: Arc::clone(kind), version, document })
}

/// What is in a folder, by name.
fn entries(folder: &Path, problems: &mut Vec<FolderProblem>) -> Vec<PathBuf> {
    let read = fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(entries) => {
            let mut paths: Vec<_> = entries.into_iter().map(|entry| entry.path()).collect();
            paths.retain(|path| !name(path).starts_with('.'));
            paths.sort();
            paths
        }
        Err(error) => {
            problems.push(FolderProblem { path: folder.to_owned(), message: format!("cannot be read: {error}") });
            Vec::new()
        }
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_in_order_and_each_problem_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("b.made/10.json", "{}");
        write("b.made/2.json", "{}");
        write("a.made/1.json", "true");
        write("README.md", "what this is");
        write(".git/x", "");
        let found: Vec<_> =
            read(folder.path()).unwrap().iter().map(|given| format!("{} {}", given.kind, given.version)).collect();
        assert_eq!(found, ["a.made 1", "b.made 2", "b.made 10"]);
        write("b.made/01.json", "{}");
        write("b.made/3.json", "{");
        write("c made/1.json", "{}");
        let problems: Vec<_> = read(folder.path()).unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(problems[0].contains("01.json: name it") && problems[1].contains("not JSON"), "{problems:?}");
        assert!(read(&folder.path().join("nowhere")).is_err());
    }
}
