//! A function and all functions that it calls, as one component without a mesh between them.

use std::collections::BTreeMap;

use crate::{ComposeError, Composition};

/// A component of an application.
pub struct Part {
    /// The component.
    pub bytes: Vec<u8>,
    /// Who provides each interface that it calls, by their ids.
    pub calls: BTreeMap<String, String>,
}

/// Makes one component out of `root` and what it calls, and they in turn; each is instantiated once. The outcome exports
/// what `root` does, and imports what none of them provides.
///
/// # Errors
/// [`ComposeError`] if they do not fit, or call each other in a circle.
pub fn function(root: &str, parts: &BTreeMap<String, Part>) -> Result<Vec<u8>, ComposeError> {
    let mut walk = Walk::new(parts, Composition::new());
    let place = walk.visit(root)?;
    walk.composition.finish(place)
}

/// Follows calls, and puts each component that is reached into the composition once.
pub(crate) struct Walk<'a> {
    parts: &'a BTreeMap<String, Part>,
    pub(crate) composition: Composition,
    places: BTreeMap<&'a str, usize>,
    /// Whose calls are being followed.
    open: Vec<&'a str>,
    /// A member that gives every component what it exports, where nobody who is called does.
    host: Option<(usize, Vec<String>)>,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(parts: &'a BTreeMap<String, Part>, composition: Composition) -> Self {
        Self { parts, composition, places: BTreeMap::new(), open: Vec::new(), host: None }
    }

    /// With `place` in the host's stead.
    pub(crate) fn with_host(mut self, place: usize) -> Self {
        self.host = Some((place, self.composition.exports(place)));
        self
    }

    /// The place of a component, with all that it calls.
    pub(crate) fn visit(&mut self, id: &str) -> Result<usize, ComposeError> {
        if let Some(place) = self.places.get(id) {
            return Ok(*place);
        }
        let Some((id, part)) = self.parts.get_key_value(id) else {
            return Err(ComposeError::Encoding(format!("there is no component {id:?}")));
        };
        if let Some(first) = self.open.iter().position(|open| open == id) {
            let circle = self.open.iter().skip(first).map(|id| (*id).to_owned()).collect();
            return Err(ComposeError::Circle(circle));
        }
        self.open.push(id);
        let place = self.composition.add(id, &part.bytes)?;
        let imports = self.composition.imports(place);
        for (interface, provider) in part.calls.iter().filter(|(interface, _)| imports.contains(interface)) {
            let provider = self.visit(provider)?;
            self.composition.wire(place, interface, provider, interface)?;
        }
        let hosted = |import: &&String| !part.calls.contains_key(*import);
        if let Some((host, exports)) = &self.host {
            for import in imports.iter().filter(hosted).filter(|import| exports.contains(import)) {
                self.composition.wire(place, import, *host, import)?;
            }
        }
        self.open.pop();
        self.places.insert(id, place);
        Ok(place)
    }
}
