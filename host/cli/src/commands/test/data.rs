//! What the databases of a data directory hold, once its host has ended: those of the contexts, of key-value stores and
//! of Spin's SQLite, and dead letters.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use weft_capability::sqlite_tables::{self, Table};

/// Where the host keeps which effects have landed.
const KEYED: &str = "weft_done";
/// Tables that only say how far the host has come, or where its numbers begin.
const PROGRESS: [&str; 3] = ["messaging.subscriptions", "messaging.unsettled", "push.numbers"];

/// Tables by `context.table`, and effects.
#[derive(Clone, Debug, Default)]
pub struct Data {
    /// Without the host's own.
    pub tables: BTreeMap<String, Table>,
    /// Keys of effects that have landed and were not undone.
    pub effects: Vec<String>,
}

/// Reads all databases, but for `read_models`, each as `context.table`: what projections make of events is there in its own
/// time, and tells what was as well.
///
/// # Errors
/// If one cannot be read.
pub fn read(folder: &Path, read_models: &BTreeSet<String>) -> anyhow::Result<Data> {
    let mut files = Vec::new();
    find(folder, &mut files).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut data = Data::default();
    for file in files {
        let tables = sqlite_tables::read(&file).with_context(|| file.display().to_string())?;
        let context = context(folder, &file);
        for table in tables {
            let name = format!("{context}.{}", table.name);
            if table.name == KEYED {
                data.effects.extend(landed(&table));
            } else if !table.name.starts_with("weft_")
                && !PROGRESS.contains(&name.as_str())
                && !read_models.contains(&name)
            {
                data.tables.insert(name, table);
            }
        }
    }
    Ok(data)
}

fn find(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            find(&path, files)?;
        } else if path.extension().is_some_and(|end| end == "db") {
            files.push(path);
        }
    }
    Ok(())
}

/// `courses` for `sql/courses.db`; other files by their path.
fn context(folder: &Path, file: &Path) -> String {
    let path = file.strip_prefix(folder).unwrap_or(file).with_extension("");
    let path = path.strip_prefix("sql").unwrap_or(&path);
    path.display().to_string()
}

fn landed(table: &Table) -> Vec<String> {
    let column = |name: &str| table.columns.iter().position(|column| column == name);
    let (Some(key), Some(revoked)) = (column("key"), column("revoked")) else { return Vec::new() };
    let standing = table.rows.iter().filter(|row| row.get(revoked).is_some_and(|revoked| revoked == "0"));
    standing.filter_map(|row| row.get(key).cloned()).collect()
}
