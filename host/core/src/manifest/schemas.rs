//! Where the schemas of events are, and whether every event needs one. Reading and checking them belongs to the schema
//! registry.

use std::path::PathBuf;

use super::diagnostic::Located;
use super::section::Section;
use super::source::Files;

/// The folder that is taken if it is there and none is named.
const DEFAULT_FOLDER: &str = "wit/schemas";

/// `schemas` and `schemas_required` of `[application.tool.weft]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schemas {
    /// The folder of `<type>/<version>.json`: the one that is named, else `wit/schemas` if that exists.
    pub folder: Option<Located<PathBuf>>,
    /// Whether an event whose type has no schema is refused; it is not by default.
    pub required: bool,
}

impl Schemas {
    pub(super) fn read(section: &Section<'_>, files: &Files) -> Self {
        let folder = match section.string("schemas") {
            Some(written) => {
                let folder = files.inside(&written, section).map(|folder| Located::new(folder, written.line));
                if let Some(missing) = folder.as_ref().filter(|folder| !folder.is_dir()) {
                    section.report(written.line, format!("`schemas`: there is no folder {}", missing.display()));
                }
                folder
            }
            None => Some(Located::new(files.root().join(DEFAULT_FOLDER), 0)).filter(|folder| folder.is_dir()),
        };
        Self { folder, required: section.flag("schemas_required", false) }
    }
}
