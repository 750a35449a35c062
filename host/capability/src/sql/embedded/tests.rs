//! The embedded backend passes the suite, and does what only files and threads need.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;

use weft_core::clock::ManualClock;
use weft_core::failpoint::Failpoints;

use super::super::conformance::model::{self, Call};
use super::super::conformance::{self, Backend};
use super::super::{
    Commit, ContextSettings, Database, OpenError, OperationKey, SqlError, SqlHost, SqlSettings, Statement, Value,
};
use crate::outbox::OutboxSource;

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
    migrations(dir.path(), &[("0001_conformance.sql", conformance::MIGRATION)]);
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
    let mut runs = 0..;
    let config = ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let runs = std::cell::RefCell::new(&mut runs);
    let checked = runner.run(&calls(), |calls| {
        let run: u64 = runs.borrow_mut().next().unwrap();
        runtime.block_on(model::check(&fixture, &run.to_string(), &calls));
        Ok(())
    });
    checked.unwrap();
}
