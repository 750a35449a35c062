//! Interfaces that a component knows by the name of a release candidate, and that were released as they were. Such a
//! component gets the released names; nothing else of it changes, for the types are the same.

use std::collections::BTreeSet;

use wasmparser::{Parser, Payload};

use crate::renaming::rename_both;

/// The candidate of WASI 0.3.0 that SDKs were released with, and what became of it.
const CANDIDATE: &str = "@0.3.0-rc-2026-03-15";
const RELEASE: &str = "@0.3.0";

/// Whether a name is that of a release candidate which has become a release with the same types.
#[must_use]
pub fn is_candidate(interface: &str) -> bool {
    interface.starts_with("wasi:") && interface.ends_with(CANDIDATE)
}

/// The component with released names; nothing if it needs none. One that knows an interface by both names keeps them:
/// it cannot have two of one name.
///
/// # Errors
/// What is wrong with the bytes.
pub fn released(bytes: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let (imports, exports) = names(bytes)?;
    if !imports.iter().chain(&exports).any(|name| is_candidate(name)) {
        return Ok(None);
    }
    let rename = |names: &BTreeSet<String>| {
        let both = names.iter().filter_map(|name| released_name(name)).any(|name| names.contains(&name));
        move |name: &str| if both { None } else { released_name(name) }
    };
    rename_both(bytes, &rename(&imports), &rename(&exports)).map(Some)
}

fn released_name(name: &str) -> Option<String> {
    is_candidate(name).then(|| name.replace(CANDIDATE, RELEASE))
}

/// The component's own imports and exports.
fn names(bytes: &[u8]) -> Result<(BTreeSet<String>, BTreeSet<String>), String> {
    let (mut imports, mut exports, mut depth) = (BTreeSet::new(), BTreeSet::new(), 0_u32);
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(|error| error.to_string())? {
            Payload::ComponentImportSection(reader) if depth == 0 => {
                for import in reader {
                    imports.insert(import.map_err(|error| error.to_string())?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(reader) if depth == 0 => {
                for export in reader {
                    exports.insert(export.map_err(|error| error.to_string())?.name.name.to_owned());
                }
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok((imports, exports))
}
