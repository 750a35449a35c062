//! Read models in a context's file: a step of a projection, with its checkpoint, is one operation of the writer, grouped
//! and flushed like a keyed commit. Making and switching tables is `shadow`'s.

use std::collections::HashMap;

use futures::future::BoxFuture;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::keyed::{Effects, signed, unsigned};
use super::statement::{Repeated, execute, expect_rows, portable};
use super::write_error::WriteError;
use super::writer::Operation;
use super::{Embedded, shadow};
use crate::projection::{Advance, Model, ReadModelError, ReadModels, Reader, limits};
use crate::sql::error::SqlError;
use crate::sql::types::{Statement, Value};
use crate::sql::{check, lexer, limits as sql_limits};

/// How many statements stay prepared during one step; texts past that are looked up each time.
const PREPARED: usize = 128;

/// What changes a read model.
pub(super) enum Change {
    Advance(Step),
    Begin { reader: Reader, position: u64 },
    Finish { reader: Reader, expected: u64 },
    Abandon { reader: Reader },
}

/// An [`Advance`] whose texts are checked, and for a rebuild renamed.
pub(super) struct Step {
    reader: Reader,
    model: Model,
    expected: Option<u64>,
    next: u64,
    /// Each text once.
    texts: Vec<String>,
    /// Which text, with which parameters, has to change how many rows.
    runs: Vec<(usize, Vec<Value>, Option<u64>)>,
}

impl Step {
    /// Checks each text once: a projection has few, and many rows for them.
    fn new(advance: Advance, mark: &str) -> Result<Self, ReadModelError> {
        let Advance { reader, model, expected, next, statements } = advance;
        check_reader(&reader)?;
        if statements.len() > limits::STATEMENTS {
            let (count, most) = (statements.len(), limits::STATEMENTS);
            return Err(SqlError::TooLarge(format!("{count} statements, at most {most} fit into a step")).into());
        }
        let mut known = HashMap::<String, (usize, usize)>::new();
        let (mut texts, mut runs, mut bytes) = (Vec::new(), Vec::with_capacity(statements.len()), 0);
        for (index, Statement { sql, parameters, expected_rows }) in statements.into_iter().enumerate() {
            bytes += parameters.iter().map(Value::bytes).sum::<usize>();
            let (text, wanted) = match known.get(&sql) {
                Some(known) => *known,
                None => {
                    let wanted = lexer::check(&sql).map_err(|error| error.at_statement(index))?;
                    bytes += sql.len();
                    texts.push(text_for(&sql, &reader, model, mark)?);
                    let found = (texts.len() - 1, wanted);
                    known.insert(sql, found);
                    found
                }
            };
            check::parameters(wanted, &parameters).map_err(|error| error.at_statement(index))?;
            runs.push((text, parameters, expected_rows));
        }
        if bytes > sql_limits::COMMIT_BYTES {
            let most = sql_limits::COMMIT_BYTES;
            return Err(SqlError::TooLarge(format!("the step has {bytes} bytes, at most {most} fit")).into());
        }
        Ok(Self { reader, model, expected, next, texts, runs })
    }

    fn run(&self, effects: &Effects<'_>) -> Result<(), SqlError> {
        let named = |table: &String| if self.model == Model::Live { table.clone() } else { shadow::name(table) };
        let own = self.reader.tables.iter().map(named).collect();
        let sandbox = effects.session.projection(own, effects.limit);
        let connection = sandbox.connection();
        let mut prepared: Vec<Option<Repeated<'_>>> = Vec::new();
        prepared.resize_with(self.texts.len().min(PREPARED), || None);
        for (index, (text, parameters, expected)) in self.runs.iter().enumerate() {
            let sql = self.texts.get(*text).map_or("", String::as_str);
            let actual = match prepared.get_mut(*text) {
                Some(Some(ready)) => ready.execute(parameters),
                Some(slot) => {
                    Repeated::prepare(connection, sql).and_then(|ready| slot.insert(ready).execute(parameters))
                }
                None => execute(connection, sql, parameters),
            };
            let counted = actual.and_then(|actual| expect_rows(*expected, actual));
            counted.map_err(|error| error.at_statement(index))?;
        }
        Ok(())
    }
}

/// The text as it is run. What a statement may do is decided when it is prepared, so it begins with whose it is, on which
/// tables, and a mark that no function knows: nobody else finds it prepared, nor prepares it for another.
fn text_for(sql: &str, reader: &Reader, model: Model, mark: &str) -> Result<String, SqlError> {
    let whose = format!("/*{mark} {} {}*/", reader.id, reader.tables.join(" "));
    Ok(match model {
        Model::Live => whose + sql,
        Model::Rebuild => whose + &shadow::renamed(sql, &reader.tables)?,
    })
}

fn check_reader(reader: &Reader) -> Result<(), ReadModelError> {
    let plain = |text: &str, more: &[u8]| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || more.contains(&byte);
        !text.is_empty() && text.len() <= limits::NAME_BYTES && text.bytes().all(fits)
    };
    if !plain(&reader.id, b"-/@.:") {
        return Err(ReadModelError::Table(format!(
            "{:?} is no reader's id: `<component>/<projection>@<version>`",
            reader.id
        )));
    }
    match reader.tables.iter().find(|table| !plain(table, b"") || lexer::is_reserved(table)) {
        Some(table) => {
            Err(ReadModelError::Table(format!("{table:?} is no table of a projection's: letters, digits and `_`")))
        }
        None => Ok(()),
    }
}

fn number(model: Model) -> i64 {
    match model {
        Model::Live => 0,
        Model::Rebuild => 1,
    }
}

fn checkpoint(connection: &Connection, reader: &Reader, model: Model) -> rusqlite::Result<Option<u64>> {
    connection
        .prepare_cached("SELECT position FROM weft_checkpoints WHERE reader = ?1 AND model = ?2")?
        .query_row(params![reader.id, number(model)], |row| row.get(0).map(unsigned))
        .optional()
}

fn set_checkpoint(connection: &Connection, reader: &Reader, model: Model, position: u64) -> Result<(), SqlError> {
    connection
        .prepare_cached(
            "INSERT INTO weft_checkpoints (reader, model, position) VALUES (?1, ?2, ?3) \
             ON CONFLICT (reader, model) DO UPDATE SET position = excluded.position",
        )
        .and_then(|mut set| set.execute(params![reader.id, number(model), signed(position)]))
        .map(drop)
        .map_err(|error| portable(&error))
}

fn forget_rebuild(connection: &Connection, reader: &Reader) -> Result<(), SqlError> {
    connection
        .prepare_cached("DELETE FROM weft_checkpoints WHERE reader = ?1 AND model = 1")
        .and_then(|mut delete| delete.execute([&reader.id]))
        .map(drop)
        .map_err(|error| portable(&error))
}

fn check_place(
    connection: &Connection,
    reader: &Reader,
    model: Model,
    expected: Option<u64>,
) -> Result<(), ReadModelError> {
    let actual = checkpoint(connection, reader, model).map_err(|error| portable(&error))?;
    if actual == expected { Ok(()) } else { Err(ReadModelError::Moved { expected, actual }) }
}

/// Does one change inside the writer's transaction.
pub(super) fn apply(effects: &Effects<'_>, change: &Change) -> Result<(), WriteError> {
    let connection = effects.session.host();
    match change {
        Change::Advance(step) => {
            if step.model == Model::Rebuild && step.expected.is_none() {
                return Err(ReadModelError::Table(format!("no rebuild of `{}` has begun", step.reader.id)).into());
            }
            check_place(connection, &step.reader, step.model, step.expected)?;
            step.run(effects)?;
            set_checkpoint(connection, &step.reader, step.model, step.next)?;
        }
        Change::Begin { reader, position } => {
            shadow::make(connection, &reader.tables)?;
            set_checkpoint(connection, reader, Model::Rebuild, *position)?;
        }
        Change::Finish { reader, expected } => {
            check_place(connection, reader, Model::Rebuild, Some(*expected))?;
            shadow::switch(connection, &reader.tables)?;
            forget_rebuild(connection, reader)?;
            set_checkpoint(connection, reader, Model::Live, *expected)?;
        }
        Change::Abandon { reader } => {
            shadow::drop_all(connection, &reader.tables)?;
            forget_rebuild(connection, reader)?;
        }
    }
    Ok(())
}

impl Embedded {
    async fn change(&self, change: Change) -> Result<(), ReadModelError> {
        self.write(Operation::Model(change)).await?;
        Ok(())
    }
}

impl ReadModels for Embedded {
    fn checkpoint(&self, reader: Reader, model: Model) -> BoxFuture<'_, Result<Option<u64>, ReadModelError>> {
        Box::pin(async move {
            check_reader(&reader)?;
            Ok(self.look(move |connection| checkpoint(connection, &reader, model)).await?)
        })
    }

    fn advance(&self, advance: Advance) -> BoxFuture<'_, Result<(), ReadModelError>> {
        Box::pin(async move { self.change(Change::Advance(Step::new(advance, &self.mark)?)).await })
    }

    fn begin_rebuild(&self, reader: Reader, position: u64) -> BoxFuture<'_, Result<(), ReadModelError>> {
        Box::pin(async move {
            check_reader(&reader)?;
            self.change(Change::Begin { reader, position }).await
        })
    }

    fn finish_rebuild(&self, reader: Reader, expected: u64) -> BoxFuture<'_, Result<(), ReadModelError>> {
        Box::pin(async move {
            check_reader(&reader)?;
            self.change(Change::Finish { reader, expected }).await
        })
    }

    fn abandon_rebuild(&self, reader: Reader) -> BoxFuture<'_, Result<(), ReadModelError>> {
        Box::pin(async move {
            check_reader(&reader)?;
            self.change(Change::Abandon { reader }).await
        })
    }
}
