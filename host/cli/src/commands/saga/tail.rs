//! `weft saga tail`: transitions of sagas as they happen.

use crate::control::api::Transition;
use crate::control::client::Client;
use crate::exit::Exit;
use crate::output;

/// What `weft saga tail` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only of this saga, and until it ends
    id: Option<String>,
    /// Print one JSON object on each line
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &Args, client: &Client) -> anyhow::Result<Exit> {
    let print = |transition: Transition| {
        let text = if args.json { serde_json::to_string(&transition)? } else { line(&transition) };
        Ok(output::line(&text)?)
    };
    client.transitions(args.id.as_deref(), print).await?;
    if let Some(id) = &args.id {
        let status = client.saga(id).await?.entry.status;
        output::note(&format!("saga {id} has ended: {status}"));
    }
    Ok(Exit::Success)
}

fn line(transition: &Transition) -> String {
    let mut line = format!("{} {}  {}", output::time_ms(transition.at_ms), transition.saga, transition.event);
    if let Some(step) = &transition.step {
        line.push_str(&format!(" {step}"));
    }
    if let Some(attempt) = transition.attempt.filter(|attempt| *attempt > 1) {
        line.push_str(&format!(" (attempt {attempt})"));
    }
    match &transition.error {
        Some(error) => line.push_str(&format!(": {error}")),
        None if transition.event == "saga.started" => line.push_str(&format!(" {}", transition.name)),
        None => {}
    }
    output::printable(&line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transition_is_one_line() {
        let started = Transition {
            event: "saga.started".to_owned(),
            saga: "s1".to_owned(),
            name: "a:b/c@1.0.0#d".to_owned(),
            correlation_id: "s1".to_owned(),
            step: None,
            attempt: None,
            at_ms: 1_500,
            error: None,
        };
        assert_eq!(line(&started), "1970-01-01T00:00:01.500Z s1  saga.started a:b/c@1.0.0#d");
        let (event, step) = ("step.failed".to_owned(), Some("charge".to_owned()));
        let failed = Transition { event, step, attempt: Some(2), error: Some("no\nway".to_owned()), ..started };
        assert_eq!(line(&failed), "1970-01-01T00:00:01.500Z s1  step.failed charge (attempt 2): no\\nway");
    }
}
