//! Brings a data set in through the application's own functions: its courses and rows chunk by chunk, each chunk keyed,
//! then the durable function that works through them. All of it can be run again and goes on where it was, since every
//! key comes from the files' digest.

use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::oulad::Dataset;
use super::progress::Progress;
use crate::control::api::Answer;
use crate::invoker::{Invoker, NoAnswer};

/// Rows of one load.
const CHUNK_ROWS: usize = 500;
const LOADER: &str = "enrollment-importing";
const WORKER: &str = "enrollment-import-work";
const LOAD_COURSES: &str = "education:enrollment/importing@1.0.0#load-courses";
const LOAD_ROWS: &str = "education:enrollment/importing@1.0.0#load-rows";
const GET_PROGRESS: &str = "education:enrollment/importing@1.0.0#get-progress";
const WORK: &str = "education:enrollment/import-work@1.0.0#work";
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How long one wait for the durable function is; it goes on by itself when the wait ends.
const WORK_TIMEOUT: Duration = Duration::from_secs(600);
const POLL: Duration = Duration::from_millis(250);
/// After so long without progress the durable function is asked again how it stands.
const STALLED: Duration = Duration::from_secs(60);
/// How often that is done in a row before the import is given up.
const MAX_STALLS: u32 = 10;
/// How often a call that gives no answer is made.
const MAX_ATTEMPTS: u32 = 5;

/// `progress` of `education:enrollment/importing`.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Rows in the import table.
    pub loaded: u64,
    /// Rows that are worked through.
    pub worked: u64,
    /// Enrollments made.
    pub enrollments: u64,
    /// Of these, cancelled.
    pub cancelled: u64,
    /// Of these, completed.
    pub completed: u64,
    /// Rows that were refused for good.
    pub failed: u64,
}

/// The id of the import, which is the key of its saga.
#[must_use]
pub fn import_id(dataset: &Dataset) -> String {
    let digest = dataset.digest.get(..32).unwrap_or(&dataset.digest);
    format!("oulad-{digest}")
}

/// Loads the data set and waits until it is worked through.
///
/// # Errors
/// If a function refuses something or does not answer; running it again goes on.
pub async fn run(invoker: &Invoker, dataset: &Dataset) -> anyhow::Result<Summary> {
    let import = import_id(dataset);
    let total = dataset.rows.len() as u64;
    let before = progress_of(invoker, &import).await?;
    // All chunks being there, sending them again would only be slow; each is keyed, so it would change nothing.
    if before.loaded < total {
        load(invoker, dataset, &import).await?;
    }
    work(invoker, &import, total).await
}

async fn load(invoker: &Invoker, dataset: &Dataset, import: &str) -> anyhow::Result<()> {
    let mut shown = Progress::start("loading rows", dataset.rows.len() as u64);
    for (number, courses) in dataset.courses.chunks(CHUNK_ROWS).enumerate() {
        let key = format!("{}/courses/{number}", dataset.digest);
        call(invoker, LOADER, LOAD_COURSES, &(key, import, courses)).await?;
    }
    let mut first = 0;
    for (number, rows) in dataset.rows.chunks(CHUNK_ROWS).enumerate() {
        let key = format!("{}/rows/{number}", dataset.digest);
        call(invoker, LOADER, LOAD_ROWS, &(key, import, first, rows)).await?;
        first += rows.len();
        shown.set(first as u64);
    }
    shown.finish();
    Ok(())
}

/// Starts the durable function and watches the import's progress. A wait for its answer may end before it does; it goes
/// on all the same, and another wait joins it.
async fn work(invoker: &Invoker, import: &str, total: u64) -> anyhow::Result<Summary> {
    let mut shown = Progress::start("working through rows", total);
    let (mut worked, mut stalls) = (0, 0);
    while stalls < MAX_STALLS {
        if answered(invoker, import, &mut shown).await? {
            let summary = progress_of(invoker, import).await?;
            shown.set(summary.worked);
            shown.finish();
            return Ok(summary);
        }
        let now = settled(invoker, import, total, &mut shown).await?;
        stalls = if now > worked { 0 } else { stalls + 1 };
        worked = now;
    }
    bail!("the import has stopped at {worked} of {total} rows; run it again to go on")
}

/// Waits once for the durable function. Whether it answered.
async fn answered(invoker: &Invoker, import: &str, shown: &mut Progress) -> anyhow::Result<bool> {
    let mut waiting = std::pin::pin!(wait_for_work(invoker, import));
    let mut ticks = ticks();
    loop {
        tokio::select! {
            ended = &mut waiting => return ended,
            _ = ticks.tick() => shown.set(progress_of(invoker, import).await?.worked),
        }
    }
}

/// Watches until all rows are worked through, or none was for a while. Answers how many are.
async fn settled(invoker: &Invoker, import: &str, total: u64, shown: &mut Progress) -> anyhow::Result<u64> {
    let mut ticks = ticks();
    let (mut worked, mut since) = (0, Instant::now());
    loop {
        ticks.tick().await;
        let now = progress_of(invoker, import).await?.worked;
        shown.set(now);
        if now > worked {
            (worked, since) = (now, Instant::now());
        }
        if worked >= total || since.elapsed() > STALLED {
            return Ok(worked);
        }
    }
}

fn ticks() -> Interval {
    let mut ticks = interval_at(Instant::now() + POLL, POLL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

async fn wait_for_work(invoker: &Invoker, import: &str) -> anyhow::Result<bool> {
    let arguments = serde_json::to_string(&(import, import))?;
    match invoker.invoke(WORKER, WORK, &arguments, WORK_TIMEOUT).await {
        Ok(answer) if !answer.is_error => Ok(true),
        Ok(answer) if is_unavailable(&answer) => Ok(false),
        Ok(answer) => bail!("the import's work was refused: {}", answer.wave),
        Err(error) if error.is::<NoAnswer>() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether the answer is `err(unavailable(...))`, after which trying again may help.
fn is_unavailable(answer: &Answer) -> bool {
    answer.json.get("err").is_some_and(|error| error.get("unavailable").is_some())
}

async fn progress_of(invoker: &Invoker, import: &str) -> anyhow::Result<Summary> {
    let answer = call(invoker, LOADER, GET_PROGRESS, &(import,)).await?;
    let progress = answer.json.get("ok").cloned().unwrap_or_default();
    let what = "the import's progress is not understood; is the application of another version?";
    serde_json::from_value(progress).context(what)
}

/// Calls a keyed function or a query; again, if it gives no answer.
async fn call(
    invoker: &Invoker,
    component: &str,
    function: &str,
    arguments: &impl Serialize,
) -> anyhow::Result<Answer> {
    let arguments = serde_json::to_string(arguments)?;
    for attempt in 1..=MAX_ATTEMPTS {
        match invoker.invoke(component, function, &arguments, CALL_TIMEOUT).await {
            Ok(answer) if !answer.is_error => return Ok(answer),
            Ok(answer) if is_unavailable(&answer) && attempt < MAX_ATTEMPTS => {}
            Ok(answer) => bail!("{function} refused: {}", answer.wave),
            Err(error) if error.is::<NoAnswer>() && attempt < MAX_ATTEMPTS => {}
            Err(error) => return Err(error),
        }
        tokio::time::sleep(POLL * attempt).await;
    }
    bail!("{function} did not answer")
}

#[cfg(test)]
mod tests;
