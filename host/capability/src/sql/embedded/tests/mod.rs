//! The embedded backend passes the suite, and does what only files and threads need.

mod crash;
mod events;
mod opening;
mod pressure;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;

use weft_core::clock::ManualClock;
use weft_core::failpoint::Failpoints;

use crate::outbox::OutboxSource;
use crate::sql::conformance::model::{self, Call};
use crate::sql::conformance::{self, Backend};
use crate::sql::{
    Commit, ContextSettings, Database, OpenError, OperationKey, SqlError, SqlHost, SqlSettings, Statement, Value,
};

const START_MS: u64 = 1_800_000_000_000;

/// A host with one context, `school`, on a clock that stands still.
struct Fixture {
    dir: TempDir,
    clock: Arc<ManualClock>,
    host: SqlHost,
}

fn migrations(dir: &Path, files: &[(&str, &str)]) {
    let folder = dir.join("migrations");
    std::fs::create_dir_all(&folder).unwrap();
    for (name, sql) in files {
        std::fs::write(folder.join(name), sql).unwrap();
    }
}

fn open(dir: &Path, clock: &Arc<ManualClock>) -> Result<SqlHost, OpenError> {
    let context = ContextSettings { name: "school".to_owned(), migrations: Some(dir.join("migrations")) };
    SqlHost::open(dir, &[context], Arc::clone(clock) as _, Failpoints::none())
}

fn fixture() -> Fixture {
    let dir = TempDir::new().unwrap();
    let models = crate::projection::conformance::MIGRATION;
    let files = [("0001_conformance.sql", conformance::MIGRATION), ("0002_models.sql", models)];
    migrations(dir.path(), &files);
    let clock = Arc::new(ManualClock::at_ms(START_MS));
    let host = open(dir.path(), &clock).unwrap();
    Fixture { dir, clock, host }
}

impl Backend for Fixture {
    fn database(&self) -> Arc<dyn Database> {
        self.host.database("school").unwrap()
    }

    fn outbox(&self) -> Arc<dyn OutboxSource> {
        self.host.outbox("school").unwrap()
    }

    fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.host.shutdown();
    }
}

fn commit(key: &str, sql: &str, parameters: Vec<Value>) -> Commit {
    Commit {
        key: OperationKey::new("test", key),
        fingerprint: "f".to_owned(),
        statements: vec![Statement::new(sql, parameters)],
        events: Vec::new(),
        answer: Vec::new(),
    }
}

/// A commit that leaves one row in `effects` under its key.
fn effect(key: &str) -> Commit {
    let parameters = vec![Value::Text(key.to_owned())];
    commit(key, "INSERT INTO effects (key, value) VALUES ($1, 1)", parameters)
}

async fn count(database: &dyn Database, table: &str) -> i64 {
    let rows = database.query(format!("SELECT COUNT(*) FROM {table}"), vec![]).await.unwrap();
    let [Value::Int64(count)] = rows.rows[0][..] else { panic!("{rows:?}") };
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passes_the_conformance_suite() {
    conformance::run_all(&fixture()).await;
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let call = prop_oneof![
        (0..4_u8, 0..2_u8, prop::bool::weighted(0.2)).prop_map(|(key, value, fails)| Call::Commit {
            key,
            value,
            fails
        }),
        (0..4_u8, prop::bool::weighted(0.2)).prop_map(|(key, fails)| Call::Revoke { key, fails }),
        (0..4_u8).prop_map(|key| Call::Recorded { key }),
    ];
    prop::collection::vec(call, 1..40)
}

#[test]
fn agrees_with_the_model() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let fixture = fixture();
    let config = ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let runs = std::cell::Cell::new(0_u32);
    let checked = runner.run(&calls(), |calls| {
        runs.set(runs.get() + 1);
        runtime.block_on(model::check(&fixture, &runs.get().to_string(), &calls));
        Ok(())
    });
    checked.unwrap();
}
