//! An HTTP handler behind middleware: components that both import and export `wasi:http/handler`.

use crate::{ComposeError, Composition};

/// What middleware imports and exports, as far as the version.
const HANDLER: &str = "wasi:http/handler@0.3";

/// A component in front of a handler.
pub struct Middleware<'a> {
    /// For messages.
    pub name: &'a str,
    /// The component.
    pub bytes: &'a [u8],
    /// Which of its own imports it is denied.
    pub is_denied: &'a dyn Fn(&str) -> bool,
}

/// Puts middleware in front of a handler, the outermost first; the outcome exports what the outermost does.
///
/// # Errors
/// [`ComposeError`] if one of them does not import or export a handler, or not of the same version as the next.
pub fn with_middleware(name: &str, handler: &[u8], middleware: &[Middleware<'_>]) -> Result<Vec<u8>, ComposeError> {
    let mut composition = Composition::new();
    let mut inner = composition.add(name, handler)?;
    for layer in middleware.iter().rev() {
        let part = format!("the middleware {:?}", layer.name);
        let outer = composition.add_denied(&part, layer.bytes, layer.is_denied)?;
        let imports = composition.imports(outer);
        let Some(import) = imports.iter().find(|import| import.starts_with(HANDLER)) else {
            return Err(ComposeError::Unused { part, dependency: HANDLER.to_owned(), imports });
        };
        let export = composition.exports(inner).into_iter().find(|export| export.starts_with(HANDLER));
        composition.wire(outer, import, inner, &export.unwrap_or_else(|| import.clone()))?;
        inner = outer;
    }
    composition.finish(inner)
}
