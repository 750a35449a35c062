//! `weft compose`: a function and all that it calls as one component, for hosts that know nothing of Weft's mesh. What
//! that gives up stands in docs/composition.md.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, bail};

use weft_compose::Part;
use weft_core::manifest::Manifest;

use crate::assemble::{self, Place};
use crate::closing;
use crate::exit::{Exit, UsageError};
use crate::output;

/// What `weft compose` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The component whose exports the result has
    component: String,
    /// Where to write it
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

/// Composes and writes the file, whole or not at all.
///
/// # Errors
/// If there is no such component, a file is missing, the components do not fit, or the file cannot be written.
pub fn run(args: &Args, place: &Place) -> anyhow::Result<Exit> {
    let manifest = place.load().map_err(assemble::refused)?;
    if !manifest.components.contains_key(args.component.as_str()) {
        let known: Vec<&str> = manifest.components.keys().map(|id| &**id).collect();
        let message = format!("there is no component {:?}; the manifest has {}", args.component, known.join(", "));
        return Err(UsageError(message).into());
    }
    let parts = parts(&manifest, &args.component)?;
    if let Some(durable) = parts.keys().find(|id| manifest.components.get(id.as_str()).is_some_and(|one| one.durable)) {
        bail!("component {durable:?} is durable: without the host's journal it cannot run composed");
    }
    let bytes = weft_compose::function(&args.component, &parts)?;
    closing::persist(&args.output, &bytes)?;
    let names: Vec<&str> = parts.keys().map(String::as_str).collect();
    output::line(&format!("{}: {} bytes, of {}", args.output.display(), bytes.len(), names.join(", ")))?;
    Ok(Exit::Success)
}

/// The component and all that it calls, and they in turn.
fn parts(manifest: &Manifest, root: &str) -> anyhow::Result<BTreeMap<String, Part>> {
    let mut parts = BTreeMap::new();
    let mut wanted = vec![root.to_owned()];
    while let Some(id) = wanted.pop() {
        let Some(component) = manifest.components.get(id.as_str()).filter(|_| !parts.contains_key(&id)) else {
            continue;
        };
        let path = &component.source.value;
        let bytes = std::fs::read(path)
            .with_context(|| format!("cannot read {}; build it with `weft build`", path.display()))?;
        let calls: BTreeMap<String, String> = component
            .grants
            .calls
            .iter()
            .map(|(interface, id)| (interface.to_string(), id.value.to_string()))
            .collect();
        wanted.extend(calls.values().cloned());
        parts.insert(id, Part { bytes, calls });
    }
    Ok(parts)
}
