//! `rebuild`: a read model is made anew out of a million events by a function of a host that runs as it ships, while the
//! live one stays. The events are put into the context's store by this process, before the host runs.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use tokio::runtime::Runtime;

use weft_capability::events::{Append, EventStore, ExpectedVersion, NewEvent};
use weft_capability::sql::{Commit, ContextSettings, OperationKey, SqlHost};
use weft_core::clock::SystemClock;
use weft_core::failpoint::Failpoints;
use weft_tests::platform::{Options, Platform};
use weft_tests::repository;

use crate::process::{Process, Usage};
use crate::report::Run;

const EVENTS: u64 = 1_000_000;
/// Events of an append that fills the store.
const FILL: u64 = 1_000;
const COURSES: u64 = 20;
const CONTEXT: &str = "assessment";
const PROJECTION: &str = "assessment-results/results@1";
/// No host takes so long for it.
const WITHIN: Duration = Duration::from_secs(600);
/// Between two looks at it.
const LOOK: Duration = Duration::from_millis(50);

/// How it is set up.
pub const HOW: &str = "the host as it ships; steps of 1,000 events, each in a fresh instance; every event is decoded and \
                       counted by the function; the store lies in SQLite";

/// Rebuilds once, and checks what came of it.
///
/// # Errors
/// If an event is missing or counted twice, or the host ends.
pub fn measure() -> anyhow::Result<Run> {
    let mut platform = Platform::stopped();
    std::fs::create_dir_all(platform.data())?;
    Runtime::new()?.block_on(fill(platform.data()))?;
    let manifest = repository::root().join("tests/bench/projection.toml");
    platform.run(&Options { manifest, ..Options::default() }).map_err(anyhow::Error::msg)?;
    until(&platform, "the first run", |entry| entry["lag"] == 0)?;
    let processes = [Process(platform.pid())];
    let before = Usage::of(&processes)?;
    let (rebuilt, _, why) = platform.weft(&["projections", "rebuild", PROJECTION]);
    let began = Instant::now();
    ensure!(rebuilt.success(), "{why}");
    until(&platform, "the rebuild", |entry| entry["rebuild"].is_null())?;
    let run = Run { elapsed: began.elapsed(), count: EVENTS, ..Run::default() };
    let run = run.with_usage(&before, &Usage::of(&processes)?, true);
    ensure!(platform.stop().success(), "the host did not end well");
    Runtime::new()?.block_on(check(platform.data()))?;
    Ok(run)
}

fn until(platform: &Platform, what: &str, reached: impl Fn(&Value) -> bool) -> anyhow::Result<()> {
    let deadline = Instant::now() + WITHIN;
    loop {
        let (status, stdout, why) = platform.weft(&["projections", "list", "--json"]);
        ensure!(status.success(), "{why}");
        let all: Vec<Value> = serde_json::from_str(&stdout)?;
        let entry = all.iter().find(|entry| entry["id"] == PROJECTION).context("there is no such projection")?;
        if reached(entry) {
            return Ok(());
        }
        if entry["state"] == "failing" || Instant::now() > deadline {
            bail!("{what} does not end: {entry}");
        }
        std::thread::sleep(LOOK);
    }
}

fn open(data: &Path) -> anyhow::Result<SqlHost> {
    let migrations = repository::root().join("components/assessment/migrations");
    let context = ContextSettings { name: CONTEXT.to_owned(), migrations: Some(migrations) };
    Ok(SqlHost::open(
        data,
        &[context],
        Arc::new(SystemClock::new(|duration| Box::pin(tokio::time::sleep(duration)))),
        Failpoints::none(),
    )?)
}

async fn fill(data: &Path) -> anyhow::Result<()> {
    let host = open(data)?;
    let store: Arc<dyn EventStore> = host.events(CONTEXT).context("the context was opened")?;
    for number in 0..EVENTS / FILL {
        let events = (0..FILL).map(|event| submission(number, event)).collect();
        let commit = Commit {
            key: OperationKey::new("bench", number.to_string()),
            fingerprint: String::new(),
            statements: Vec::new(),
            events: Vec::new(),
            answer: Vec::new(),
        };
        let stream = format!("student-{number}");
        store.append(commit, vec![Append { stream, expected: ExpectedVersion::NoStream, events }]).await?;
    }
    // What is published is not measured here: nobody has to carry it into the message log.
    let outbox = host.outbox(CONTEXT).context("the context was opened")?;
    while let Some(last) = outbox.pending(10_000).await?.last().map(|event| event.position) {
        outbox.forwarded(last).await?;
    }
    drop((store, outbox));
    tokio::task::spawn_blocking(move || host.shutdown()).await?;
    Ok(())
}

fn submission(student: u64, assessment: u64) -> NewEvent {
    let course = (student + assessment) % COURSES;
    let data = format!(
        r#"{{"student_id":"{student}","assessment_id":"{assessment}","course":"C{course:02}-2026A","submitted_day":7,"banked":false,"score":{}}}"#,
        assessment % 101
    );
    NewEvent {
        id: None,
        kind: "education.assessment.submitted".to_owned(),
        topic: "assessment.submitted".to_owned(),
        correlation_id: None,
        causation_id: None,
        traceparent: None,
        metadata: None,
        data: data.into_bytes(),
    }
}

/// That every event was counted, each once.
async fn check(data: &Path) -> anyhow::Result<()> {
    let host = open(data)?;
    let database = host.database(CONTEXT).context("the context was opened")?;
    let sql = "SELECT sum(submitted) AS submitted, count(*) AS courses FROM assessment_results";
    let rows = database.query(sql.to_owned(), Vec::new()).await?;
    drop(database);
    tokio::task::spawn_blocking(move || host.shutdown()).await?;
    let expected = vec![i64::try_from(EVENTS)?, i64::try_from(COURSES)?].into_iter();
    let expected: Vec<_> = expected.map(weft_capability::sql::Value::Int64).collect();
    ensure!(rows.rows.first() == Some(&expected), "the read model has {:?}", rows.rows);
    Ok(())
}
