//! `weft openapi`: the OpenAPI document of the manifest's routes, whether or not a host runs.

use weft_gateway::openapi;

use crate::assemble::{self, Place};
use crate::exit::Exit;
use crate::output;

/// Prints the document.
///
/// # Errors
/// If the manifest or a schema that it names is not sound.
pub fn run(place: &Place) -> anyhow::Result<Exit> {
    let manifest = place.load().map_err(assemble::refused)?;
    let problems = openapi::problems(&manifest);
    if !problems.is_empty() {
        return Err(assemble::refused(problems));
    }
    output::json(&openapi::document(&manifest))?;
    Ok(Exit::Success)
}
