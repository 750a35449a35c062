//! `weft reload`: has the running host take up its manifest as the file is now, or says which manifest runs.

use crate::assemble::Place;
use crate::commands::arguments::{Why, actor};
use crate::control::api::{Act, ManifestStatus, Reloaded};
use crate::control::client::Client;
use crate::exit::Exit;
use crate::output;

/// What `weft reload` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Change nothing; say which manifest runs, since when, and what was wrong with the last reload
    #[arg(long, conflicts_with = "reason")]
    status: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    why: Why,
}

/// Asks the running host and prints what it says; ends with [`Exit::Failure`] if the manifest is refused, or not all has followed it.
///
/// # Errors
/// If no host is running.
pub async fn run(args: Args, place: &Place) -> anyhow::Result<Exit> {
    let client = Client::require(&place.data).await?;
    if args.status {
        let status = client.info().await?.manifest;
        return show(&status, args.json).map(|()| Exit::Success);
    }
    match client.reload(&Act { actor: actor(), reason: args.why.reason }).await? {
        Ok(reloaded) => {
            told(&reloaded, args.json)?;
            Ok(if reloaded.behind.is_empty() { Exit::Success } else { Exit::Failure })
        }
        Err(problem) => {
            if args.json {
                output::json(&problem)?;
            } else {
                output::line(&problem.detail)?;
                output::line("not reloaded: everything stays as it is")?;
            }
            Ok(Exit::Failure)
        }
    }
}

fn told(reloaded: &Reloaded, json: bool) -> anyhow::Result<()> {
    if json {
        return Ok(output::json(reloaded)?);
    }
    let Reloaded { digest, deployed_ms: _, needs_restart, behind } = reloaded;
    output::line(&format!("reloaded: sha256:{digest}"))?;
    for line in needs_restart.iter().chain(behind) {
        output::line(line)?;
    }
    Ok(())
}

fn show(status: &ManifestStatus, json: bool) -> anyhow::Result<()> {
    if json {
        return Ok(output::json(status)?);
    }
    let ManifestStatus { digest, deployed_ms, last_error } = status;
    output::line(&format!("manifest  sha256:{digest}"))?;
    output::line(&format!("since     {}", output::time_ms(*deployed_ms)))?;
    if let Some(error) = last_error {
        output::line(&format!("error     {} {}", output::time_ms(error.at_ms), error.message))?;
    }
    Ok(())
}
