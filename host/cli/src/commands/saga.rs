//! `weft saga`: sagas of the running host and their steps.

use clap::Subcommand;
use clap::builder::PossibleValuesParser;
use weft_durable::Status;

use crate::assemble::Place;
use crate::control::api::{Saga, SagaEntry, SagaList, SagaStep};
use crate::control::client::{Client, query};
use crate::exit::Exit;
use crate::output;

/// The commands under `weft saga`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List sagas, newest first
    List(ListArgs),
    /// Show one saga with its steps
    Show(ShowArgs),
}

/// What `weft saga list` takes.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Only sagas that stand there
    #[arg(long, value_parser = PossibleValuesParser::new(Status::ALL.map(Status::as_str)))]
    status: Option<String>,
    /// Only sagas of this function or component
    #[arg(long)]
    name: Option<String>,
    /// How many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Go on where the page before ended
    #[arg(long)]
    cursor: Option<u64>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What `weft saga show` takes.
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// The saga's id, which is its key
    id: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Asks the running host and prints what it says.
///
/// # Errors
/// If no host is running, or there is no such saga.
pub async fn run(command: Command, place: &Place) -> anyhow::Result<Exit> {
    let client = Client::require(&place.data).await?;
    match command {
        Command::List(args) => {
            let cursor = args.cursor.map(|cursor| cursor.to_string());
            let limit = Some(args.limit.to_string());
            let asked = query(&[("status", args.status), ("name", args.name), ("limit", limit), ("cursor", cursor)]);
            let list = client.sagas(&asked).await?;
            if args.json { output::json(&list)? } else { print_list(&list)? }
        }
        Command::Show(args) => {
            let saga = client.saga(&args.id).await?;
            if args.json { output::json(&saga)? } else { print_saga(&saga)? }
        }
    }
    Ok(Exit::Success)
}

fn print_list(list: &SagaList) -> std::io::Result<()> {
    let row = |saga: &SagaEntry| {
        let (started, ended) = (output::time(Some(saga.started_at_ms)), output::time(saga.ended_at_ms));
        [saga.id.clone(), saga.name.clone(), saga.status.clone(), started, ended]
    };
    let rows: Vec<_> = list.items.iter().map(row).collect();
    output::table(["ID", "NAME", "STATUS", "STARTED", "ENDED"], &rows)?;
    match list.next_cursor {
        Some(cursor) => output::line(&format!("more: --cursor {cursor}")),
        None => Ok(()),
    }
}

fn print_saga(saga: &Saga) -> std::io::Result<()> {
    let entry = &saga.entry;
    let facts = [
        ("id", Some(entry.id.clone())),
        ("name", Some(entry.name.clone())),
        ("component", Some(format!("{} (sha256:{})", entry.component, saga.digest))),
        ("status", Some(entry.status.clone())),
        ("correlation", Some(saga.correlation_id.clone())),
        ("started", Some(output::time(Some(entry.started_at_ms)))),
        ("ended", Some(output::time(entry.ended_at_ms))),
        ("result", saga.result.clone()),
        ("error", saga.error.clone()),
    ];
    for (name, fact) in facts {
        if let Some(fact) = fact {
            output::line(&format!("{name:<12} {}", output::printable(&fact)))?;
        }
    }
    output::line("")?;
    let rows: Vec<_> = saga.steps.iter().map(step_row).collect();
    output::table(["STEP", "STATUS", "ATTEMPTS", "STARTED", "TOOK", "ERROR"], &rows)
}

fn step_row(step: &SagaStep) -> [String; 6] {
    let mut name = step.name.clone();
    if step.occurrence > 1 {
        name.push_str(&format!("#{}", step.occurrence));
    }
    if step.compensation {
        name.push_str(" (undo)");
    }
    let took = step.ended_at_ms.map(|ended| format!("{} ms", ended.saturating_sub(step.started_at_ms)));
    [
        name,
        step.status.clone(),
        step.attempts.to_string(),
        output::time(Some(step.started_at_ms)),
        took.unwrap_or_else(|| "-".to_owned()),
        step.error.clone().unwrap_or_default(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_says_which_time_and_whether_it_is_taken_back() {
        let step = SagaStep {
            name: "reserve".to_owned(),
            occurrence: 2,
            compensation: true,
            status: "failed".to_owned(),
            attempts: 3,
            started_at_ms: 1_000,
            ended_at_ms: Some(1_250),
            error: Some("full".to_owned()),
        };
        let row = step_row(&step);
        assert_eq!(row, ["reserve#2 (undo)", "failed", "3", "1970-01-01T00:00:01Z", "250 ms", "full"]);
        let open = step_row(&SagaStep { occurrence: 1, compensation: false, ended_at_ms: None, error: None, ..step });
        assert_eq!((open[0].as_str(), open[4].as_str(), open[5].as_str()), ("reserve", "-", ""));
    }
}
