//! `failures-half`, `-slow`, `-dead`: what users of a page see when the function that makes an optional part of it fails half of its
//! calls, takes too long, or is not there; how often it is called then, and how long after its recovery the page is whole
//! again. Faults are those of `weft chaos`; all policies have their defaults.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, ensure};
use hyper::StatusCode;
use serde_json::Value;
use weft_tests::platform::{Options, Platform};
use weft_tests::repository;

use crate::open_loop::{Load, Sample, drive};
use crate::report::{Label, Row, Run, Settings};
use crate::target;

const PAGE: &str = "/page?name=Ada";
const WHOLE: &str = "{\"greeting\":\"Hello, Ada!\",\"title\":\"A page\"}";
const WITHOUT: &str = "{\"greeting\":null,\"title\":\"A page\"}";
const CALLEE: &str = "greeter";
const PER_S: f64 = 200.0;
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a fault lasts, and how long its recovery is watched: longer than a breaker stays open.
const FAULT: Duration = Duration::from_secs(20);
const AFTER: Duration = Duration::from_secs(40);
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Whole pages in a row that make it whole again: half a second of them.
const WHOLE_AGAIN: usize = 100;

const PHASES: [(&str, &[&str]); 4] = [
    ("failures-none", &[]),
    ("failures-half", &["--percent", "50", "--abort", "unavailable"]),
    ("failures-slow", &["--delay", "2s"]),
    ("failures-dead", &["--abort", "unavailable"]),
];

/// What `weft breakers list` says of the callee.
#[derive(Clone, Copy, Debug, Default)]
struct Calls {
    asked: u64,
    refused: u64,
    again: u64,
    opened: u64,
}

impl Calls {
    /// Calls that were really tried.
    fn tried(self) -> u64 {
        self.asked - self.refused + self.again
    }
}

/// Measures it.
///
/// # Errors
/// If an answer is neither the page nor a refusal.
pub fn measure() -> anyhow::Result<Vec<Row>> {
    let manifest = repository::root().join("tests/bench/failures/spin.toml");
    let platform = Platform::start_with(&Options { manifest, ..Options::default() });
    let server = target::server(&platform, false)?;
    let load = Load { address: server.address, path: PAGE, per_s: PER_S, patience: PATIENCE };
    // Compiled code is read, connections are open.
    drive(load, Duration::from_secs(2))?;
    let mut rows = Vec::new();
    for (bench, fault) in PHASES {
        let settings = Settings { reuse: "fresh", flush: "none", limits: "manifest", how: HOW };
        let run = phase(&platform, load, fault).with_context(|| bench.to_owned())?;
        eprintln!("{bench}: {:?}", run.extra);
        rows.push(Row { label: Label { bench, system: "weft", concurrency: 0, settings }, run });
    }
    Ok(rows)
}

const HOW: &str = "200 requests a second for 20 s under the fault, 1 s of patience; recovery_s from when the fault is lifted; one run";

fn phase(platform: &Platform, load: Load, fault: &[&str]) -> anyhow::Result<Run> {
    let before = calls(platform)?;
    if !fault.is_empty() {
        weft(platform, &[&["chaos", "add", "--callee", CALLEE], fault].concat())?;
    }
    let (samples, open) = watched(platform, || drive(load, FAULT))?;
    let after = calls(platform)?;
    let mut run = summed_up(&samples)?;
    let requests = f64::from(u32::try_from(samples.len())?);
    let number = |count: u64| count as f64;
    let tried = number(after.tried() - before.tried());
    run.extra.push(("calls_per_request", tried / requests));
    run.extra
        .push(("made_again_percent", number(after.again - before.again) / number(after.asked - before.asked) * 100.0));
    run.extra.push(("refused_by_breaker_percent", number(after.refused - before.refused) / requests * 100.0));
    run.extra.push(("breaker_opened", number(after.opened - before.opened)));
    run.extra.push(("breaker_not_closed_s", open.as_secs_f64()));
    if !fault.is_empty() {
        weft(platform, &["chaos", "clear"])?;
        let samples = drive(load, AFTER)?;
        summed_up(&samples)?;
        run.recovery = Some(recovery(&samples).context("the page is not whole again")?);
    }
    Ok(run)
}

/// How long the breaker was not closed while this was done.
fn watched<T>(platform: &Platform, what: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<(T, Duration)> {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut open = Duration::ZERO;
            let mut last = Instant::now();
            while !is_over.load(Relaxed) {
                let state = entry(platform)?.get("state").and_then(Value::as_str).map(str::to_owned);
                if state.is_some_and(|state| state != "closed") {
                    open += last.elapsed();
                }
                last = Instant::now();
                std::thread::park_timeout(LOOK_EVERY);
            }
            anyhow::Ok(open)
        });
        let done = what();
        is_over.store(true, Relaxed);
        let open = watching.join().map_err(|_| anyhow!("the watch has panicked"))??;
        Ok((done?, open))
    })
}

/// Who was served, and who with the whole page.
fn summed_up(samples: &[Sample]) -> anyhow::Result<Run> {
    let mut latencies = Vec::new();
    let mut whole = 0_u32;
    for sample in samples {
        match &sample.answer {
            Some((StatusCode::OK, body)) => {
                ensure!(body == WHOLE || body == WITHOUT, "{}", String::from_utf8_lossy(body));
                whole += u32::from(body == WHOLE);
                latencies.push(sample.took);
            }
            Some((status, _)) => ensure!(status.is_server_error(), "{status}"),
            None => {}
        }
    }
    latencies.sort_unstable();
    let all = f64::from(u32::try_from(samples.len())?);
    let served = f64::from(u32::try_from(latencies.len())?);
    let extra = vec![("served_percent", served / all * 100.0), ("whole_percent", f64::from(whole) / all * 100.0)];
    Ok(Run { elapsed: FAULT, count: latencies.len() as u64, latencies, extra, ..Run::default() })
}

/// When the page was whole again, and stayed so.
fn recovery(samples: &[Sample]) -> Option<Duration> {
    let is_whole = |sample: &Sample| sample.answer.as_ref().is_some_and(|(_, body)| body == WHOLE);
    samples.windows(WHOLE_AGAIN).find(|window| window.iter().all(is_whole)).and_then(|window| Some(window.first()?.at))
}

fn calls(platform: &Platform) -> anyhow::Result<Calls> {
    let entry = entry(platform)?;
    let number = |name: &str| entry.get(name).and_then(Value::as_u64).with_context(|| format!("no {name}"));
    let again = number("retries")? + number("hedges")?;
    Ok(Calls { asked: number("calls")?, refused: number("refused")?, again, opened: number("opened")? })
}

fn entry(platform: &Platform) -> anyhow::Result<Value> {
    let list: Vec<Value> = serde_json::from_str(&weft(platform, &["breakers", "list", "--json"])?)?;
    list.into_iter().find(|entry| entry["component"] == CALLEE).context("the callee is not there")
}

fn weft(platform: &Platform, arguments: &[&str]) -> anyhow::Result<String> {
    let (status, stdout, why) = platform.weft(arguments);
    ensure!(status.success(), "weft {arguments:?}: {why}");
    Ok(stdout)
}
