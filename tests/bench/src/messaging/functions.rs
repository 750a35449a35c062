//! `publish-function` and `consume-function`: the same events from inside functions of a host that runs as it ships. The
//! backlog is made, and what is left is looked at, by the broker in this process while the host does not run.

use std::cell::Cell;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use weft_tests::platform::{Options, Platform};
use weft_tests::repository;

use super::engine::{Engine, TOPIC};
use super::weft::Weft;
use super::workload;
use crate::load::{Exchange, drive};
use crate::process::{Process, Usage};
use crate::report::{Label, Run, Settings};
use crate::rounds::Contender;
use crate::target;

/// Requests at once, and events that each publishes.
const REQUESTS: usize = 16;
const EVENTS_OF_REQUEST: u64 = 100;
/// Events of the backlog, between the two that are told to the bench.
const BACKLOG: u64 = 100_000;
/// No host takes so long for them.
const HANDLED_WITHIN: Duration = Duration::from_secs(300);

/// A subscription of `tests/bench/events.toml`.
#[derive(Clone, Copy)]
struct Handling {
    component: &'static str,
    topic: &'static str,
}

const PUBLISH_HOW: &str = "the host as it ships; 16 requests at once to a function whose instances are reused, each publishes \
                           100 events by as many calls at once and answers when all are durable; latencies are those of \
                           requests";
const TOGETHER_HOW: &str = "as publish-function, but each request publishes its events by one call";
const CONSUME_HOW: &str = "the host as it ships; each event is handled in a fresh instance, 64 at once";
const BATCH_HOW: &str = "the host as it ships; a call brings up to 100 events, in a fresh instance, 16 at once";

/// The benches.
pub fn contenders() -> [Contender<'static>; 4] {
    let label = |bench, concurrency, reuse, how| {
        let settings = Settings { reuse, flush: "commit", limits: "manifest", how };
        Label { bench, system: "weft", concurrency, settings }
    };
    let single = Handling { component: "events-handle", topic: "bench.backlog" };
    let batch = Handling { component: "events-handle-batch", topic: "bench.batches" };
    [
        Contender {
            label: label("publish-function", REQUESTS, "128x16", PUBLISH_HOW),
            run: Box::new(|| publish(false)),
        },
        Contender {
            label: label("publish-function-batch", REQUESTS, "128x16", TOGETHER_HOW),
            run: Box::new(|| publish(true)),
        },
        Contender {
            label: label("consume-function", 64, "fresh", CONSUME_HOW),
            run: Box::new(move || consume(single)),
        },
        Contender {
            label: label("consume-function-batch", 16, "fresh", BATCH_HOW),
            run: Box::new(move || consume(batch)),
        },
    ]
}

fn options(bench: SocketAddr) -> Options {
    let manifest = repository::root().join("tests/bench/events.toml");
    Options { manifest, ..Options::default() }.env("SPIN_VARIABLE_BENCH_ADDRESS", &bench.to_string())
}

/// How many events a second functions get acknowledged. What they published has to be in the log, each once.
fn publish(together: bool) -> anyhow::Result<Run> {
    let mut platform = Platform::start_with(&options(SocketAddr::from((Ipv4Addr::LOCALHOST, 9))));
    let requests = Cell::new(0);
    let run = drive(&target::server(&platform, true)?, REQUESTS, |number| {
        requests.set(requests.get() + 1);
        let from = number * EVENTS_OF_REQUEST;
        Exchange {
            method: Method::POST,
            path: format!("/events?from={from}&count={EVENTS_OF_REQUEST}&together={together}"),
            headers: Vec::new(),
            body: Bytes::new(),
            is_right: Box::new(|status, body| {
                let body: Option<Value> = serde_json::from_slice(body).ok();
                status == StatusCode::OK && body == Some(json!({ "published": EVENTS_OF_REQUEST }))
            }),
        }
    })?;
    ensure!(platform.stop().success(), "the host did not end well");
    let all = requests.get() * EVENTS_OF_REQUEST;
    Runtime::new()?.block_on(async {
        let log = Arc::new(Weft::start(platform.data(), "bench", TOPIC)?);
        workload::draining(log, all).await.context("what was published")
    })?;
    Ok(Run { count: run.count * EVENTS_OF_REQUEST, ..run })
}

/// How many events a second of a backlog are handled by functions. After that none may be left.
fn consume(by: Handling) -> anyhow::Result<Run> {
    let mut platform = Platform::stopped();
    fill(platform.data(), by.topic)?;
    let (bench, told) = listen()?;
    platform.run(&options(bench)).map_err(anyhow::Error::msg)?;
    let processes = [Process(platform.pid())];
    let at = |path: &str| {
        let (said, at) = told.recv_timeout(HANDLED_WITHIN).with_context(|| format!("{path} was not handled"))?;
        ensure!(said == path, "{said} was handled when {path} was waited for");
        anyhow::Ok((at, Usage::of(&processes)?))
    };
    let (start, before) = at("/first")?;
    let (end, after) = at("/last")?;
    ensure!(platform.stop().success(), "the host did not end well");
    left(platform.data(), by)?;
    let run = Run { elapsed: end.duration_since(start), count: BACKLOG, ..Run::default() };
    Ok(run.with_usage(&before, &after, false))
}

fn fill(data: &Path, topic: &'static str) -> anyhow::Result<()> {
    std::fs::create_dir_all(data)?;
    Runtime::new()?.block_on(async {
        let log = Arc::new(Weft::start(data, "bench", topic)?);
        log.publish_named("first", BACKLOG).await?;
        let engine: Arc<dyn Engine> = Arc::clone(&log) as _;
        workload::fill(&engine, BACKLOG).await?;
        log.publish_named("last", BACKLOG + 1).await?;
        engine.close().await
    })
}

/// That the functions have left nothing, and refused nothing.
fn left(data: &Path, by: Handling) -> anyhow::Result<()> {
    Runtime::new()?.block_on(async {
        let log = Arc::new(Weft::start(data, by.component, by.topic)?);
        workload::draining(Arc::clone(&log) as _, 0).await.context("what was not handled")?;
        log.nothing_refused().await
    })
}

/// Where the function tells the bench what it handles, and what it has told when.
fn listen() -> anyhow::Result<(SocketAddr, Receiver<(String, Instant)>)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let (tell, told) = channel();
    // Ends when nobody listens to it any more, or with this process.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(path) = stream.and_then(answer) else { continue };
            if tell.send((path, Instant::now())).is_err() {
                return;
            }
        }
    });
    Ok((address, told))
}

/// Answers one request: its path.
fn answer(mut stream: TcpStream) -> std::io::Result<String> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    // The fields end with an empty line.
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")?;
    Ok(request.split(' ').nth(1).unwrap_or_default().to_owned())
}
