//! Runs what is compared in alternation, so that a machine that becomes slower or faster does so for all of them, and
//! takes the median.

use anyhow::Context as _;

use crate::report::{Label, Row, Run};

/// Runs of each.
pub const ROUNDS: usize = 3;

/// Something to be measured, several times.
pub struct Contender<'a> {
    /// What it is.
    pub label: Label,
    /// Measures it once.
    pub run: Box<dyn FnMut() -> anyhow::Result<Run> + 'a>,
}

/// Three alternating runs; of each contender the one with the median throughput.
///
/// # Errors
/// Of the first run that fails, which any wrong answer makes it.
pub fn alternate(mut contenders: Vec<Contender<'_>>) -> anyhow::Result<Vec<Row>> {
    let mut runs: Vec<Vec<Run>> = contenders.iter().map(|_| Vec::new()).collect();
    for round in 1..=ROUNDS {
        for (contender, runs) in contenders.iter_mut().zip(&mut runs) {
            let label = &contender.label;
            let what = || format!("{} of {} at {}", label.bench, label.system, label.concurrency);
            let run = (contender.run)().with_context(what)?;
            eprintln!("round {round} of {ROUNDS}: {}, {}: {:.0} per s", what(), label.settings.reuse, run.per_s());
            runs.push(run);
        }
    }
    let rows = contenders.into_iter().zip(runs);
    rows.map(|(contender, runs)| Ok(Row { label: contender.label, run: median(runs)? })).collect()
}

fn median(mut runs: Vec<Run>) -> anyhow::Result<Run> {
    runs.sort_by(|a, b| a.per_s().total_cmp(&b.per_s()));
    runs.into_iter().nth(ROUNDS / 2).context("there were no runs")
}
