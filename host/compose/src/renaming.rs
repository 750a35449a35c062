//! Other names for the imports and exports of a component. Everything else of it stays, byte for byte.

use std::ops::Range;

use wasmparser::{Parser, Payload};

/// The ids of a component's sections of imports and of exports.
const IMPORTS: u8 = 10;
const EXPORTS: u8 = 11;

/// What to call something instead, if so.
type Rename<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The component with those imports renamed for which `rename` has a name.
///
/// # Errors
/// What is wrong with the bytes.
pub(crate) fn rename_imports(bytes: &[u8], rename: Rename<'_>) -> Result<Vec<u8>, String> {
    rename_both(bytes, rename, &|_| None)
}

/// The component with those imports and exports renamed for which there are names.
///
/// # Errors
/// What is wrong with the bytes.
pub(crate) fn rename_both(bytes: &[u8], imports: Rename<'_>, exports: Rename<'_>) -> Result<Vec<u8>, String> {
    let mut renamed = Vec::with_capacity(bytes.len());
    let (mut copied, mut end, mut depth) = (0, 0, 0_u32);
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(|error| error.to_string())?;
        if depth == 0 {
            let named = match &payload {
                Payload::ComponentImportSection(reader) => {
                    let names = reader.clone().into_iter_with_offsets();
                    let names = names.map(|one| one.map(|(start, import)| (start, import.name.name)));
                    Some((IMPORTS, imports, reader.range().end, names.collect::<Result<Vec<_>, _>>()))
                }
                Payload::ComponentExportSection(reader) => {
                    let names = reader.clone().into_iter_with_offsets();
                    let names = names.map(|one| one.map(|(start, export)| (start, export.name.name)));
                    Some((EXPORTS, exports, reader.range().end, names.collect::<Result<Vec<_>, _>>()))
                }
                _ => None,
            };
            if let Some((id, rename, section_end, names)) = named {
                // A section's id and size stand between the end of the one before and its own contents.
                renamed.extend_from_slice(slice(bytes, copied..end)?);
                let names = names.map_err(|error| error.to_string())?;
                section(bytes, id, &names, section_end, rename, &mut renamed)?;
                copied = section_end;
            }
            end = end_of(&payload).unwrap_or(end);
        }
        match payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    renamed.extend_from_slice(slice(bytes, copied..bytes.len() as u64)?);
    Ok(renamed)
}

fn end_of(payload: &Payload<'_>) -> Option<u64> {
    match payload {
        Payload::Version { range, .. } => Some(range.end),
        Payload::ModuleSection { unchecked_range, .. } | Payload::ComponentSection { unchecked_range, .. } => {
            Some(unchecked_range.end)
        }
        other => other.as_section().map(|(_, range)| range.end),
    }
}

/// One section: `names` are those of its entries, each with where the entry begins.
fn section(
    bytes: &[u8],
    id: u8,
    names: &[(u64, &str)],
    section_end: u64,
    rename: Rename<'_>,
    renamed: &mut Vec<u8>,
) -> Result<(), String> {
    let mut body = Vec::new();
    number(names.len() as u64, &mut body);
    for (index, (start, name)) in names.iter().enumerate() {
        let next = names.get(index + 1).map_or(section_end, |(next, _)| *next);
        let raw = slice(bytes, *start..next)?;
        match rename(name) {
            None => body.extend_from_slice(raw),
            Some(new) => {
                // A byte for the kind of name, its length, and the name; then what it names.
                let mut length = Vec::new();
                number(name.len() as u64, &mut length);
                let rest = raw.get(1 + length.len() + name.len()..);
                let plain = raw.get(1 + length.len()..).is_some_and(|raw| raw.starts_with(name.as_bytes()));
                let rest =
                    rest.filter(|_| plain).ok_or_else(|| format!("the name {name:?} is written in an unknown way"))?;
                body.extend(raw.first());
                number(new.len() as u64, &mut body);
                body.extend_from_slice(new.as_bytes());
                body.extend_from_slice(rest);
            }
        }
    }
    renamed.push(id);
    number(body.len() as u64, renamed);
    renamed.append(&mut body);
    Ok(())
}

fn slice(bytes: &[u8], range: Range<u64>) -> Result<&[u8], String> {
    let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
    bytes.get(place(range.start)..place(range.end)).ok_or_else(|| "its sections overlap".to_owned())
}

/// Unsigned LEB128.
fn number(mut value: u64, to: &mut Vec<u8>) {
    loop {
        let low = u8::try_from(value & 0x7f).unwrap_or_default();
        value >>= 7;
        if value == 0 {
            to.push(low);
            return;
        }
        to.push(low | 0x80);
    }
}
