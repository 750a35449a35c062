//! A component with its dependencies, as Spin composes them.

use std::collections::BTreeMap;

use crate::{ComposeError, Composition};

/// A component whose exports take the place of some imports.
pub struct Dependency<'a> {
    /// For messages.
    pub name: &'a str,
    /// The component.
    pub bytes: &'a [u8],
    /// Which imports it is for.
    pub is_for: &'a dyn Fn(&str) -> bool,
    /// Its export for them, if it is not called as the import is.
    pub export: Option<&'a str>,
    /// Which of its own imports it is denied.
    pub is_denied: &'a dyn Fn(&str) -> bool,
}

/// Puts dependencies in the place of imports; the outcome exports what the component does.
///
/// # Errors
/// [`ComposeError`] if a dependency is for no import or does not fit the one it is for, or two are for the same one.
pub fn with_dependencies(
    name: &str,
    component: &[u8],
    dependencies: &[Dependency<'_>],
) -> Result<Vec<u8>, ComposeError> {
    let mut composition = Composition::new();
    let root = composition.add(name, component)?;
    let imports = composition.imports(root);
    let mut chosen: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (number, dependency) in dependencies.iter().enumerate() {
        let mut is_used = false;
        for import in imports.iter().filter(|import| (dependency.is_for)(import)) {
            chosen.entry(import).or_default().push(number);
            is_used = true;
        }
        if !is_used {
            let (part, dependency) = (name.to_owned(), dependency.name.to_owned());
            return Err(ComposeError::Unused { part, dependency, imports });
        }
    }
    let mut places = Vec::new();
    for dependency in dependencies {
        let part = format!("the dependency {:?} of {name}", dependency.name);
        let place = composition.add_denied(&part, dependency.bytes, dependency.is_denied)?;
        places.push((place, dependency.export));
    }
    for (import, numbers) in chosen {
        let [(place, export)] = numbers.iter().filter_map(|number| places.get(*number)).collect::<Vec<_>>()[..] else {
            let names = numbers.iter().filter_map(|number| dependencies.get(*number));
            let dependencies = names.map(|dependency| dependency.name.to_owned()).collect();
            return Err(ComposeError::Ambiguous { part: name.to_owned(), import: import.to_owned(), dependencies });
        };
        composition.wire(root, import, *place, export.unwrap_or(import))?;
    }
    composition.finish(root)
}
