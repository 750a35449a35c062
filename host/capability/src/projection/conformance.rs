//! The suite that every backend of the read models has to pass, besides that of the database that they lie in.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a suite of checks fails by panicking")]

use std::sync::Arc;

use futures::future::join_all;

use super::{Advance, Model, ReadModelError, ReadModels, Reader};
use crate::sql::conformance as sql;
use crate::sql::{Commit, OperationKey, SqlError, Statement, Value};

/// The schema that the suite needs, as a migration besides that of the database's suite.
pub const MIGRATION: &str = "
CREATE TABLE totals (id TEXT PRIMARY KEY, amount BIGINT NOT NULL, seen BIGINT NOT NULL DEFAULT 0);
CREATE INDEX totals_by_amount ON totals (amount);
CREATE TABLE lines (id BIGINT PRIMARY KEY, note TEXT);
CREATE UNIQUE INDEX lines_by_note ON lines (note);
CREATE VIEW large_totals AS SELECT id FROM totals WHERE amount > 100;
CREATE TABLE heads (id BIGINT PRIMARY KEY);
CREATE TABLE members (id BIGINT PRIMARY KEY, head BIGINT REFERENCES heads (id));
CREATE TABLE odd (id BIGINT PRIMARY KEY, odd TEXT);
";

/// A backend under test, with the migrations of the database's suite and of this one applied.
pub trait Backend: sql::Backend {
    /// The read models in the database under test, the same at each call.
    fn read_models(&self) -> Arc<dyn ReadModels>;
}

/// Runs the whole suite.
///
/// # Panics
/// If the backend breaks the contract.
pub async fn run_all(backend: &dyn Backend) {
    a_step_lands_with_its_checkpoint(backend).await;
    of_racing_steps_one_lands(backend).await;
    statements_stay_in_their_tables(backend).await;
    a_rebuild_is_seen_when_it_is_finished(backend).await;
    a_rebuild_can_be_given_up(backend).await;
    tables_that_cannot_be_rebuilt_are_refused(backend).await;
    large_steps_are_run(backend).await;
}

fn reader(id: &str, tables: &[&str]) -> Reader {
    let tables = tables.iter().map(|table| (*table).to_owned()).collect();
    Reader { id: format!("suite/{id}@1"), tables }
}

fn step(reader: &Reader, model: Model, expected: Option<u64>, next: u64, statements: Vec<Statement>) -> Advance {
    Advance { reader: reader.clone(), model, expected, next, statements }
}

fn add(id: &str, amount: i64) -> Statement {
    let sql = "INSERT INTO totals (id, amount) VALUES ($1, $2) \
               ON CONFLICT (id) DO UPDATE SET amount = totals.amount + excluded.amount, seen = totals.seen + 1";
    Statement::new(sql, vec![Value::Text(id.to_owned()), Value::Int64(amount)])
}

async fn one(backend: &dyn Backend, sql: &str) -> Value {
    backend.database().query(sql.to_owned(), Vec::new()).await.unwrap().rows[0][0].clone()
}

async fn total(backend: &dyn Backend, id: &str) -> Value {
    one(backend, &format!("SELECT coalesce(sum(amount), 0) FROM totals WHERE id = '{id}'")).await
}

async fn a_step_lands_with_its_checkpoint(backend: &dyn Backend) {
    let (models, reader) = (backend.read_models(), reader("step", &["totals"]));
    assert_eq!(models.checkpoint(reader.clone(), Model::Live).await, Ok(None));
    models.advance(step(&reader, Model::Live, None, 10, vec![add("step", 1), add("step", 2)])).await.unwrap();
    assert_eq!(models.checkpoint(reader.clone(), Model::Live).await, Ok(Some(10)));
    assert_eq!(total(backend, "step").await, Value::Int64(3));
    let again = models.advance(step(&reader, Model::Live, None, 10, vec![add("step", 1)])).await;
    assert_eq!(again, Err(ReadModelError::Moved { expected: None, actual: Some(10) }));
    // What fails leaves neither rows nor a checkpoint.
    let broken = vec![add("step", 5), add("step", 5).expecting(2)];
    let refused = models.advance(step(&reader, Model::Live, Some(10), 20, broken)).await;
    assert_eq!(refused, Err(SqlError::UnexpectedRows { statement: 1, expected: 2, actual: 1 }.into()));
    assert_eq!(models.checkpoint(reader.clone(), Model::Live).await, Ok(Some(10)));
    assert_eq!(total(backend, "step").await, Value::Int64(3));
    // A step may have nothing to say.
    models.advance(step(&reader, Model::Live, Some(10), 20, Vec::new())).await.unwrap();
    assert_eq!(models.checkpoint(reader, Model::Live).await, Ok(Some(20)));
}

async fn of_racing_steps_one_lands(backend: &dyn Backend) {
    let (models, reader) = (backend.read_models(), reader("race", &["totals"]));
    for at in 0..10 {
        let expected = (at > 0).then_some(at);
        let racing = (0..8).map(|_| models.advance(step(&reader, Model::Live, expected, at + 1, vec![add("race", 1)])));
        let results = join_all(racing).await;
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
    }
    assert_eq!(total(backend, "race").await, Value::Int64(10));
}

async fn statements_stay_in_their_tables(backend: &dyn Backend) {
    let (models, reader) = (backend.read_models(), reader("sandbox", &["totals"]));
    let insert = "INSERT INTO items (id) VALUES ($1)";
    // Another function's use of a text does not open it to a projection.
    let commit = Commit {
        key: OperationKey::new("suite", "sandbox"),
        fingerprint: "f".to_owned(),
        statements: vec![Statement::new(insert, vec![Value::Text("a function's".to_owned())])],
        events: Vec::new(),
        answer: Vec::new(),
    };
    backend.database().commit(commit).await.unwrap();
    for (sql, parameters) in [
        (insert, vec![Value::Text("a projection's".to_owned())]),
        ("INSERT INTO totals (id, amount) SELECT id, amount FROM items", vec![]),
        ("UPDATE totals SET amount = (SELECT count(*) FROM items)", vec![]),
        ("DELETE FROM weft_checkpoints", vec![]),
        ("DELETE FROM totals__rebuild", vec![]),
        ("DROP TABLE totals", vec![]),
    ] {
        for model in [Model::Live, Model::Rebuild] {
            let expected = (model == Model::Rebuild).then_some(7);
            if model == Model::Rebuild {
                models.begin_rebuild(reader.clone(), 7).await.unwrap();
            }
            let refused =
                models.advance(step(&reader, model, expected, 8, vec![Statement::new(sql, parameters.clone())])).await;
            assert!(matches!(refused, Err(ReadModelError::Sql(SqlError::Denied(_)))), "{sql}: {refused:?}");
        }
    }
    for sql in ["SELECT * FROM totals__rebuild", "SELECT * FROM \"TOTALS__Rebuild\""] {
        let refused = backend.database().query(sql.to_owned(), Vec::new()).await;
        assert!(matches!(refused, Err(SqlError::Denied(_))), "{refused:?}");
    }
    models.abandon_rebuild(reader).await.unwrap();
    for id in ["", "a b", "*/ DROP", "ü"] {
        let odd = Reader { id: id.to_owned(), tables: Vec::new() };
        assert!(matches!(models.checkpoint(odd, Model::Live).await, Err(ReadModelError::Table(_))), "{id}");
    }
}

fn note(id: i64, note: &str) -> Statement {
    Statement::new("INSERT INTO lines (id, note) VALUES ($1, $2)", vec![Value::Int64(id), Value::Text(note.to_owned())])
}

async fn a_rebuild_is_seen_when_it_is_finished(backend: &dyn Backend) {
    let (models, reader) = (backend.read_models(), reader("rebuild", &["totals", "LINES"]));
    models.advance(step(&reader, Model::Live, None, 5, vec![add("rebuild", 1), note(1, "old")])).await.unwrap();
    let unbegun = models.advance(step(&reader, Model::Rebuild, None, 5, Vec::new())).await;
    assert!(matches!(unbegun, Err(ReadModelError::Table(_))), "{unbegun:?}");
    // Twice: the tables of the first rebuild, whose texts the engine has changed, are rebuilt like those of a migration.
    for round in 0..2_i64 {
        let live = Some(5 + u64::try_from(round).unwrap() * 100);
        models.begin_rebuild(reader.clone(), 0).await.unwrap();
        let first = vec![add("rebuild", 100 + round), note(1, "totals"), note(2, "'lines'")];
        models.advance(step(&reader, Model::Rebuild, Some(0), 50, first)).await.unwrap();
        // A second beginning empties what the first has made.
        models.begin_rebuild(reader.clone(), 0).await.unwrap();
        let first = vec![add("rebuild", 200 + round), note(1, "totals"), note(2, "'lines'")];
        models.advance(step(&reader, Model::Rebuild, Some(0), 50, first)).await.unwrap();
        models.advance(step(&reader, Model::Rebuild, Some(50), 105, vec![add("rebuild", 1)])).await.unwrap();
        let twin = models.advance(step(&reader, Model::Rebuild, Some(105), 106, vec![note(3, "totals")])).await;
        assert!(matches!(twin, Err(ReadModelError::Sql(SqlError::Constraint { .. }))), "{twin:?}");
        assert_eq!(total(backend, "rebuild").await, Value::Int64(if round == 0 { 1 } else { 201 }));
        assert_eq!(models.checkpoint(reader.clone(), Model::Live).await, Ok(live));
        assert_eq!(models.checkpoint(reader.clone(), Model::Rebuild).await, Ok(Some(105)));
        let moved = models.finish_rebuild(reader.clone(), 104).await;
        assert_eq!(moved, Err(ReadModelError::Moved { expected: Some(104), actual: Some(105) }));
        models.finish_rebuild(reader.clone(), 105).await.unwrap();
        assert_eq!(total(backend, "rebuild").await, Value::Int64(201 + round));
        assert_eq!(one(backend, "SELECT count(*) FROM lines").await, Value::Int64(2));
        assert_eq!(
            one(backend, "SELECT count(*) FROM large_totals").await,
            Value::Int64(1),
            "views see the new tables"
        );
        assert_eq!(models.checkpoint(reader.clone(), Model::Live).await, Ok(Some(105)));
        assert_eq!(models.checkpoint(reader.clone(), Model::Rebuild).await, Ok(None));
    }
    // The live tables go on, with the indexes of before.
    let twin = models.advance(step(&reader, Model::Live, Some(105), 106, vec![note(9, "totals")])).await;
    assert!(matches!(twin, Err(ReadModelError::Sql(SqlError::Constraint { .. }))), "{twin:?}");
    models.advance(step(&reader, Model::Live, Some(105), 106, vec![add("rebuild", 1), note(9, "new")])).await.unwrap();
    assert_eq!(total(backend, "rebuild").await, Value::Int64(203));
    let none = models.finish_rebuild(reader, 106).await;
    assert_eq!(none, Err(ReadModelError::Moved { expected: Some(106), actual: None }));
}

async fn a_rebuild_can_be_given_up(backend: &dyn Backend) {
    let (models, reader) = (backend.read_models(), reader("given-up", &["totals"]));
    models.abandon_rebuild(reader.clone()).await.unwrap();
    models.advance(step(&reader, Model::Live, None, 5, vec![add("given-up", 1)])).await.unwrap();
    models.begin_rebuild(reader.clone(), 3).await.unwrap();
    models.advance(step(&reader, Model::Rebuild, Some(3), 4, vec![add("given-up", 7)])).await.unwrap();
    models.abandon_rebuild(reader.clone()).await.unwrap();
    assert_eq!(models.checkpoint(reader.clone(), Model::Rebuild).await, Ok(None));
    assert_eq!(models.checkpoint(reader.clone(), Model::Live).await, Ok(Some(5)));
    assert_eq!(total(backend, "given-up").await, Value::Int64(1));
    let late = models.advance(step(&reader, Model::Rebuild, Some(4), 5, vec![add("given-up", 7)])).await;
    assert_eq!(late, Err(ReadModelError::Moved { expected: Some(4), actual: None }));
}

async fn tables_that_cannot_be_rebuilt_are_refused(backend: &dyn Backend) {
    let models = backend.read_models();
    for (table, why) in [
        ("absent", "not there"),
        ("large_totals", "view"),
        ("members", "foreign key"),
        ("heads", "foreign key"),
        ("odd", "column"),
        ("weft_done", "no table"),
        ("a b", "no table"),
    ] {
        let refused = models.begin_rebuild(reader("unfit", &["totals", table]), 0).await;
        assert!(matches!(&refused, Err(ReadModelError::Table(text)) if text.contains(why)), "{table}: {refused:?}");
        let checkpoint = models.checkpoint(reader("unfit", &[]), Model::Rebuild).await;
        assert_eq!(checkpoint, Ok(None), "a rebuild begins as a whole or not at all");
    }
}

async fn large_steps_are_run(backend: &dyn Backend) {
    let (models, reader) = (backend.read_models(), reader("large", &["totals"]));
    let statements = |count: usize| (0..count).map(|n| add(&format!("large-{n}"), 1)).collect::<Vec<_>>();
    models.advance(step(&reader, Model::Live, None, 1, statements(super::limits::STATEMENTS))).await.unwrap();
    assert_eq!(one(backend, "SELECT count(*) FROM totals WHERE id LIKE 'large-%'").await, Value::Int64(10_000));
    let refused =
        models.advance(step(&reader, Model::Live, Some(1), 2, statements(super::limits::STATEMENTS + 1))).await;
    assert!(matches!(refused, Err(ReadModelError::Sql(SqlError::TooLarge(_)))), "{refused:?}");
    // More texts than stay prepared.
    let texts = (0..300_i64).map(|n| {
        Statement::new(format!("UPDATE totals SET seen = {n} WHERE id = $1"), vec![Value::Text("large-1".to_owned())])
    });
    models.advance(step(&reader, Model::Live, Some(1), 2, texts.collect())).await.unwrap();
    assert_eq!(one(backend, "SELECT seen FROM totals WHERE id = 'large-1'").await, Value::Int64(299));
}
