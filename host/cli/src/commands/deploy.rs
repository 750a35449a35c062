//! `weft deploy` and `weft canary`: a version of a component beside the one that the manifest names, and how it takes that one's place.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;

use super::arguments::{Why, actor, duration};
use crate::assemble::Place;
use crate::control::api::{DeployVersion, MirrorEntry, OrderVersion, Trial, VersionEntry, VersionOrder};
use crate::control::client::Client;
use crate::exit::Exit;
use crate::output;
use crate::versions;

/// What `weft deploy` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The component
    component: String,
    /// The version's file
    file: PathBuf,
    /// Requests with this header are served by it, such as x-version=v2
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// It gets copies of so many calls that others serve, in percent, and has no effects by them
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = percent)]
    mirror: u32,
    #[command(flatten)]
    why: Why,
}

/// The commands under `weft canary`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Try a version on a growing share of calls, and promote or abort it by how it does
    Start(StartArgs),
    /// List versions: share, calls, failures, times, how it goes
    Status(StatusArgs),
    /// Let a version serve all calls
    Promote(PromoteArgs),
    /// Take a version away
    Abort(AbortArgs),
    /// Let a version serve a fixed share of calls
    Weight(WeightArgs),
    /// Copy a share of the calls that others serve to a version, which has no effects by them
    Mirror(WeightArgs),
}

/// Which version.
#[derive(Debug, clap::Args)]
pub struct Which {
    /// The component
    component: String,
    /// The version, if the component has several beside the manifest's
    #[arg(long, value_name = "NAME")]
    version: Option<String>,
    #[command(flatten)]
    why: Why,
}

/// What `weft canary start` takes.
#[derive(Debug, clap::Args)]
pub struct StartArgs {
    #[command(flatten)]
    which: Which,
    /// The shares that it has one after the other, in percent
    #[arg(long, value_name = "PERCENT,...", value_delimiter = ',', default_value = "5,10,25,50", value_parser = percent)]
    steps: Vec<u32>,
    /// Calls that each version has to have had in a step
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    min_calls: u64,
    /// How long a step lasts at least, such as 60s
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    step_time: u64,
    /// What its 95th percentile may be of the other version's, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 125)]
    max_latency: u64,
}

/// What `weft canary status` takes.
#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What `weft canary promote` takes.
#[derive(Debug, clap::Args)]
pub struct PromoteArgs {
    #[command(flatten)]
    which: Which,
    /// A path that it has to answer with success before
    #[arg(long, value_name = "PATH")]
    check: Option<String>,
}

/// What `weft canary abort` takes.
#[derive(Debug, clap::Args)]
pub struct AbortArgs {
    #[command(flatten)]
    which: Which,
}

/// What `weft canary weight` takes.
#[derive(Debug, clap::Args)]
pub struct WeightArgs {
    #[command(flatten)]
    which: Which,
    /// Its share, in percent
    #[arg(value_parser = percent)]
    percent: u32,
}

/// Deploys a version into the running host.
///
/// # Errors
/// If no host is running, or it refuses.
pub async fn run(args: Args, place: &Place) -> anyhow::Result<Exit> {
    let client = Client::require(&place.data).await?;
    let file = args.file;
    let brought = versions::bring(client.data(), &file);
    let digest = brought.with_context(|| format!("cannot bring {} to the host", file.display()))?;
    let Args { component, headers, mirror, why, .. } = Args { file, ..args };
    let deploy = DeployVersion { actor: actor(), reason: why.reason, component, digest, headers, mirror };
    let entry = client.deploy_version(&deploy).await?;
    output::line(&format!("{} {} serves nothing yet but what asks for it", entry.component, entry.version))?;
    output::line(&format!("  weft canary start {}", entry.component))?;
    Ok(Exit::Success)
}

/// Asks the running host and prints what it says.
///
/// # Errors
/// If no host is running, there is no such version, or it refuses.
pub async fn canary(command: Command, place: &Place) -> anyhow::Result<Exit> {
    let client = Client::require(&place.data).await?;
    let (which, order) = match command {
        Command::Status(args) => {
            let entries = client.versions().await?;
            if args.json {
                output::json(&entries)?
            } else {
                table(&entries)?
            }
            return Ok(Exit::Success);
        }
        Command::Start(StartArgs { which, steps, min_calls, step_time, max_latency }) => {
            let trial = Trial { steps, min_calls, step_ms: step_time, max_latency_percent: max_latency };
            (which, VersionOrder::Canary(trial))
        }
        Command::Promote(PromoteArgs { which, check }) => (which, VersionOrder::Promote { check }),
        Command::Abort(AbortArgs { which }) => (which, VersionOrder::Abort),
        Command::Weight(WeightArgs { which, percent }) => (which, VersionOrder::Weight { weight: percent }),
        Command::Mirror(WeightArgs { which, percent }) => (which, VersionOrder::Mirror { share: percent }),
    };
    let Which { component, version, why } = which;
    let order = OrderVersion { actor: actor(), reason: why.reason, version, order };
    table(&client.order_version(&component, &order).await?)?;
    Ok(Exit::Success)
}

fn table(entries: &[VersionEntry]) -> anyhow::Result<()> {
    let rows: Vec<_> = entries.iter().map(row).collect();
    output::table(["COMPONENT", "VERSION", "SHARE", "CALLS", "FAILED", "P95", "CANARY", "COPIES"], &rows)?;
    for entry in entries {
        if let Some(why) = &entry.why {
            output::note(&format!("{} {} was aborted: {}", entry.component, entry.version, output::printable(why)));
        }
    }
    Ok(())
}

fn row(one: &VersionEntry) -> [String; 8] {
    let dash = || "-".to_owned();
    let p95 = one.p95_us.map_or_else(dash, |us| format!("{}.{:02} ms", us / 1000, us % 1000 / 10));
    let canary = one.canary.clone().unwrap_or_else(dash);
    let share = format!("{} %", one.percent);
    let (calls, failures) = (one.calls.to_string(), one.failures.to_string());
    let copies = one.mirrored.as_ref().map_or_else(dash, |copies| {
        let MirrorEntry { calls, failures, differ, skipped } = copies;
        format!("{} %: {calls}, {failures} failed, {differ} differ, {skipped} skipped", one.mirror_percent)
    });
    [one.component.clone(), one.version.clone(), share, calls, failures, p95, canary, copies]
}

/// A share in percent, with two decimals at most, in hundredths of a percent.
fn percent(text: &str) -> Result<u32, String> {
    let wrong = || format!("{text:?} is no share in percent, such as 5 or 0.25");
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |digits: &str| digits.bytes().all(|digit| digit.is_ascii_digit());
    if whole.is_empty() || whole.len() > 3 || part.len() > 2 || !is_number(whole) || !is_number(part) {
        return Err(wrong());
    }
    let hundredths: u32 = format!("{whole}{part:0<2}").parse().map_err(|_| wrong())?;
    if hundredths > weft_mesh::WHOLE { Err(wrong()) } else { Ok(hundredths) }
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("{text:?} is no NAME=VALUE"))?;
    Ok((name.to_ascii_lowercase(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read_in_hundredths_of_a_percent() {
        for (text, expected) in [("5", 500), ("0.25", 25), ("0.5", 50), ("100", 10_000), ("0", 0), ("12.", 1_200)] {
            assert_eq!(percent(text), Ok(expected), "{text}");
        }
        for text in ["", "-1", "101", "100.01", "0.125", "x", "1e2", ".5", "9999999999"] {
            assert!(percent(text).is_err(), "{text}");
        }
    }
}
