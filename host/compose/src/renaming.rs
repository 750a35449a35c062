//! Other names for the imports of a component. Everything else of it stays, byte for byte.

use std::ops::Range;

use wasmparser::{ComponentImportSectionReader, Parser, Payload};

/// The id of a component's section of imports.
const IMPORTS: u8 = 10;

/// The component with those imports renamed for which `rename` has a name.
///
/// # Errors
/// What is wrong with the bytes.
pub(crate) fn rename_imports(bytes: &[u8], rename: &dyn Fn(&str) -> Option<String>) -> Result<Vec<u8>, String> {
    let mut renamed = Vec::with_capacity(bytes.len());
    let (mut copied, mut end, mut depth) = (0, 0, 0_u32);
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(|error| error.to_string())?;
        if depth == 0 {
            if let Payload::ComponentImportSection(reader) = &payload {
                // A section's id and size stand between the end of the one before and its own contents.
                renamed.extend_from_slice(slice(bytes, copied..end)?);
                section(bytes, reader.clone(), rename, &mut renamed)?;
                copied = reader.range().end;
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

fn section(
    bytes: &[u8],
    reader: ComponentImportSectionReader<'_>,
    rename: &dyn Fn(&str) -> Option<String>,
    renamed: &mut Vec<u8>,
) -> Result<(), String> {
    let (count, section_end) = (reader.count(), reader.range().end);
    let imports: Result<Vec<_>, _> = reader.into_iter_with_offsets().collect();
    let imports = imports.map_err(|error| error.to_string())?;
    let mut body = Vec::new();
    number(count.into(), &mut body);
    for (index, (start, import)) in imports.iter().enumerate() {
        let next = imports.get(index + 1).map_or(section_end, |(next, _)| *next);
        let raw = slice(bytes, *start..next)?;
        let name = import.name.name;
        match rename(name) {
            None => body.extend_from_slice(raw),
            Some(new) => {
                // A byte for the kind of name, its length, and the name; then what is imported.
                let mut length = Vec::new();
                number(name.len() as u64, &mut length);
                let rest = raw.get(1 + length.len() + name.len()..);
                let plain = raw.get(1 + length.len()..).is_some_and(|raw| raw.starts_with(name.as_bytes()));
                let rest = rest
                    .filter(|_| plain)
                    .ok_or_else(|| format!("the import {name:?} is written in an unknown way"))?;
                body.extend(raw.first());
                number(new.len() as u64, &mut body);
                body.extend_from_slice(new.as_bytes());
                body.extend_from_slice(rest);
            }
        }
    }
    renamed.push(IMPORTS);
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
