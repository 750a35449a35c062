//! The schemas of an application on their way from its folder into the registry. The rules are the registry's.

use anyhow::{Context as _, anyhow};

use weft_capability::schema::{Given, Newest, Plan, Registry, Types, read_folder, told};
use weft_core::manifest::Manifest;

/// The schemas in the manifest's folder; none without one.
///
/// # Errors
/// Every file that is none.
pub fn given(manifest: &Manifest) -> anyhow::Result<Vec<Given>> {
    let Some(folder) = &manifest.schemas.folder else { return Ok(Vec::new()) };
    read_folder(&folder.value).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        anyhow!("{}", lines.join("\n"))
    })
}

/// What is to be registered so that the manifest's schemas are.
///
/// # Errors
/// Every change that the rules refuse, explained.
pub fn planned(registry: &Registry, manifest: &Manifest) -> anyhow::Result<Plan> {
    let given = given(manifest)?;
    registry.plan(given).map_err(|refused| anyhow!("the schemas of events may not change so:\n{}", told(&refused)))
}

/// Registers it. Blocks; to be called inside a runtime, off its threads.
///
/// # Errors
/// If it cannot be written.
pub fn register(registry: &Registry, plan: Plan, manifest: &Manifest) -> anyhow::Result<()> {
    let registering = registry.register(plan);
    tokio::runtime::Handle::current().block_on(registering).context("cannot register the schemas of events")?;
    registry.require(manifest.schemas.required);
    Ok(())
}

/// The newest version of each type.
#[must_use]
pub fn newest(types: &Types) -> Newest {
    let newest = types.iter().filter_map(|(kind, known)| {
        let (number, version) = known.versions.last_key_value()?;
        Some((kind.to_string(), (*number, version.document.written().clone())))
    });
    newest.collect()
}

/// The newest version of each type among these.
#[must_use]
pub fn newest_given(given: &[Given]) -> Newest {
    // They come in the order of their versions.
    given.iter().map(|one| (one.kind.to_string(), (one.version, one.document.written().clone()))).collect()
}
