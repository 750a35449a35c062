//! What a SQLite file of a data directory holds, as text: for a test harness that compares the data of hosts that have
//! ended. Looks at no file of a host that runs.

use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};

/// The most rows of one file; a test's data is small.
const MAX_ROWS: usize = 200_000;

/// A table with all its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Names of its columns.
    pub columns: Vec<String>,
    /// Its rows, with each value as text, in no order.
    pub rows: Vec<Vec<String>>,
}

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TablesError {
    /// It is no database, or damaged.
    #[error("cannot read the database: {0}")]
    Unreadable(String),
    /// It has more rows than a harness looks at.
    #[error("the database has more than {MAX_ROWS} rows; test with less data")]
    TooLarge,
}

impl From<rusqlite::Error> for TablesError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Unreadable(error.to_string())
    }
}

/// All tables of a file, by name, without those of SQLite itself.
///
/// # Errors
/// [`TablesError`].
pub fn read(path: &Path) -> Result<Vec<Table>, TablesError> {
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    let names =
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY 1";
    let mut names = db.prepare(names)?;
    let names = names.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
    let mut left = MAX_ROWS;
    names.into_iter().map(|name| table(&db, name, &mut left)).collect()
}

fn table(db: &Connection, name: String, left: &mut usize) -> Result<Table, TablesError> {
    let mut select = db.prepare(&format!("SELECT * FROM \"{}\"", name.replace('"', "\"\"")))?;
    let columns: Vec<String> = select.column_names().map(str::to_owned).collect();
    let mut found = select.query([])?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        *left = left.checked_sub(1).ok_or(TablesError::TooLarge)?;
        let values = (0..columns.len()).map(|column| row.get_ref(column).map(text));
        rows.push(values.collect::<Result<Vec<_>, _>>()?);
    }
    Ok(Table { name, columns, rows })
}

fn text(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        ValueRef::Blob(bytes) => format!("x'{}'", weft_core::id::hex(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_tables_are_read_with_all_kinds_of_values() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let db = Connection::open(&path).unwrap();
        let rows = "CREATE TABLE b (a, \"odd \"\" name\"); INSERT INTO b VALUES (1, NULL), ('ä', x'0a'), (1.5, '');
                    CREATE TABLE a (id INTEGER PRIMARY KEY AUTOINCREMENT);";
        db.execute_batch(rows).unwrap();
        drop(db);
        let tables = read(&path).unwrap();
        let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(tables[1].columns, ["a", "odd \" name"]);
        assert_eq!(tables[1].rows, [["1", "NULL"], ["ä", "x'0a'"], ["1.5", ""]]);
    }

    #[test]
    fn what_is_no_database_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        std::fs::write(&path, "not a database, but long enough to have a header of its own".repeat(9)).unwrap();
        assert!(matches!(read(&path), Err(TablesError::Unreadable(_))));
        assert!(matches!(read(&folder.path().join("none.db")), Err(TablesError::Unreadable(_))));
    }
}
