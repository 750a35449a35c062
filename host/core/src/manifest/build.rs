//! How sources become components. Running it belongs to the command line.

use std::path::PathBuf;
use std::sync::Arc;

use super::section::Section;
use super::source::Files;

/// A build: of the application (`[application.tool.weft.build]`) or of one component (`[component.<id>.build]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Build {
    /// Commands for the shell, run one after the other.
    pub commands: Vec<Arc<str>>,
    /// Where they run; the manifest's folder by default.
    pub workdir: PathBuf,
    /// Globs of the files whose change means building again: relative to the manifest's folder for the application,
    /// to `workdir` for a component, as in Spin.
    pub watch: Vec<Arc<str>>,
    /// The line of the table.
    pub line: usize,
}

impl Build {
    pub(super) fn read(section: Section<'_>, files: &Files) -> Self {
        let commands = commands(&section);
        let workdir = section.string("workdir");
        let workdir = workdir.and_then(|folder| files.inside(&folder, &section));
        let build = Self {
            commands,
            workdir: workdir.unwrap_or_else(|| files.root().to_owned()),
            watch: section.strings("watch").into_iter().map(|glob| glob.value).collect(),
            line: section.line,
        };
        section.finish();
        build
    }
}

/// The command or commands of a build, which has to have one.
pub(super) fn commands(section: &Section<'_>) -> Vec<Arc<str>> {
    match section.get("command") {
        Some(entry) => entry.one_or_many().into_iter().map(|command| command.value).collect(),
        None => {
            section.report_with_help(section.line, "a build needs a command", "add command = \"...\"");
            Vec::new()
        }
    }
}
