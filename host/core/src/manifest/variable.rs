//! Application variables as the manifest declares them. Their values belong to [`super::values`].

use std::fmt;
use std::sync::Arc;

use super::diagnostic::Located;
use super::names;
use super::section::Entry;

/// One variable of `[variables]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Variable {
    /// In `snake_case`.
    pub name: Arc<str>,
    /// The value where none is given at start; a variable without one is required.
    pub default: Option<Arc<str>>,
    /// Whether the value is never to be shown.
    pub secret: bool,
    /// For people.
    pub description: Option<Arc<str>>,
    /// The line it stands on.
    pub line: usize,
}

impl Variable {
    /// The environment variable that gives the value: `SPIN_VARIABLE_` and the name in upper case.
    #[must_use]
    pub fn environment_name(&self) -> String {
        format!("SPIN_VARIABLE_{}", self.name.to_ascii_uppercase())
    }

    pub(super) fn read(name: Located<Arc<str>>, entry: Entry<'_>) -> Option<Self> {
        if !names::is_variable(&name) {
            entry.report("is no name for a variable (snake_case in lower case)");
        }
        if let Some(text) = entry.is_string().then(|| entry.string()).flatten() {
            let help = format!("write {name} = {{ default = {:?} }}", &*text.value);
            entry.report_with_help("must be a table, not a string", help);
            return None;
        }
        let section = entry.section()?;
        let default = section.string("default").map(|default| default.value);
        let required = section.flag("required", false);
        match (required, &default) {
            (true, Some(_)) => section.report(name.line, format!("variable `{name}` is required and has a default")),
            (false, None) => section.report_with_help(
                name.line,
                format!("variable `{name}` has neither a default nor `required = true`"),
                format!("write {name} = {{ default = \"\" }} or {name} = {{ required = true }}"),
            ),
            _ => {}
        }
        let variable = Self {
            name: name.value,
            default,
            secret: section.flag("secret", false),
            description: section.string("description").map(|text| text.value),
            line: name.line,
        };
        section.finish();
        Some(variable)
    }
}

impl fmt::Debug for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let default = self.default.as_deref().map(|text| if self.secret { "(secret)" } else { text });
        f.debug_struct("Variable")
            .field("name", &self.name)
            .field("default", &default)
            .field("secret", &self.secret)
            .field("line", &self.line)
            .finish_non_exhaustive()
    }
}
