//! `overload-1x` to `overload-5x`: answers in time when more comes than can be done, with the adaptive limit and without it, and
//! how fast the probes of the host are answered meanwhile. What can be done at all is found first, by a few clients that wait
//! for each answer.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{anyhow, ensure};
use bytes::Bytes;
use hyper::{Method, StatusCode};
use weft_tests::platform::{Options, Platform};
use weft_tests::repository;

use crate::load::{self, Exchange, Server};
use crate::open_loop::{Load, Sample, drive};
use crate::process::{Process, Usage};
use crate::report::{Label, Row, Run, Settings};
use crate::rounds::{Contender, alternate};
use crate::target;

const PATH: &str = "/hostile?do=compute";
const PROBES: [&str; 2] = ["/livez", "/readyz"];
/// Clients that wait for each answer, enough for two cores.
const CLIENTS: usize = 4;
/// So much of what can be done comes at once the load.
const SUSTAINED: f64 = 0.9;
const FACTORS: [(&str, f64); 3] = [("overload-1x", 1.0), ("overload-2x", 2.0), ("overload-5x", 5.0)];
/// How long a user waits.
const PATIENCE: Duration = Duration::from_millis(250);
/// Before what counts.
const SETTLING: Duration = Duration::from_secs(4);
const MEASURED: Duration = Duration::from_secs(8);
const PROBE_EVERY: Duration = Duration::from_millis(20);

/// Measures it.
///
/// # Errors
/// If a probe is not answered, or an answer is wrong.
pub fn measure() -> anyhow::Result<Vec<Row>> {
    let with = start("spin.toml")?;
    let without = start("without.toml")?;
    let with = (target::server(&with, false)?, with);
    let without = (target::server(&without, false)?, without);
    let per_s = load::drive(&with.0, CLIENTS, |_| computed())?.per_s() * SUSTAINED;
    eprintln!("sustained load: {per_s:.0} per s");
    let mut contenders = Vec::new();
    for (bench, factor) in FACTORS {
        for (system, limits, (server, _)) in
            [("weft", "adaptive", &with), ("weft-unlimited", "without-adaptive", &without)]
        {
            let settings = Settings { reuse: "128x1", flush: "none", limits, how: HOW };
            contenders.push(Contender {
                label: Label { bench, system, concurrency: 0, settings },
                run: Box::new(move || overload(server, per_s * factor)),
            });
        }
    }
    let mut rows = alternate(contenders)?;
    let best = rows.iter().map(|row| row.run.per_s()).fold(0.0, f64::max);
    for row in &mut rows {
        let share = row.run.per_s() / best * 100.0;
        row.run.extra.push(("of_best_percent", share));
    }
    Ok(rows)
}

const HOW: &str =
    "per_s are answers within 250 ms; the load comes at a given rate from one thread that shares the cores";

fn start(file: &str) -> anyhow::Result<Platform> {
    let manifest = repository::root().join("tests/bench/overload").join(file);
    let options = Options { manifest, ..Options::default() };
    let mut platform = Platform::start_with(&options);
    // A host that has just compiled its components is slower for some seconds.
    platform.stop();
    platform.run(&options).map_err(|why| anyhow!("the host does not start again: {why}"))?;
    Ok(platform)
}

fn computed() -> Exchange {
    Exchange {
        method: Method::GET,
        path: PATH.to_owned(),
        headers: Vec::new(),
        body: Bytes::new(),
        is_right: Box::new(|status, _| status == StatusCode::NO_CONTENT),
    }
}

fn overload(server: &Server, per_s: f64) -> anyhow::Result<Run> {
    let load = Load { address: server.address, path: PATH, per_s, patience: PATIENCE };
    let own = Process(std::process::id());
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let probing = scope.spawn(|| probe(server, &is_over));
        let run = (|| {
            drive(load, SETTLING)?;
            let (before, own_before) = (Usage::of(&server.processes)?, own.cpu()?);
            let samples = drive(load, MEASURED)?;
            let run = summed_up(&samples)?.with_usage(&before, &Usage::of(&server.processes)?, false);
            let generator = (own.cpu()? - own_before).as_secs_f64() / MEASURED.as_secs_f64();
            anyhow::Ok((run, generator))
        })();
        is_over.store(true, Relaxed);
        let mut probes = probing.join().map_err(|_| anyhow!("the probes have panicked"))??;
        let (mut run, generator): (Run, f64) = run?;
        probes.sort_unstable();
        let p99 = probes.get(probes.len() * 99 / 100).copied().unwrap_or_default();
        run.extra.push(("offered_per_s", per_s));
        run.extra.push(("probe_p99_ms", p99.as_secs_f64() * 1e3));
        run.extra.push(("generator_cores", generator));
        Ok(run)
    })
}

/// Answers in time, and what has become of the rest.
fn summed_up(samples: &[Sample]) -> anyhow::Result<Run> {
    let mut latencies = Vec::new();
    let (mut refused, mut late) = (0_u32, 0_u32);
    for sample in samples {
        match &sample.answer {
            Some((StatusCode::NO_CONTENT, _)) => latencies.push(sample.took),
            Some((StatusCode::SERVICE_UNAVAILABLE, _)) => refused += 1,
            Some((status, body)) => {
                ensure!(*status == StatusCode::GATEWAY_TIMEOUT, "{status}: {}", String::from_utf8_lossy(body));
                late += 1;
            }
            None => late += 1,
        }
    }
    latencies.sort_unstable();
    let all = f64::from(u32::try_from(samples.len())?);
    let percent = |count: u32| f64::from(count) / all * 100.0;
    let extra = vec![("refused_percent", percent(refused)), ("late_percent", percent(late))];
    Ok(Run { elapsed: MEASURED, count: latencies.len() as u64, latencies, extra, ..Run::default() })
}

/// Asks whether the host lives and is ready, until it is over. Each has to say so.
fn probe(server: &Server, is_over: &AtomicBool) -> anyhow::Result<Vec<Duration>> {
    let client = weft_tests::http::Client::new(&format!("http://{}", server.address));
    let mut took = Vec::new();
    for path in PROBES.into_iter().cycle() {
        if is_over.load(Relaxed) {
            break;
        }
        let start = Instant::now();
        let answer = client.get(path).try_send()?;
        took.push(start.elapsed());
        ensure!(answer.status == 200, "{path}: {}", answer.text());
        std::thread::park_timeout(PROBE_EVERY);
    }
    Ok(took)
}
