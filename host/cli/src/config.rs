//! `weft.toml`, the runtime configuration: which engine stands behind what. It is never needed to start. So far only
//! the embedded engines exist, so a file may say nothing else; another engine is refused by name rather than ignored.

use std::path::Path;

use anyhow::{Context as _, bail};
use toml_edit::{DocumentMut, Item};

/// The state engines that can be chosen, each `embedded` by default.
const ENGINES: [&str; 4] = ["sql", "key_value", "messaging", "durable"];

/// Checks the file.
///
/// # Errors
/// If it cannot be read, is not TOML, has unknown keys, or names an engine that does not exist.
pub fn check(path: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let document: DocumentMut = text.parse().with_context(|| format!("{} is not TOML", path.display()))?;
    for (key, item) in document.iter() {
        let table = match (key, item) {
            ("engines", Item::Table(table)) => table,
            _ => bail!("{}: unknown key `{key}`; expected a table [engines]", path.display()),
        };
        for (name, engine) in table {
            if !ENGINES.contains(&name) {
                bail!("{}: unknown capability `{name}`; expected one of {}", path.display(), ENGINES.join(", "));
            }
            if engine.as_str() != Some("embedded") {
                bail!("{}: engines.{name}: only \"embedded\" exists", path.display());
            }
        }
    }
    Ok(())
}
