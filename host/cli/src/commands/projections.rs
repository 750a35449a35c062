//! `weft projections`: how the read models of a running host stand, and what can be done to them.

use crate::assemble::Place;
use crate::control::api::{ProjectionEntry, ProjectionOrder};
use crate::control::client::Client;
use crate::exit::Exit;
use crate::output;

use super::arguments::{Why, actor};

/// What `weft projections` does.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List projections: state, position, lag, rebuilds
    List(ListArgs),
    /// Make a read model anew beside the live one, and switch over when it has caught up
    Rebuild(RebuildArgs),
    /// Give up the rebuild that runs, with all that it has made
    Abandon(OrderArgs),
    /// Apply nothing further, over restarts too
    Pause(OrderArgs),
    /// Go on after a pause
    Resume(OrderArgs),
}

/// What `weft projections list` takes.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What the orders take.
#[derive(Debug, clap::Args)]
pub struct OrderArgs {
    /// The projection, as `component/name@version`
    id: String,
    #[command(flatten)]
    why: Why,
}

/// What `weft projections rebuild` takes.
#[derive(Debug, clap::Args)]
pub struct RebuildArgs {
    #[command(flatten)]
    order: OrderArgs,
    /// The position to begin at; the oldest event without it
    #[arg(long, value_name = "POSITION", default_value_t = 0)]
    from: u64,
}

/// Asks the running host and prints what it says.
///
/// # Errors
/// If no host is running, there is no such projection, or it refuses.
pub async fn run(command: Command, place: &Place) -> anyhow::Result<Exit> {
    let client = Client::require(&place.data).await?;
    match command {
        Command::List(args) => list(&args, &client).await,
        Command::Rebuild(args) => tell(args.order, "rebuild", args.from, &client).await,
        Command::Abandon(args) => tell(args, "abandon", 0, &client).await,
        Command::Pause(args) => tell(args, "pause", 0, &client).await,
        Command::Resume(args) => tell(args, "resume", 0, &client).await,
    }
}

async fn list(args: &ListArgs, client: &Client) -> anyhow::Result<Exit> {
    let entries = client.projections().await?;
    if args.json {
        output::json(&entries)?;
    } else {
        let rows: Vec<_> = entries.iter().map(row).collect();
        output::table(["PROJECTION", "SOURCE", "STATE", "POSITION", "LAG", "APPLIED", "REBUILD"], &rows)?;
        for entry in &entries {
            let rebuild = entry.rebuild.as_ref().and_then(|rebuild| rebuild.error.as_ref());
            for error in entry.error.iter().chain(rebuild) {
                output::note(&format!("{}: {}", entry.id, output::printable(error)));
            }
        }
    }
    Ok(Exit::Success)
}

fn row(entry: &ProjectionEntry) -> [String; 7] {
    let rebuild = entry.rebuild.as_ref();
    [
        entry.id.clone(),
        entry.source.clone(),
        entry.state.clone(),
        entry.position.to_string(),
        entry.lag.to_string(),
        entry.applied.to_string(),
        rebuild.map_or_else(|| "-".to_owned(), |rebuild| format!("{}, lag {}", rebuild.state, rebuild.lag)),
    ]
}

/// Gives an order and says how the projection stands then.
async fn tell(args: OrderArgs, order: &str, from: u64, client: &Client) -> anyhow::Result<Exit> {
    let ordered = ProjectionOrder { actor: actor(), reason: args.why.reason, from };
    let entry = client.order_projection(&args.id, order, &ordered).await?;
    let rebuilt = entry.rebuild.map_or_else(String::new, |rebuild| format!("; its rebuild is {}", rebuild.state));
    output::line(&format!("projection {} is {}{rebuilt}", args.id, entry.state))?;
    Ok(Exit::Success)
}
