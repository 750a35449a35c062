//! `weft logs`: what functions have written to stdout and stderr, from the running host or from the files that the last
//! one left.

use anyhow::bail;

use crate::assemble::Place;
use crate::control::client::{Client, query};
use crate::exit::Exit;
use crate::output;
use weft_telemetry::LogLine;
use weft_telemetry::guest::files;

/// What `weft logs` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only of this component
    component: Option<String>,
    /// Go on with the lines to come, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
    /// How many of the last lines
    #[arg(long, short = 'n', value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    lines: u32,
    /// Print one JSON object on each line
    #[arg(long)]
    json: bool,
}

/// Prints the lines, oldest first.
///
/// # Errors
/// If no host is running and there are lines to come, the files cannot be read, or there is no such component.
pub async fn run(args: &Args, place: &Place) -> anyhow::Result<Exit> {
    let client =
        if args.follow { Some(Client::require(&place.data).await?) } else { Client::find(&place.data).await? };
    if let Some(component) = &args.component {
        check_known(component, client.as_ref(), place).await?;
    }
    let Some(client) = client else {
        let lines = files::last(&place.data, args.component.as_deref(), usize::try_from(args.lines)?)?;
        lines.iter().try_for_each(|line| print(line, args.json))?;
        return Ok(Exit::Success);
    };
    let asked = query(&[
        ("component", args.component.clone()),
        ("lines", Some(args.lines.to_string())),
        ("follow", args.follow.then(|| "true".to_owned())),
    ]);
    client.logs(&asked, |line| Ok(print(&line, args.json)?)).await?;
    Ok(Exit::Success)
}

/// A component of the application, or one that was and has left lines.
async fn check_known(component: &str, client: Option<&Client>, place: &Place) -> anyhow::Result<()> {
    let known = match client {
        Some(client) => client.info().await?.components,
        // Without a host the manifest says; one that cannot be read leaves the files.
        None => place
            .load()
            .map(|manifest| manifest.components.keys().map(ToString::to_string).collect())
            .unwrap_or_default(),
    };
    if known.iter().any(|known| known == component) || !files::last(&place.data, Some(component), 1)?.is_empty() {
        return Ok(());
    }
    let listed = if known.is_empty() { String::new() } else { format!("; the application has {}", known.join(", ")) };
    bail!("there is no component {component:?}{listed}")
}

fn print(line: &LogLine, json: bool) -> std::io::Result<()> {
    if json {
        return output::line(&serde_json::to_string(line)?);
    }
    let stream = line.stream.as_str();
    let (at, text) = (output::time(Some(line.time_ms)), output::printable(&line.text));
    output::line(&format!("{at} {} {stream}: {text}", line.component))
}
