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
    let mut walk = Walk { parts, composition: Composition::new(), places: BTreeMap::new(), open: Vec::new() };
    let place = walk.visit(root)?;
    walk.composition.finish(place)
}

struct Walk<'a> {
    parts: &'a BTreeMap<String, Part>,
    composition: Composition,
    places: BTreeMap<&'a str, usize>,
    /// Whose calls are being followed.
    open: Vec<&'a str>,
}

impl<'a> Walk<'a> {
    fn visit(&mut self, id: &str) -> Result<usize, ComposeError> {
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
        self.open.pop();
        self.places.insert(id, place);
        Ok(place)
    }
}
