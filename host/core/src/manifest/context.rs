//! Bounded contexts: each owns one database, made by its migrations. Running them belongs to the SQL capability.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::diagnostic::Located;
use super::names;
use super::problems::Problems;
use super::section::Entry;
use super::source::Files;

/// A bounded context: `[application.tool.weft.contexts.<name>]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// Its name, which is that of its database.
    pub name: Arc<str>,
    /// The folder of its migrations, if it has any.
    pub folder: Option<Located<PathBuf>>,
    /// Its migrations in the order of their numbers.
    pub migrations: Vec<Migration>,
    /// The line of the table.
    pub line: usize,
}

/// One migration: a file `NNNN_name.sql`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    /// From 1, unique in its context.
    pub number: u32,
    /// What stands between the number and `.sql`.
    pub name: Arc<str>,
    /// The file.
    pub path: PathBuf,
}

impl Context {
    pub(super) fn read(name: Located<Arc<str>>, entry: Entry<'_>, files: &Files) -> Option<Self> {
        if !names::is_label(&name) {
            entry.report("is no name for a context: words of one case joined by `-` or `_`");
        }
        let section = entry.section()?;
        let written = section.string("migrations");
        let folder = written.and_then(|path| Some(Located::new(files.inside(&path, &section)?, path.line)));
        let migrations = folder.as_ref().map(|folder| migrations(folder, section.problems())).unwrap_or_default();
        let context = Self { name: name.value, folder, migrations, line: section.line };
        section.finish();
        Some(context)
    }
}

fn migrations(folder: &Located<PathBuf>, problems: &Problems) -> Vec<Migration> {
    let shown = folder.display();
    let files = match sql_files(folder) {
        Ok(files) => files,
        Err(error) => {
            problems.report(folder.line, format!("the folder of migrations {shown} cannot be read: {error}"));
            return Vec::new();
        }
    };
    let mut found: Vec<Migration> = Vec::new();
    for path in files {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some((number, name)) = parts(&file) else {
            problems.report_with_help(
                folder.line,
                format!("{file:?} in {shown} is no name for a migration"),
                "name it NNNN_name.sql: four digits from 0001, then lower-case letters, digits and `_`",
            );
            continue;
        };
        if let Some(other) = found.iter().find(|other| other.number == number) {
            let message = format!("{shown} has two migrations {number:04}: {} and {name}", other.name);
            problems.report_with_help(folder.line, message, "give the newer one the next free number");
        }
        found.push(Migration { number, name, path });
    }
    found.sort_by_key(|migration| migration.number);
    found
}

fn sql_files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("sql")) {
            files.push(path);
        }
    }
    // The order of a folder's entries is the file system's own.
    files.sort();
    Ok(files)
}

fn parts(file: &str) -> Option<(u32, Arc<str>)> {
    let (number, name) = file.strip_suffix(".sql")?.split_once('_')?;
    let digits = number.len() == 4 && number.chars().all(|c| c.is_ascii_digit());
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let number = number.parse().ok().filter(|number| digits && *number > 0)?;
    (!name.is_empty() && name.chars().all(word)).then(|| (number, name.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_have_a_number_and_a_name() {
        assert_eq!(parts("0001_courses.sql"), Some((1, "courses".into())));
        assert_eq!(parts("9999_a_2.sql"), Some((9999, "a_2".into())));
        for bad in
            ["1_a.sql", "0000_a.sql", "0001.sql", "0001_.sql", "0001_A.sql", "00001_a.sql", "+001_a.sql", "0001_a.SQL"]
        {
            assert_eq!(parts(bad), None, "{bad}");
        }
    }
}
