//! `publish-*`, `latency-10000`, `consume`, `in-and-out`, `drain`: events of 256 bytes in and out of the message log by the
//! host's own API, beside NATS JetStream and Redis Streams with `--peers`; `publish-function` and `consume-function`
//! from inside functions. Owns what is compared; each system is a module.

mod engine;
mod functions;
#[cfg(feature = "peers")]
mod jetstream;
#[cfg(feature = "peers")]
mod peers;
#[cfg(feature = "peers")]
mod redis;
mod seen;
mod weft;
mod workload;

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use futures::future::BoxFuture;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::report::{Label, Row, Run, Settings};
use crate::rounds::{Contender, alternate};
use engine::Engine;
use weft::Weft;

const PUBLISHERS: [(&str, usize); 3] = [("publish-1", 1), ("publish-64", 64), ("publish-1000", 1_000)];
const WEFT: &str = "weft";
const LATENCY: &str = "latency-10000";
const CONSUME: &str = "consume";
const IN_AND_OUT: &str = "in-and-out";
const DRAIN: &str = "drain";
/// Events in the backlog of `consume`.
const BACKLOG: u64 = 500_000;
/// Events in the backlog of `drain`, with peers and without them; [`DRAIN_VARIABLE`] says another number.
const DRAIN_WITH_PEERS: u64 = 10_000_000;
const DRAIN_ALONE: u64 = 1_000_000;
const DRAIN_VARIABLE: &str = "WEFT_BENCH_DRAIN";

/// A system that starts.
type Starting = BoxFuture<'static, anyhow::Result<Arc<dyn Engine>>>;

/// What starts one.
type Start = Box<dyn Fn(&Path, bool) -> Starting>;

/// What is compared.
struct System {
    name: &'static str,
    flush: &'static str,
    how: &'static str,
    /// Starts it on the data in a folder; if told to be careless, it flushes when it likes, for a backlog that is not
    /// measured.
    start: Start,
}

impl System {
    fn label(&self, bench: &'static str, concurrency: usize) -> Label {
        let settings = Settings { reuse: "", flush: self.flush, limits: "none", how: self.how };
        Label { bench, system: self.name, concurrency, settings }
    }

    /// Measures it once on fresh data, after a backlog of so many events was made.
    fn run<F: Future<Output = anyhow::Result<Run>>>(
        &self,
        backlog: u64,
        workload: impl FnOnce(Arc<dyn Engine>) -> F,
    ) -> anyhow::Result<Run> {
        let folder = folder()?;
        let runtime = Runtime::new()?;
        if backlog > 0 {
            runtime.block_on(async {
                let engine = (self.start)(folder.path(), true).await?;
                workload::fill(&engine, backlog).await.context("the backlog")?;
                engine.close().await
            })?;
        }
        // Another runtime, so that nothing of what made the backlog is left.
        drop(runtime);
        let runtime = Runtime::new()?;
        runtime.block_on(async {
            let engine = (self.start)(folder.path(), false).await?;
            let run = workload(Arc::clone(&engine)).await?;
            engine.close().await?;
            Ok(run)
        })
    }
}

/// Where data lies: on the disk of the repository, for `/tmp` may be memory.
fn folder() -> anyhow::Result<TempDir> {
    Ok(tempfile::Builder::new().prefix("weft-bench-messaging-").tempdir_in(crate::install::target())?)
}

/// Measures all benches whose names begin with `only`.
///
/// # Errors
/// If an event is refused, lost or comes twice, or a system that could be installed does not run.
pub fn measure(with_peers: bool, only: &str) -> anyhow::Result<Vec<Row>> {
    let systems = systems(with_peers)?;
    let wanted = |bench: &str| bench.starts_with(only);
    let mut contenders: Vec<Contender<'_>> = Vec::new();
    for system in &systems {
        for (bench, publishers) in PUBLISHERS {
            let run = move || system.run(0, |engine| workload::publishing(engine, publishers));
            contenders.push(Contender { label: system.label(bench, publishers), run: Box::new(run) });
        }
        let [.., (_, most)] = PUBLISHERS;
        let in_and_out = move || system.run(0, |engine| workload::in_and_out(engine, most));
        contenders.push(Contender { label: system.label(IN_AND_OUT, most), run: Box::new(in_and_out) });
        let latency = || system.run(0, workload::steady);
        contenders.push(Contender { label: system.label(LATENCY, 0), run: Box::new(latency) });
        let consume = || system.run(BACKLOG, |engine| workload::draining(engine, BACKLOG));
        contenders.push(Contender { label: system.label(CONSUME, 1), run: Box::new(consume) });
    }
    contenders.extend(functions::contenders());
    contenders.retain(|contender| wanted(contender.label.bench));
    // Those of one bench next to each other; the order of the benches stays.
    let order: Vec<&str> = contenders.iter().map(|contender| contender.label.bench).collect();
    contenders.sort_by_key(|contender| order.iter().position(|bench| *bench == contender.label.bench));
    let mut rows = alternate(contenders)?;
    if wanted(DRAIN) {
        rows.extend(drain(&systems, with_peers)?);
    }
    Ok(rows)
}

/// Once each: Weft, and of the peers those that need not flush, for it makes no difference to reading.
fn drain(systems: &[System], with_peers: bool) -> anyhow::Result<Vec<Row>> {
    let count = match std::env::var(DRAIN_VARIABLE) {
        Ok(count) => count.parse().with_context(|| format!("{DRAIN_VARIABLE} is a number of events, not {count:?}"))?,
        Err(_) if with_peers => DRAIN_WITH_PEERS,
        Err(_) => DRAIN_ALONE,
    };
    let drained = systems.iter().filter(|system| system.name == WEFT || system.flush != "commit");
    let mut rows = Vec::new();
    for system in drained {
        let run = system.run(count, |engine| workload::draining(engine, count)).context(system.name)?;
        eprintln!("drain of {count} events by {}: {:.0} per s", system.name, run.per_s());
        rows.push(Row { label: system.label(DRAIN, 1), run });
    }
    Ok(rows)
}

/// Weft first, then the peers that can be had.
fn systems(with_peers: bool) -> anyhow::Result<Vec<System>> {
    let mut systems = vec![System { name: WEFT, flush: "commit", how: weft::HOW, start: Box::new(start_weft) }];
    if with_peers {
        systems.extend(peers()?);
    }
    Ok(systems)
}

fn start_weft(folder: &Path, _careless: bool) -> Starting {
    let started = Weft::start(folder, "bench", engine::TOPIC);
    Box::pin(async move { Ok(Arc::new(started?) as Arc<dyn Engine>) })
}

#[cfg(feature = "peers")]
fn peers() -> anyhow::Result<Vec<System>> {
    Ok(peers::systems())
}

#[cfg(not(feature = "peers"))]
fn peers() -> anyhow::Result<Vec<System>> {
    anyhow::bail!("the clients of NATS and Redis are not built in: `scripts/bench messaging --peers` does that")
}
