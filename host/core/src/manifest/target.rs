//! `targets`: the environments that an application or a component is meant for. Spin holds components against their
//! worlds when it builds; here they are read, and what a component imports is held against this host alone.

use super::section::{Entry, Section};

/// Reports what is no target: a name such as `"spin-up:4.0"`, `{ url }` or `{ path }`.
pub(super) fn check(section: &Section<'_>) {
    for entry in section.get("targets").and_then(|entry| entry.items()).unwrap_or_default() {
        one(entry);
    }
}

fn one(entry: Entry<'_>) {
    if !entry.is_table() {
        entry.string();
        return;
    }
    let Some(table) = entry.section() else { return };
    if table.string("url").is_some() == table.string("path").is_some() {
        let help = "write \"spin-up:4.0\", { path = \"file.toml\" } or { url = \"...\" }";
        table.report_with_help(table.line, "a target has a url or a path, one of them", help);
    }
    table.finish();
}
