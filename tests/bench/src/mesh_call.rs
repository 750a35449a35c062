//! `mesh-call`: one function calls another, each call in a fresh instance of the callee, beside bare wasmtime that makes
//! an instance of the same component and calls the same function. One request makes many calls and times each, so that
//! the request itself does not count.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use weft_tests::http::Client;

use crate::bare::Bare;
use crate::process::Process;
use crate::report::{Label, Row, Run, Settings};
use crate::rounds::{Contender, alternate};
use crate::target;

/// The caller whose callee has a fresh instance for each call.
pub const PATH: &str = "/call-loop";
/// Calls of one request.
const BATCH: usize = 1_000;
const WARM_UP: Duration = Duration::from_millis(500);
const MEASURED: Duration = Duration::from_secs(2);

/// Measures both.
///
/// # Errors
/// If an answer is wrong.
pub fn measure() -> anyhow::Result<Vec<Row>> {
    let platform = target::examples();
    let host = Process(platform.pid());
    let client = platform.client();
    let bare = Bare::new(&target::component("example_greeter.wasm")).map_err(bare_error)?;
    let label = |system, limits| Label {
        bench: "mesh-call",
        system,
        concurrency: 1,
        settings: Settings { reuse: "fresh", flush: "none", limits, how: "" },
    };
    alternate(vec![
        Contender { label: label("weft", "manifest"), run: Box::new(|| timed(host, || batch(client, PATH))) },
        Contender {
            label: label("wasmtime-bare", "none"),
            run: Box::new(|| timed(Process(std::process::id()), || bare.calls(BATCH).map_err(bare_error))),
        },
    ])
}

fn bare_error(error: wasmtime::Error) -> anyhow::Error {
    anyhow::anyhow!("bare wasmtime: {error:#}")
}

/// How long each of a batch of calls took, from inside the calling function.
///
/// # Errors
/// If an answer is wrong.
pub fn batch(client: &Client, path: &str) -> anyhow::Result<Vec<Duration>> {
    let answer = client.get(&format!("{path}?n={BATCH}")).try_send()?;
    ensure!(answer.status == 200, "{path} was answered {}: {}", answer.status, answer.text());
    let body = answer.json();
    let took = body.get("took_ns").and_then(serde_json::Value::as_array).context("no times were answered")?;
    let took: Option<Vec<Duration>> = took.iter().map(|ns| ns.as_u64().map(Duration::from_nanos)).collect();
    let took = took.context("a time is no number")?;
    ensure!(took.len() == BATCH, "{} calls were made, not {BATCH}", took.len());
    Ok(took)
}

/// Batches for a fixed time, after a warm-up.
///
/// # Errors
/// Of the first batch that fails.
pub fn timed(process: Process, mut batch: impl FnMut() -> anyhow::Result<Vec<Duration>>) -> anyhow::Result<Run> {
    let mut for_time = |duration| {
        let (start, mut latencies) = (Instant::now(), Vec::new());
        while start.elapsed() < duration {
            latencies.append(&mut batch()?);
        }
        anyhow::Ok((start.elapsed(), latencies))
    };
    for_time(WARM_UP)?;
    let cpu = process.cpu()?;
    let (elapsed, mut latencies) = for_time(MEASURED)?;
    let cpu = process.cpu()?.saturating_sub(cpu);
    latencies.sort_unstable();
    Ok(Run { elapsed, count: latencies.len() as u64, latencies, cpu, ..Run::default() })
}
