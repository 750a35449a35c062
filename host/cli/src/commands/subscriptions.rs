//! `weft subscriptions`: how subscriptions of the running host stand; they are paused, resumed and moved by hand.

use clap::Subcommand;

use super::arguments::{Why, actor, position};
use crate::assemble::Place;
use crate::control::api::{SubscriptionEntry, SubscriptionOrder};
use crate::control::client::Client;
use crate::exit::Exit;
use crate::output;

/// The commands under `weft subscriptions`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List subscriptions: status, lag, deliveries
    List(ListArgs),
    /// Begin no more deliveries, over restarts as well
    Pause(OrderArgs),
    /// Go on with a paused subscription
    Resume(OrderArgs),
    /// Go on at another place: what is settled behind it comes again, what is not before it is forgotten
    Seek(SeekArgs),
}

/// What `weft subscriptions list` takes.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What orders take that need nothing else.
#[derive(Debug, clap::Args)]
pub struct OrderArgs {
    /// component/name, or @group
    id: String,
    #[command(flatten)]
    why: Why,
}

/// What `weft subscriptions seek` takes.
#[derive(Debug, clap::Args)]
pub struct SeekArgs {
    /// component/name, or @group
    id: String,
    /// earliest, latest, a position, or a time: RFC 3339, or how long ago, such as 2h or 3d
    #[arg(value_parser = position)]
    to: String,
    #[command(flatten)]
    why: Why,
}

/// Asks the running host and prints what it says.
///
/// # Errors
/// If no host is running, there is no such subscription, or it refuses.
pub async fn run(command: Command, place: &Place) -> anyhow::Result<Exit> {
    let client = Client::require(&place.data).await?;
    let order = |act: &'static str, id: String, why: Why, to: Option<String>| {
        let (order, client) =
            (SubscriptionOrder { actor: actor(), reason: why.reason, subscription: id, to }, client.clone());
        async move { client.order_subscription(act, &order).await.map(drop) }
    };
    match command {
        Command::List(args) => list(&args, &client).await?,
        Command::Pause(OrderArgs { id, why }) => order("pause", id, why, None).await?,
        Command::Resume(OrderArgs { id, why }) => order("resume", id, why, None).await?,
        Command::Seek(SeekArgs { id, to, why }) => order("seek", id, why, Some(to)).await?,
    }
    Ok(Exit::Success)
}

async fn list(args: &ListArgs, client: &Client) -> anyhow::Result<()> {
    let subscriptions = client.subscriptions().await?;
    if args.json {
        return Ok(output::json(&subscriptions)?);
    }
    let rows: Vec<_> = subscriptions.iter().map(row).collect();
    let header = ["ID", "STATUS", "LAG", "PARKED", "IN FLIGHT", "INSTANCES", "DELIVERED", "FAILED"];
    output::table(header, &rows)?;
    for stopped in subscriptions.iter().filter(|one| one.error.is_some()) {
        let error = stopped.error.as_deref().unwrap_or_default();
        output::note(&format!("{} is stopped: {}", stopped.id, output::printable(error)));
    }
    Ok(())
}

fn row(one: &SubscriptionEntry) -> [String; 8] {
    let numbers = [one.lag, one.parked, one.in_flight, one.instances, one.delivered, one.failed];
    let [lag, parked, in_flight, instances, delivered, failed] = numbers.map(|number| number.to_string());
    [one.id.clone(), one.status.clone(), lag, parked, in_flight, instances, delivered, failed]
}
