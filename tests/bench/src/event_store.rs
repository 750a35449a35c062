//! `append-64`, `read-all`, `read-model`: the event store and the read models of one context by the host's own API;
//! `rebuild`: a projection by a function.
//! Appends are of one event of 256 bytes to a stream of its own; `read-all` reads a million events in pages of 1,000;
//! `read-model` counts the statements of steps of 1,000.

mod rebuild;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use weft_capability::events::{Append, Direction, EventStore, ExpectedVersion, Filter, NewEvent, limits};
use weft_capability::projection::{Advance, Model, Reader};
use weft_capability::sql::{Commit, ContextSettings, OperationKey, SqlHost, Statement, Value};
use weft_core::clock::SystemClock;
use weft_core::failpoint::Failpoints;

use crate::process::{Process, Usage};
use crate::report::{Label, Row, Run, Settings};
use crate::rounds::{Contender, alternate};

const WRITERS: usize = 64;
const WARM_UP: Duration = Duration::from_millis(500);
const MEASURED: Duration = Duration::from_secs(3);
/// Events that `read-all` reads.
const EVENTS: u64 = 1_000_000;
/// Events of an append that fills the store.
const FILL: u64 = 1_000;
const STEPS: u64 = 200;
const STATEMENTS: i64 = 1_000;
const CONTEXT: &str = "bench";
const MIGRATION: &str = "CREATE TABLE totals (id BIGINT PRIMARY KEY, amount BIGINT NOT NULL, label TEXT NOT NULL);";

/// Measures all of them.
///
/// # Errors
/// If anything is refused, or an event is missing.
pub fn measure() -> anyhow::Result<Vec<Row>> {
    let label = |bench, concurrency| Label {
        bench,
        system: "weft",
        concurrency,
        settings: Settings { reuse: "", flush: "commit", limits: "none", how: "SQLite, in one process" },
    };
    let settings = Settings { reuse: "fresh", flush: "commit", limits: "manifest", how: rebuild::HOW };
    let rebuild = Label { bench: "rebuild", system: "weft", concurrency: 1, settings };
    alternate(vec![
        Contender { label: label("append-64", WRITERS), run: Box::new(|| run(append)) },
        Contender { label: label("read-all", 1), run: Box::new(|| run(read)) },
        Contender { label: label("read-model", 1), run: Box::new(|| run(advance)) },
        Contender { label: rebuild, run: Box::new(rebuild::measure) },
    ])
}

fn run<F: Future<Output = anyhow::Result<Run>>>(work: impl FnOnce(Arc<SqlHost>) -> F) -> anyhow::Result<Run> {
    let folder = tempfile::Builder::new().prefix("weft-bench-events-").tempdir_in(crate::install::target())?;
    Runtime::new()?.block_on(async {
        let host = Arc::new(open(folder.path())?);
        let run = work(Arc::clone(&host)).await;
        tokio::task::spawn_blocking(move || host.shutdown()).await?;
        run
    })
}

fn open(folder: &Path) -> anyhow::Result<SqlHost> {
    let migrations = folder.join("migrations");
    std::fs::create_dir(&migrations)?;
    std::fs::write(migrations.join("0001_bench.sql"), MIGRATION)?;
    let clock = Arc::new(SystemClock::new(|duration| Box::pin(tokio::time::sleep(duration))));
    let context = ContextSettings { name: CONTEXT.to_owned(), migrations: Some(migrations) };
    Ok(SqlHost::open(folder, &[context], clock, Failpoints::none())?)
}

fn store(host: &SqlHost) -> anyhow::Result<Arc<dyn EventStore>> {
    host.events(CONTEXT).context("the context was opened")
}

fn usage() -> anyhow::Result<Usage> {
    Usage::of(&[Process(std::process::id())])
}

fn appending(key: String, stream: String, events: u64) -> (Commit, Vec<Append>) {
    let event = NewEvent {
        id: None,
        kind: "bench.made".to_owned(),
        topic: "bench.made".to_owned(),
        correlation_id: None,
        causation_id: None,
        traceparent: None,
        metadata: None,
        data: format!("\"{}\"", "x".repeat(254)).into_bytes(),
    };
    let events = (0..events).map(|_| event.clone()).collect();
    let commit = Commit {
        key: OperationKey::new("bench", key),
        fingerprint: String::new(),
        statements: Vec::new(),
        events: Vec::new(),
        answer: Vec::new(),
    };
    (commit, vec![Append { stream, expected: ExpectedVersion::NoStream, events }])
}

/// Writers that each append one event after the other, and wait for each.
async fn append(host: Arc<SqlHost>) -> anyhow::Result<Run> {
    let start = Instant::now() + WARM_UP;
    let end = start + MEASURED;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let store = store(&host)?;
        writers.spawn(async move {
            let mut latencies = Vec::new();
            for number in 0_u64.. {
                let began = Instant::now();
                if began >= end {
                    break;
                }
                let (commit, appends) = appending(format!("{writer}-{number}"), format!("bench-{writer}-{number}"), 1);
                store.append(commit, appends).await?;
                if began >= start {
                    latencies.push(began.elapsed());
                }
            }
            anyhow::Ok(latencies)
        });
    }
    tokio::time::sleep_until(start.into()).await;
    let before = usage()?;
    let mut latencies = Vec::new();
    while let Some(writer) = writers.join_next().await {
        latencies.extend(writer??);
    }
    let elapsed = start.elapsed();
    latencies.sort();
    let run = Run { elapsed, count: u64::try_from(latencies.len())?, latencies, ..Run::default() };
    Ok(run.with_usage(&before, &usage()?, true))
}

/// All events by position.
async fn read(host: Arc<SqlHost>) -> anyhow::Result<Run> {
    let store = store(&host)?;
    for number in 0..EVENTS / FILL {
        let (commit, appends) = appending(number.to_string(), format!("bench-{number}"), FILL);
        store.append(commit, appends).await?;
    }
    let (before, began) = (usage()?, Instant::now());
    let (mut next, mut count, mut latencies) = (Some(1), 0, Vec::new());
    while let Some(position) = next {
        let page_began = Instant::now();
        let page = store.read_all(position, Direction::Forward, Filter::default(), limits::READ).await?;
        latencies.push(page_began.elapsed());
        count += u64::try_from(page.events.len())?;
        next = page.next;
    }
    anyhow::ensure!(count == EVENTS, "{count} of {EVENTS} events were read");
    latencies.sort();
    let run = Run { elapsed: began.elapsed(), count, latencies, ..Run::default() };
    Ok(run.with_usage(&before, &usage()?, false))
}

/// Steps of a projection that adds up.
async fn advance(host: Arc<SqlHost>) -> anyhow::Result<Run> {
    let models = host.read_models(CONTEXT).context("the context was opened")?;
    let reader = Reader { id: "bench/totals@1".to_owned(), tables: vec!["totals".to_owned()] };
    let (before, began, mut latencies) = (usage()?, Instant::now(), Vec::new());
    for step in 0..STEPS {
        let add = |row: i64| {
            let sql = "INSERT INTO totals (id, amount, label) VALUES ($1, $2, $3) \
                       ON CONFLICT (id) DO UPDATE SET amount = totals.amount + excluded.amount";
            let id = (row * 7_919 + i64::try_from(step).unwrap_or_default()) % 20_000;
            Statement::new(sql, vec![Value::Int64(id), Value::Int64(1), Value::Text("a label".to_owned())])
        };
        let statements = (0..STATEMENTS).map(add).collect();
        let step_began = Instant::now();
        let expected = (step > 0).then_some(step);
        models
            .advance(Advance { reader: reader.clone(), model: Model::Live, expected, next: step + 1, statements })
            .await?;
        latencies.push(step_began.elapsed());
    }
    latencies.sort();
    let count = STEPS * u64::try_from(STATEMENTS)?;
    let run = Run { elapsed: began.elapsed(), count, latencies, ..Run::default() };
    Ok(run.with_usage(&before, &usage()?, true))
}
