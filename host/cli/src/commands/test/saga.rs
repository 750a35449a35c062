//! `weft test saga`: prepares data, runs the saga cleanly to learn its nodes and what differs from run to run, then runs
//! it once for each fault and tells which outcomes are wrong. Every run is a process of its own on data of its own.

use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use futures::stream::{self, StreamExt as _};
use serde::de::DeserializeOwned;
use serde_json::Value;

use weft_capability::projection::Projection;

use super::cases::{self, Case};
use super::data::{self, Data};
use super::job::{Ended, Job, Prepare, Prepared, Run, SetupCall, Signal, Telling};
use super::lab::{Gone, Lab, Trouble};
use super::report::{self, Row};
use super::rules::{Ignored, Rules, Trace};
use super::verdict::{self, Finding, References, Seen};
use crate::assemble::{self, Place};
use crate::control::client::Client;
use crate::exit::{Exit, UsageError};
use crate::import::progress::Progress;
use crate::specs;

/// Cases that run at a time.
const TOGETHER: usize = 2;
/// Between two runs of the same input, so that times to the second differ.
const APART: Duration = Duration::from_millis(1_100);

/// What `weft test saga` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The saga's component, or interface#function
    saga: String,
    /// The saga's arguments: a file with a JSON array, whose first element is the saga's key
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// The function, if the component has several
    #[arg(long, value_name = "IFACE#FUNC")]
    function: Option<String>,
    /// Calls that make the data the saga needs: a file of lines {"component": …, "function": …, "args": […]}; a text
    /// $2/ok/id there, or in the input, stands for what is at /ok/id in the second answer
    #[arg(long, value_name = "FILE")]
    setup: Option<PathBuf>,
    /// Begin with a copy of this data directory instead of an empty one
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// What the saga is told: a file of lines {"name": …, "payload": …, "after_ms": …}
    #[arg(long, value_name = "FILE")]
    signals: Option<PathBuf>,
    /// Rows that a saga may leave when it is undone, such as those of refunded charges; may be repeated
    #[arg(long = "may-leave", value_name = "CONTEXT.TABLE[:COLUMN=VALUE]")]
    may_leave: Vec<Trace>,
    /// A table or a column that is not compared; may be repeated
    #[arg(long, value_name = "CONTEXT.TABLE[.COLUMN]")]
    ignore: Vec<Ignored>,
    /// How long the saga may take in each case
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout_s: u64,
    /// Print one JSON object for each case
    #[arg(long)]
    json: bool,
}

/// Runs all cases; ends with [`Exit::Failure`] if an outcome is wrong.
///
/// # Errors
/// If the files or the saga make no sense, or the saga does not end without any fault.
pub async fn run(args: Args, place: &Place) -> anyhow::Result<Exit> {
    let input = input(&args.input)?;
    let calls: Vec<SetupCall> = args.setup.as_deref().map(lines).transpose()?.unwrap_or_default();
    let signals: Vec<Signal> = args.signals.as_deref().map(lines).transpose()?.unwrap_or_default();
    if let Some(from) = &args.from
        && Client::find(from).await?.is_some()
    {
        return Err(UsageError(format!("a host runs on {}; stop it first", from.display())).into());
    }
    let timeout_ms = args.timeout_s * 1_000;
    let lab = Lab::new(place, args.from.as_deref())?;
    let job = Prepare { calls, saga: args.saga, function: args.function, input, timeout_ms };
    let prepared = prepare(&lab, job).await?;
    let Some(Value::String(key)) = prepared.input.first() else {
        return Err(UsageError("the saga's first argument is its key, a text".to_owned()).into());
    };
    let run = Run {
        key: key.clone(),
        arguments: serde_json::to_string(&prepared.input)?,
        component: prepared.component,
        function: prepared.function,
        signals,
        telling: Telling::InTime,
        resolve: false,
        others: prepared.unfinished,
        timeout_ms,
    };
    let rules = Rules::new(args.ignore, args.may_leave);
    let read_models = read_models(place)?;
    let before = data::read(&lab.prepared(), &read_models)?;
    let mut bench = Bench { lab: &lab, run, rules, read_models, before, rows: Vec::new(), json: args.json };
    bench.try_all().await?;
    if !bench.json {
        report::table(&bench.rows)?;
    }
    Ok(if bench.rows.iter().any(Row::is_finding) { Exit::Failure } else { Exit::Success })
}

/// The tables that projections write, as `context.table`.
fn read_models(place: &Place) -> anyhow::Result<BTreeSet<String>> {
    let manifest = place.load().map_err(assemble::refused)?;
    let tables = |projection: Projection| {
        let table = |table: &Arc<str>| format!("{}.{table}", projection.context);
        projection.rules.tables.iter().map(table).collect::<Vec<_>>()
    };
    Ok(specs::projections(&manifest).into_iter().flat_map(tables).collect())
}

fn input(path: &Path) -> anyhow::Result<Vec<Value>> {
    let text = std::fs::read_to_string(path).map_err(|error| unusable(path, &error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| unusable(path, &format!("not a JSON array: {error}")).into())
}

fn lines<T: DeserializeOwned>(path: &Path) -> anyhow::Result<Vec<T>> {
    let text = std::fs::read_to_string(path).map_err(|error| unusable(path, &error.to_string()))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let line = |(number, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|error| unusable(path, &format!("line {}: {error}", number + 1)).into())
    };
    lines.map(line).collect()
}

fn unusable(path: &Path, why: &str) -> UsageError {
    UsageError(format!("{}: {why}", path.display()))
}

async fn prepare(lab: &Lab, job: Prepare) -> anyhow::Result<Prepared> {
    let timeout_ms = job.timeout_ms.saturating_mul(job.calls.len() as u64 + 1);
    match lab.host(&lab.prepared(), &Job::Prepare(job), &Trouble::default(), timeout_ms).await? {
        Gone::Reported(prepared) => {
            lab.keep_compiled();
            Ok(prepared)
        }
        Gone::Aborted | Gone::Hung => bail!("the host that prepares the data did not end in good order"),
    }
}

/// Everything that the cases share.
struct Bench<'a> {
    lab: &'a Lab,
    run: Run,
    rules: Rules,
    read_models: BTreeSet<String>,
    before: Data,
    rows: Vec<Row>,
    json: bool,
}

impl Bench<'_> {
    async fn try_all(&mut self) -> anyhow::Result<()> {
        let (clean, records) = self.clean().await?;
        let case = Case::clean();
        let references = self.references(&clean, None);
        let wrong = verdict::judge(&case, &clean, &references);
        let has_failed = wrong.is_some();
        self.add(Row::new(case.node.clone(), case.fault, verdict::outcome(&case, &clean), wrong, 0))?;
        if has_failed {
            return Ok(());
        }
        let cases = cases::of_steps(&clean.ended.steps, records, !self.run.signals.is_empty());
        let seen = self.all(cases, &clean, None).await?;
        // The run that went furthest before it was undone shows the most compensations.
        let (undone, faults) = if clean.ended.status == "compensated" {
            (Some(clean.clone()), Vec::new())
        } else {
            let is_undone = |(case, seen): &&(Case, Seen)| case.fault == "fail after" && has_undone(seen);
            let furthest = seen.into_iter().rfind(|pair| is_undone(&pair));
            furthest.map_or_else(Default::default, |(case, seen)| (Some(seen), case.trouble.faults))
        };
        let Some(undone) = undone else { return Ok(()) };
        if !faults.is_empty() {
            let again = Case { trouble: Trouble { faults: faults.clone(), ..Trouble::default() }, ..Case::clean() };
            let again = self.see(&again).await?;
            self.rules.learn(&undone.data, &again.data);
        }
        let cases = cases::of_compensations(&undone.ended.steps, &faults);
        self.all(cases, &clean, Some(&undone)).await?;
        Ok(())
    }

    /// Two runs without a fault: the first, and how many records its journal has. What differs between them is not
    /// compared from then on.
    async fn clean(&mut self) -> anyhow::Result<(Seen, u64)> {
        let counts = tempfile::NamedTempFile::new()?;
        let counting = format!("count:{}", counts.path().display());
        let counting = Trouble { faults: Vec::new(), failpoint: counting };
        let first = self.see(&Case { trouble: counting, ..Case::clean() }).await?;
        if first.ended.status == "not started" {
            let why = first.ended.error.unwrap_or_default();
            return Err(UsageError(format!("the saga does not begin: {why}")).into());
        }
        let records = cases::records(&std::fs::read_to_string(counts.path())?);
        if first.ended.timed_out {
            return Ok((first, records));
        }
        tokio::time::sleep(APART).await;
        let second = self.see(&Case::clean()).await?;
        self.rules.learn(&first.data, &second.data);
        if let Some(different) = self.rules.difference(&second.data, &first.data) {
            bail!("two runs without a fault differ, so faults cannot be told: {different}; leave it out with --ignore");
        }
        Ok((first, records))
    }

    fn references<'a>(&'a self, clean: &'a Seen, undone: Option<&'a Seen>) -> References<'a> {
        References { rules: &self.rules, key: &self.run.key, prepared: &self.before, clean, undone }
    }

    /// Runs cases, a few at a time, and reports them in their order.
    async fn all(
        &mut self,
        cases: Vec<Case>,
        clean: &Seen,
        undone: Option<&Seen>,
    ) -> anyhow::Result<Vec<(Case, Seen)>> {
        let is_watched = !self.json && std::io::stderr().is_terminal();
        let mut progress = is_watched.then(|| Progress::start("cases", cases.len() as u64));
        let mut done = Vec::new();
        let mut rows = Vec::new();
        {
            let this = &*self;
            let one = |case: Case| async move {
                let began = Instant::now();
                let seen = this.see(&case).await;
                (case, seen, u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX))
            };
            let mut running = stream::iter(cases).map(one).buffered(TOGETHER);
            while let Some((case, seen, took_ms)) = running.next().await {
                let row = match seen {
                    Ok(seen) => {
                        let finding = verdict::judge(&case, &seen, &this.references(clean, undone));
                        let outcome = verdict::outcome(&case, &seen);
                        let row = Row::new(verdict::node(&case, &seen), case.fault, outcome, finding, took_ms);
                        done.push((case, seen));
                        row
                    }
                    Err(error) => {
                        let finding = Finding { step: case.step.clone(), what: error.to_string() };
                        Row::new(case.node, case.fault, "a host failed".to_owned(), Some(finding), took_ms)
                    }
                };
                if this.json {
                    report::json(&row)?;
                } else if let Some(progress) = &mut progress {
                    progress.set(rows.len() as u64 + 1);
                }
                rows.push(row);
            }
        }
        if let Some(progress) = progress {
            progress.finish();
        }
        self.rows.append(&mut rows);
        Ok(done)
    }

    fn add(&mut self, row: Row) -> anyhow::Result<()> {
        if self.json {
            report::json(&row)?;
        }
        self.rows.push(row);
        Ok(())
    }

    /// Runs one case: a host with the fault, and after its end one without if the saga has not ended well.
    async fn see(&self, case: &Case) -> anyhow::Result<Seen> {
        let place = self.lab.case()?;
        let mut seen = Seen::default();
        let run = Run { telling: case.telling, ..self.run.clone() };
        match self.host(&place.data(), run.clone(), &case.trouble).await? {
            Gone::Reported(ended) => seen.ended = ended,
            Gone::Aborted if case.fault == "kill" => seen.killed = true,
            Gone::Aborted => bail!("a host was ended by a signal"),
            Gone::Hung => seen.hung = true,
        }
        let resolve = case.resolve && seen.ended.status == "needs-attention";
        if seen.killed || resolve {
            seen.before = resolve.then(|| seen.ended.status.clone());
            match self.host(&place.data(), Run { resolve, ..run }, &Trouble::default()).await? {
                Gone::Reported(ended) => seen.ended = ended,
                Gone::Aborted => bail!("a host was ended by a signal"),
                Gone::Hung => seen.hung = true,
            }
        }
        seen.data = data::read(&place.data(), &self.read_models).context("what the case has left")?;
        Ok(seen)
    }

    async fn host(&self, data: &Path, run: Run, trouble: &Trouble) -> anyhow::Result<Gone<Ended>> {
        let timeout_ms = run.timeout_ms;
        self.lab.host(data, &Job::Run(run), trouble, timeout_ms).await
    }
}

fn has_undone(seen: &Seen) -> bool {
    seen.ended.status == "compensated" && seen.ended.steps.iter().any(|step| step.undo)
}
