//! Interfaces that a component knows by the name of a release candidate, and that were released as they were. Such a
//! component gets the released names; nothing else of it changes, for the types are the same. So does the handler of
//! the snapshot of WASI 0.2 that the host has beside the release: what a handler is called with are the host's resources,
//! which are the same in both.

use std::collections::BTreeSet;

use wasmparser::{Parser, Payload};

use crate::renaming::rename_both;

/// The candidate of WASI 0.3.0 that SDKs were released with, and what became of it.
const CANDIDATE: &str = "@0.3.0-rc-2026-03-15";
const RELEASE: &str = "@0.3.0";
/// The handler of the snapshot, and how it is known to those who call it.
const SNAPSHOT_HANDLER: &str = "wasi:http/incoming-handler@0.2.0-rc-2023-10-18";
const HANDLER: &str = "wasi:http/incoming-handler@0.2.0";

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
    let rename_imports = renaming(&imports, released_name);
    let rename_exports =
        renaming(
            &exports,
            |name| {
                if name == SNAPSHOT_HANDLER { Some(HANDLER.to_owned()) } else { released_name(name) }
            },
        );
    let renames = imports.iter().any(|name| rename_imports(name).is_some())
        || exports.iter().any(|name| rename_exports(name).is_some());
    if !renames {
        return Ok(None);
    }
    rename_both(bytes, &rename_imports, &rename_exports).map(Some)
}

fn released_name(name: &str) -> Option<String> {
    is_candidate(name).then(|| name.replace(CANDIDATE, RELEASE))
}

/// `rename`, unless one of the names would then be there twice.
fn renaming(names: &BTreeSet<String>, rename: impl Fn(&str) -> Option<String>) -> impl Fn(&str) -> Option<String> {
    let both = names.iter().filter_map(|name| rename(name)).any(|name| names.contains(&name));
    move |name| if both { None } else { rename(name) }
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
