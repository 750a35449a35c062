//! `weft saga timeline`: what a saga did when, one row for each step, compensation and wait, in the order of their start.

use crate::control::api::{Saga, SagaStep, SagaWait, Timeline};
use crate::control::client::Client;
use crate::exit::Exit;
use crate::output;

use super::bars::{Canvas, Mark, Row, Stretch, draw, duration};
use super::show::numbered;

/// How wide lines are if the environment does not say.
const DEFAULT_COLUMNS: usize = 80;
/// The widest that the environment is believed.
const MAX_COLUMNS: usize = 1000;

/// What `weft saga timeline` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The saga's id, or a correlation id
    id: String,
    /// Draw with plain ASCII
    #[arg(long, conflicts_with = "json")]
    ascii: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &Args, client: &Client) -> anyhow::Result<Exit> {
    let timeline = client.timeline(&args.id).await?;
    if args.json {
        output::json(&timeline)?;
        return Ok(Exit::Success);
    }
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let columns = columns.filter(|columns| *columns > 0).unwrap_or(DEFAULT_COLUMNS).min(MAX_COLUMNS);
    for line in lines(&timeline, columns, args.ascii) {
        output::line(&output::printable(&line))?;
    }
    if timeline.more {
        output::note("there are more sagas of this correlation id; `weft saga list --correlation` has them all");
    }
    Ok(Exit::Success)
}

/// The whole drawing. All sagas are on one scale.
fn lines(timeline: &Timeline, columns: usize, ascii: bool) -> Vec<String> {
    let from_ms = timeline.sagas.iter().map(|saga| saga.entry.started_at_ms).min().unwrap_or(timeline.now_ms);
    let ends = timeline.sagas.iter().map(|saga| end_of(saga, timeline.now_ms));
    let to_ms = ends.max().unwrap_or(timeline.now_ms).max(from_ms);
    let rows: Vec<Vec<Row>> = timeline.sagas.iter().map(|saga| rows(saga, timeline.now_ms)).collect();
    let all: Vec<Row> = rows.iter().flatten().cloned().collect();
    let mut drawn = draw(&all, Canvas { from_ms, to_ms, columns, ascii }).into_iter();
    let mut lines = Vec::new();
    for (saga, rows) in timeline.sagas.iter().zip(&rows) {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        lines.extend(heading(saga, timeline.now_ms));
        lines.extend(drawn.by_ref().take(rows.len()));
    }
    let key = |mark: Mark| format!("{} {}", mark.symbol(ascii), mark.meaning());
    lines.push(String::new());
    lines.push(Mark::ALL.map(key).join("   "));
    lines
}

fn heading(saga: &Saga, now_ms: u64) -> [String; 2] {
    let entry = &saga.entry;
    let took = duration(end_of(saga, now_ms).saturating_sub(entry.started_at_ms));
    [
        format!("{}  {}", entry.id, entry.name),
        format!("{}, {took} from {}", entry.status, output::time_ms(entry.started_at_ms)),
    ]
}

fn end_of(saga: &Saga, now_ms: u64) -> u64 {
    saga.entry.ended_at_ms.unwrap_or(now_ms).max(saga.entry.started_at_ms)
}

fn rows(saga: &Saga, now_ms: u64) -> Vec<Row> {
    let end_ms = end_of(saga, now_ms);
    let steps = saga.steps.iter().map(|step| (step.started_at_ms, of_step(step, end_ms)));
    let waits = saga.waits.iter().map(|wait| {
        let since_ms = wait.since_ms.unwrap_or(saga.entry.started_at_ms);
        (since_ms, of_wait(wait, since_ms, end_ms))
    });
    let mut rows: Vec<_> = steps.chain(waits).collect();
    rows.sort_by_key(|(start_ms, _)| *start_ms);
    rows.into_iter().map(|(_, row)| row).collect()
}

fn of_step(step: &SagaStep, end_ms: u64) -> Row {
    let ran = if step.compensation { Mark::Undo } else { Mark::Attempt };
    let mut stretches = Vec::new();
    let mut last_ms = step.started_at_ms;
    for attempt in &step.tried {
        let (from_ms, to_ms) = (attempt.started_at_ms, attempt.ended_at_ms);
        if from_ms > last_ms {
            stretches.push(Stretch { from_ms: last_ms, to_ms: from_ms, mark: Mark::Wait });
        }
        let mark = if attempt.outcome == "success" { ran } else { Mark::Failed };
        stretches.push(Stretch { from_ms, to_ms, mark });
        last_ms = to_ms;
    }
    let open = match step.status.as_str() {
        "running" => Some(ran),
        "retrying" => Some(Mark::Wait),
        _ => None,
    };
    stretches.extend(open.map(|mark| Stretch { from_ms: last_ms, to_ms: end_ms.max(last_ms), mark }));
    let name = numbered(&step.name, step.occurrence);
    let label = if step.compensation { format!("undo {name}") } else { name };
    let mut note = took(step.started_at_ms, step.ended_at_ms.unwrap_or(end_ms));
    if !matches!(step.status.as_str(), "completed" | "compensated") {
        note.push_str(&format!("  {}", step.status));
    }
    if step.attempts > 1 {
        note.push_str(&format!("  {} attempts", step.attempts));
    }
    Row { label, stretches, note }
}

fn of_wait(wait: &SagaWait, since_ms: u64, end_ms: u64) -> Row {
    let to_ms = wait.ended_at_ms.unwrap_or(end_ms);
    let stretches = vec![Stretch { from_ms: since_ms, to_ms, mark: Mark::Wait }];
    let label = format!("{} {}", wait.kind, numbered(&wait.name, wait.occurrence));
    let mut note = took(since_ms, to_ms);
    if wait.status != "done" {
        note.push_str(&format!("  {}", wait.status));
    }
    Row { label, stretches, note }
}

fn took(from_ms: u64, to_ms: u64) -> String {
    format!("{:>9}", duration(to_ms.saturating_sub(from_ms)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::control::api::{SagaAttempt, SagaEntry};

    fn step(name: &str, status: &str, tried: &[(u64, u64, &str)]) -> SagaStep {
        let attempt = |(started_at_ms, ended_at_ms, outcome): &(u64, u64, &str)| SagaAttempt {
            started_at_ms: *started_at_ms,
            ended_at_ms: *ended_at_ms,
            outcome: (*outcome).to_owned(),
        };
        let open = matches!(status, "running" | "retrying");
        SagaStep {
            name: name.to_owned(),
            occurrence: 1,
            compensation: status == "compensated",
            status: status.to_owned(),
            attempts: u32::try_from(tried.len()).unwrap(),
            started_at_ms: tried[0].0,
            ended_at_ms: (!open).then(|| tried.last().unwrap().1),
            error: None,
            tried: tried.iter().map(attempt).collect(),
        }
    }

    fn saga(id: &str, started_at_ms: u64, ended_at_ms: Option<u64>, steps: Vec<SagaStep>) -> Saga {
        let entry = SagaEntry {
            id: id.to_owned(),
            name: "a:b/c#d".to_owned(),
            component: "c".to_owned(),
            status: if ended_at_ms.is_some() { "compensated" } else { "running" }.to_owned(),
            correlation_id: "k".to_owned(),
            started_at_ms,
            ended_at_ms,
        };
        Saga {
            entry,
            digest: "00".to_owned(),
            generation: 0,
            attributes: BTreeMap::new(),
            result: None,
            error: None,
            steps,
            waits: Vec::new(),
            orders: Vec::new(),
        }
    }

    #[test]
    fn attempts_waits_and_compensations_are_told_apart() {
        let reserve = step("reserve", "completed", &[(0, 100, "success")]);
        let charge = step("charge", "failed", &[(100, 200, "unknown"), (600, 700, "error")]);
        let undo = step("reserve", "compensated", &[(900, 1000, "success")]);
        let wait = SagaWait {
            kind: "signal".to_owned(),
            name: "approve".to_owned(),
            occurrence: 1,
            status: "timed-out".to_owned(),
            since_ms: Some(700),
            until_ms: Some(900),
            ended_at_ms: Some(900),
        };
        let mut saga = saga("s", 0, Some(1000), vec![undo, reserve, charge]);
        saga.waits.push(wait);
        let timeline = Timeline { now_ms: 5000, sagas: vec![saga], more: false };
        let lines = lines(&timeline, 72, true);
        let expected = [
            "s  a:b/c#d",
            "compensated, 1.0 s from 1970-01-01T00:00:00.000Z",
            "reserve        ###                            100 ms",
            "charge           xxxx..........xxx            600 ms  failed  2 attempts",
            "signal approve                   .......      200 ms  timed-out",
            "undo reserve                           ===    100 ms",
            "",
            "# attempt   x failed attempt   = compensation   . wait",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn what_is_open_goes_up_to_now() {
        let running = SagaStep { tried: Vec::new(), ..step("a", "running", &[(500, 500, "")]) };
        let retrying = step("b", "retrying", &[(500, 600, "unknown")]);
        let timeline = Timeline { now_ms: 1000, sagas: vec![saga("s", 0, None, vec![running, retrying])], more: false };
        let lines = lines(&timeline, 60, true);
        assert!(lines[2].contains('#') && lines[2].ends_with("500 ms  running"), "{lines:#?}");
        assert!(
            lines[3].contains("x") && lines[3].contains("..") && lines[3].ends_with("500 ms  retrying"),
            "{lines:#?}"
        );
    }

    #[test]
    fn sagas_of_one_operation_share_a_scale() {
        let first = saga("s1", 0, Some(100), vec![step("a", "completed", &[(0, 100, "success")])]);
        let second = saga("s2", 100, Some(200), vec![step("a", "completed", &[(100, 200, "success")])]);
        let lines = lines(&Timeline { now_ms: 900, sagas: vec![first, second], more: false }, 40, true);
        let [one, two] = [&lines[2], &lines[6]];
        assert_eq!(one.find('#'), Some(2), "{lines:#?}");
        assert_eq!(two.find('#').unwrap(), one.rfind('#').unwrap() + 1, "{lines:#?}");
    }
}
