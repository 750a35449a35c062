//! `weft saga show`: one saga, its compensations apart from the steps whose failure caused them.

use crate::control::api::{Saga, SagaOrder, SagaStep, SagaWait};
use crate::control::client::Client;
use crate::exit::Exit;
use crate::output;

/// What `weft saga show` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The saga's id, which is its key
    id: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &Args, client: &Client) -> anyhow::Result<Exit> {
    let saga = client.saga(&args.id).await?;
    if args.json {
        output::json(&saga)?
    } else {
        print(&saga)?
    }
    Ok(Exit::Success)
}

fn print(saga: &Saga) -> std::io::Result<()> {
    for (name, fact) in facts(saga) {
        output::line(&format!("{name:<12} {}", output::printable(&fact)))?;
    }
    let rows = |compensations: bool| -> Vec<_> {
        saga.steps.iter().filter(|step| step.compensation == compensations).map(step_row).collect()
    };
    output::line("")?;
    output::table(["STEP", "STATUS", "ATTEMPTS", "STARTED", "TOOK", "ERROR"], &rows(false))?;
    let compensations = rows(true);
    if !compensations.is_empty() {
        output::line("")?;
        output::table(["COMPENSATION", "STATUS", "ATTEMPTS", "STARTED", "TOOK", "ERROR"], &compensations)?;
    }
    if !saga.waits.is_empty() {
        output::line("")?;
        let rows: Vec<_> = saga.waits.iter().map(wait_row).collect();
        output::table(["WAIT", "NAME", "STATUS", "SINCE", "UNTIL", "ENDED"], &rows)?;
    }
    if !saga.orders.is_empty() {
        output::line("")?;
        let rows: Vec<_> = saga.orders.iter().map(order_row).collect();
        output::table(["ORDER", "ABOUT", "BY", "AT", "REASON"], &rows)?;
    }
    Ok(())
}

fn facts(saga: &Saga) -> Vec<(&'static str, String)> {
    let entry = &saga.entry;
    let component = match entry.component.as_str() {
        "" => "none: it is choreographed".to_owned(),
        component => format!("{component} (sha256:{})", saga.digest),
    };
    let mut facts = vec![
        ("id", entry.id.clone()),
        ("name", entry.name.clone()),
        ("component", component),
        ("status", entry.status.clone()),
        ("correlation", entry.correlation_id.clone()),
        ("started", output::time(Some(entry.started_at_ms))),
        ("ended", output::time(entry.ended_at_ms)),
    ];
    if saga.generation > 0 {
        facts.push(("generation", saga.generation.to_string()));
    }
    facts.extend(saga.attributes.iter().map(|(name, value)| ("attribute", format!("{name}={value}"))));
    facts.extend(saga.result.iter().map(|result| ("result", result.clone())));
    facts.extend(saga.error.iter().map(|error| ("error", error.clone())));
    facts
}

/// A name with the number of times that it was used, from the second on.
pub(super) fn numbered(name: &str, occurrence: u32) -> String {
    if occurrence > 1 { format!("{name}#{occurrence}") } else { name.to_owned() }
}

fn step_row(step: &SagaStep) -> [String; 6] {
    let took = step.ended_at_ms.map(|ended| format!("{} ms", ended.saturating_sub(step.started_at_ms)));
    [
        numbered(&step.name, step.occurrence),
        step.status.clone(),
        step.attempts.to_string(),
        output::time(Some(step.started_at_ms)),
        took.unwrap_or_else(|| "-".to_owned()),
        step.error.clone().unwrap_or_default(),
    ]
}

fn wait_row(wait: &SagaWait) -> [String; 6] {
    [
        wait.kind.clone(),
        numbered(&wait.name, wait.occurrence),
        wait.status.clone(),
        output::time(wait.since_ms),
        output::time(wait.until_ms),
        output::time(wait.ended_at_ms),
    ]
}

fn order_row(order: &SagaOrder) -> [String; 5] {
    let about = order.about.clone().unwrap_or_else(|| "-".to_owned());
    [order.order.clone(), about, order.actor.clone(), output::time(Some(order.at_ms)), order.reason.clone()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_says_which_time_and_how_long() {
        let step = SagaStep {
            name: "reserve".to_owned(),
            occurrence: 2,
            compensation: true,
            status: "failed".to_owned(),
            attempts: 3,
            started_at_ms: 1_000,
            ended_at_ms: Some(1_250),
            error: Some("full".to_owned()),
            tried: Vec::new(),
        };
        let row = step_row(&step);
        assert_eq!(row, ["reserve#2", "failed", "3", "1970-01-01T00:00:01Z", "250 ms", "full"]);
        let open = step_row(&SagaStep { occurrence: 1, compensation: false, ended_at_ms: None, error: None, ..step });
        assert_eq!((open[0].as_str(), open[4].as_str(), open[5].as_str()), ("reserve", "-", ""));
    }

    #[test]
    fn orders_say_who_when_and_why() {
        let order = SagaOrder {
            order: "skip".to_owned(),
            about: Some("charge#1".to_owned()),
            actor: "ada@local".to_owned(),
            reason: "paid back by hand".to_owned(),
            at_ms: 1_000,
        };
        assert_eq!(order_row(&order), ["skip", "charge#1", "ada@local", "1970-01-01T00:00:01Z", "paid back by hand"]);
    }
}
