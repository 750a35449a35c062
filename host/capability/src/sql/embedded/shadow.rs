//! The second set of a projection's tables, `<table>__rebuild`: making it after the live one, putting it in the live
//! one's place, and dropping it. All inside a transaction of the writer's; checkpoints are `read_model`'s.

use rusqlite::Connection;

use super::statement::portable;
use crate::projection::ReadModelError;
use crate::sql::error::SqlError;
use crate::sql::lexer;

/// What a table is made of.
struct Made {
    /// How it was made.
    table: String,
    /// The indexes that a migration has made: names, and how.
    indexes: Vec<(String, String)>,
}

fn refused(table: &str, why: &str) -> ReadModelError {
    ReadModelError::Table(format!("the table `{table}` {why}"))
}

fn failed(error: &rusqlite::Error) -> ReadModelError {
    portable(error).into()
}

pub(super) fn name(table: &str) -> String {
    format!("{table}{}", lexer::REBUILD)
}

/// The text for the shadow tables.
pub(super) fn renamed(sql: &str, tables: &[String]) -> Result<String, SqlError> {
    lexer::rename(sql, |word| tables.iter().find(|table| table.eq_ignore_ascii_case(word)).map(|table| name(table)))
}

/// How the shadow of a table and its indexes are made. The index's own name is the first that is its name.
fn shadow(made: &Made, tables: &[String]) -> Result<Made, SqlError> {
    let index = |(index, sql): &(String, String)| {
        let mut done = false;
        let sql = lexer::rename(sql, |word| {
            let own = !done && word.eq_ignore_ascii_case(index);
            done |= own;
            own.then(|| name(index))
        })?;
        Ok((name(index), renamed(&sql, tables)?))
    };
    let mut indexes = made.indexes.iter().map(index).collect::<Result<Vec<_>, SqlError>>()?;
    // As the schema lists them: the names of shadows sort in another order than their own.
    indexes.sort();
    Ok(Made { table: renamed(&made.table, tables)?, indexes })
}

/// What the schema says of a table; `None` if there is none of this name.
fn made(connection: &Connection, table: &str) -> Result<Option<Made>, ReadModelError> {
    let mut select = connection
        .prepare("SELECT type, name, sql FROM sqlite_master WHERE tbl_name = ?1 COLLATE NOCASE AND sql NOT NULL ORDER BY name")
        .map_err(|error| failed(&error))?;
    let rows = select
        .query_map([table], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?)))
        .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>)
        .map_err(|error| failed(&error))?;
    let (mut found, mut indexes) = (None, Vec::new());
    for (kind, name, sql) in rows {
        match kind.as_str() {
            "table" => found = Some(sql),
            "index" => indexes.push((name, sql)),
            "trigger" => return Err(refused(table, "has a trigger; one that is rebuilt has none")),
            _ => return Err(refused(table, "is none, but a view")),
        }
    }
    Ok(found.map(|table| Made { table, indexes }))
}

/// What a live table is made of, if it can be rebuilt.
fn live(connection: &Connection, table: &str, tables: &[String]) -> Result<Made, ReadModelError> {
    let made = made(connection, table)?.ok_or_else(|| refused(table, "is not there; a migration has to make it"))?;
    let bound = "SELECT count(*) FROM sqlite_master m, pragma_foreign_key_list(m.name) f WHERE m.type = 'table' \
                 AND (m.name = ?1 COLLATE NOCASE OR f.\"table\" = ?1 COLLATE NOCASE)";
    let bound: i64 = connection.query_row(bound, [table], |row| row.get(0)).map_err(|error| failed(&error))?;
    if bound > 0 {
        return Err(refused(table, "has a foreign key or is named by one; one that is rebuilt has none"));
    }
    let mut columns = connection.prepare("SELECT name FROM pragma_table_info(?1)").map_err(|error| failed(&error))?;
    let columns = columns
        .query_map([table], |row| row.get::<_, String>(0))
        .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>)
        .map_err(|error| failed(&error))?;
    match columns.iter().find(|column| tables.iter().any(|table| table.eq_ignore_ascii_case(column))) {
        Some(column) => Err(refused(table, &format!("has a column with the name of a table, `{column}`; rename one"))),
        None => Ok(made),
    }
}

/// Makes empty shadows of the tables, in the place of those that are there.
pub(super) fn make(connection: &Connection, tables: &[String]) -> Result<(), ReadModelError> {
    drop_all(connection, tables)?;
    for table in tables {
        let shadow = shadow(&live(connection, table, tables)?, tables)?;
        let statements = std::iter::once(&shadow.table).chain(shadow.indexes.iter().map(|(_, sql)| sql));
        for sql in statements {
            connection.execute_batch(sql).map_err(|error| failed(&error))?;
        }
    }
    Ok(())
}

pub(super) fn drop_all(connection: &Connection, tables: &[String]) -> Result<(), ReadModelError> {
    tables.iter().try_for_each(|table| {
        connection.execute_batch(&format!("DROP TABLE IF EXISTS \"{}\"", name(table))).map_err(|error| failed(&error))
    })
}

/// Puts the shadows in the place of the tables.
pub(super) fn switch(connection: &Connection, tables: &[String]) -> Result<(), ReadModelError> {
    for table in tables {
        let live = live(connection, table, tables)?;
        let wanted = shadow(&live, tables)?;
        let found = made(connection, &name(table))?.ok_or_else(|| refused(table, "has no rebuild to switch to"))?;
        if (&found.table, &found.indexes) != (&wanted.table, &wanted.indexes) {
            return Err(refused(table, "was changed by a migration since its rebuild began; begin it anew"));
        }
        // The engine has no new name for an index: it is made again.
        let mut script = format!("DROP TABLE \"{table}\"; ALTER TABLE \"{}\" RENAME TO \"{table}\";", name(table));
        for (index, sql) in &live.indexes {
            // The text may end in a comment.
            script.push_str(&format!("DROP INDEX \"{}\"; {sql}\n;", name(index)));
        }
        // As it was long ago: views that name the table are not looked at while it is away.
        let renamed =
            connection.execute_batch("PRAGMA legacy_alter_table = ON").and_then(|()| connection.execute_batch(&script));
        let restored = connection.execute_batch("PRAGMA legacy_alter_table = OFF");
        renamed.and(restored).map_err(|error| failed(&error))?;
    }
    Ok(())
}
