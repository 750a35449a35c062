//! `startup`: from exec to the first answered request of the education platform. The data is there and the components
//! are compiled, as at every start but the first.

use std::time::Instant;

use anyhow::ensure;
use weft_tests::platform::{Options, Platform};

use crate::process::Process;
use crate::report::{Label, Row, Run, Settings};
use crate::rounds::{Contender, alternate};

/// Measures it.
///
/// # Errors
/// If the host does not start or answers wrongly.
pub fn measure() -> anyhow::Result<Vec<Row>> {
    let mut platform = Platform::start();
    ensure!(platform.stop().success(), "the host did not end well");
    let settings = Settings { reuse: "fresh", flush: "commit", limits: "manifest", how: "" };
    let label = Label { bench: "startup", system: "weft", concurrency: 1, settings };
    alternate(vec![Contender { label, run: Box::new(|| start(&mut platform)) }])
}

fn start(platform: &mut Platform) -> anyhow::Result<Run> {
    let begin = Instant::now();
    platform.run(&Options::default()).map_err(anyhow::Error::msg)?;
    let answer = platform.get("/api/courses").try_send()?;
    let elapsed = begin.elapsed();
    ensure!(answer.status == 200, "GET /api/courses was answered {}: {}", answer.status, answer.text());
    let cpu = Process(platform.pid()).cpu()?;
    ensure!(platform.stop().success(), "the host did not end well");
    Ok(Run { elapsed, count: 1, latencies: vec![elapsed], cpu, ..Run::default() })
}
