//! `weft saga start`: begins a saga by hand, and does not wait for its answer unless it is told to.

use std::time::Duration;

use crate::control::api::Start;
use crate::control::client::Client;
use crate::exit::Exit;
use crate::output;

use super::super::arguments::actor;

/// What `weft saga start` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The durable component's id in the manifest
    component: String,
    /// The function as interface#function; the interface may lack its package and version
    #[arg(value_name = "IFACE#FUNC")]
    function: String,
    /// The arguments after the key: a WAVE tuple, such as '({id: 7})', or a JSON array, such as '[{"id": 7}]'
    #[arg(default_value = "()", allow_hyphen_values = true)]
    arguments: String,
    /// The saga's id, which is the function's key; starting with the same again answers the same saga
    #[arg(long, value_name = "KEY")]
    id: Option<String>,
    /// Wait for the answer and print it in place of the id
    #[arg(long)]
    wait: bool,
    /// How long to wait
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout_s: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, client: &Client) -> anyhow::Result<Exit> {
    let Args { component, function, arguments, id, wait, timeout_s, json } = args;
    let begun = client.start(&Start { actor: actor(), component, function, id, arguments }).await?;
    if !wait {
        if json {
            output::json(&begun)?
        } else {
            output::line(&output::printable(&begun.id))?
        }
        return Ok(Exit::Success);
    }
    output::note(&format!("saga {}", begun.id));
    let ended = client.transitions(Some(&begun.id), |_| Ok(()));
    let late = || anyhow::anyhow!("saga {} has not ended after {timeout_s} s; it goes on", begun.id);
    tokio::time::timeout(Duration::from_secs(timeout_s), ended).await.map_err(|_| late())??;
    let saga = client.saga(&begun.id).await?;
    if json {
        output::json(&saga)?;
    } else {
        let answer = saga.result.or(saga.error).unwrap_or_default();
        output::line(&output::printable(&answer))?;
    }
    Ok(if saga.entry.status == "completed" { Exit::Success } else { Exit::Failure })
}
