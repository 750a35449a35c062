//! `weft chaos`: calls in a running host that are delayed, or fail, on purpose.

use clap::Subcommand;
use clap::builder::PossibleValuesParser;

use weft_core::manifest::mesh::ABORTS;

use super::arguments::{Why, actor, duration};
use crate::assemble::Place;
use crate::control::api::{Act, AddFault, FaultEntry};
use crate::control::client::Client;
use crate::exit::Exit;
use crate::output;

/// The commands under `weft chaos`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the faults that there are, declared and by hand
    List(ListArgs),
    /// Delay calls, or make them fail, until they are cleared or the host ends
    Add(AddArgs),
    /// Take away the faults by hand
    Clear(ClearArgs),
}

/// What `weft chaos list` takes.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What `weft chaos add` takes.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("what").required(true).multiple(true).args(["delay", "abort"])))]
pub struct AddArgs {
    /// The component or service that is called; any without it
    #[arg(long, value_name = "COMPONENT")]
    callee: Option<String>,
    /// The component that calls; anyone without it
    #[arg(long, value_name = "COMPONENT")]
    caller: Option<String>,
    /// The function, as interface#function; any without it
    #[arg(long, value_name = "FUNCTION")]
    function: Option<String>,
    /// How many of a hundred calls it strikes
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100))]
    percent: u32,
    /// How much later those calls begin, such as 200ms
    #[arg(long, value_name = "TIME", value_parser = duration)]
    delay: Option<u64>,
    /// How those calls fail
    #[arg(long, value_name = "FAILURE", value_parser = PossibleValuesParser::new(ABORTS.map(weft_core::Reason::as_str)))]
    abort: Option<String>,
    #[command(flatten)]
    why: Why,
}

/// What `weft chaos clear` takes.
#[derive(Debug, clap::Args)]
pub struct ClearArgs {
    #[command(flatten)]
    why: Why,
}

/// Asks the running host and prints what it says.
///
/// # Errors
/// If no host is running, or it refuses.
pub async fn run(command: Command, place: &Place) -> anyhow::Result<Exit> {
    let client = Client::require(&place.data).await?;
    match command {
        Command::List(args) => list(&args, &client).await?,
        Command::Add(args) => client.add_fault(&fault(args)).await?,
        Command::Clear(args) => {
            let cleared = client.clear_faults(&Act { actor: actor(), reason: args.why.reason }).await?.cleared;
            output::line(&format!("{cleared} cleared"))?;
        }
    }
    Ok(Exit::Success)
}

fn fault(args: AddArgs) -> AddFault {
    let AddArgs { callee, caller, function, percent, delay, abort, why } = args;
    let [callee, caller, function] = [callee, caller, function].map(|text| text.map(Into::into));
    // One that does not fit is longer than the host allows.
    let delay_ms = delay.map(|ms| u32::try_from(ms).unwrap_or(u32::MAX));
    let fault = FaultEntry { callee, caller, function, percent, delay_ms, abort, declared: false };
    AddFault { actor: actor(), reason: why.reason, fault }
}

async fn list(args: &ListArgs, client: &Client) -> anyhow::Result<()> {
    let entries = client.faults().await?;
    if args.json {
        return Ok(output::json(&entries)?);
    }
    let rows: Vec<_> = entries.iter().map(row).collect();
    Ok(output::table(["CALLEE", "CALLER", "FUNCTION", "PERCENT", "DELAY", "ABORT", "BY"], &rows)?)
}

fn row(one: &FaultEntry) -> [String; 7] {
    let any = |text: &Option<std::sync::Arc<str>>| text.as_deref().unwrap_or("any").to_owned();
    let delay = one.delay_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms"));
    let abort = one.abort.clone().unwrap_or_else(|| "-".to_owned());
    let by = if one.declared { "manifest" } else { "hand" };
    [any(&one.callee), any(&one.caller), any(&one.function), one.percent.to_string(), delay, abort, by.to_owned()]
}
