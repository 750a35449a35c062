//! `[application.tool.weft.spin]`: how the application's closed forms, the components that run under `spin up`, are
//! made. Making them belongs to whoever builds; what they are granted is checked in [`super::closed_form`].

use std::path::PathBuf;
use std::sync::Arc;

use super::diagnostic::Located;
use super::names;
use super::section::Section;
use super::source::Files;

/// How closed forms are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosedForms {
    /// The folder of the built adapters.
    pub adapters: Located<PathBuf>,
    /// The component that calls the pumps under Spin; its source is made too.
    pub timer: Option<Located<Arc<str>>>,
    /// The application variable that holds the public key of tokens, as PEM: under Spin, who verifies tokens cannot
    /// sign any.
    pub public_key: Option<Located<Arc<str>>>,
    /// The line of the table.
    pub line: usize,
}

impl ClosedForms {
    pub(super) fn read(section: Section<'_>, files: &Files) -> Option<Self> {
        let adapters = section.required_string("adapters");
        let adapters = adapters.and_then(|path| Some(Located::new(files.inside(&path, &section)?, path.line)));
        let timer = section.string("timer");
        if let Some(timer) = timer.as_ref().filter(|timer| !names::is_kebab(timer)) {
            section.report(timer.line, format!("`timer`: {:?} is no id of a component", &*timer.value));
        }
        let public_key = section.string("public_key");
        let line = section.line;
        section.finish();
        Some(Self { adapters: adapters?, timer, public_key, line })
    }
}
