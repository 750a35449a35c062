//! `weft breakers`: how the circuit breakers of a running host stand; they are opened, closed and reset by hand.

use clap::Subcommand;

use super::arguments::{Why, actor};
use crate::assemble::Place;
use crate::control::api::{Act, BreakerChange, BreakerEntry};
use crate::control::client::Client;
use crate::exit::Exit;
use crate::output;

/// The commands under `weft breakers`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List components and services that are called: breaker, calls, failures, calls made again
    List(ListArgs),
    /// Follow what breakers do
    Watch(WatchArgs),
    /// Refuse all calls to a component or service until its breaker is reset
    Open(OrderArgs),
    /// Let all calls through until it is reset
    Close(OrderArgs),
    /// Close it, and leave it to itself
    Reset(OrderArgs),
}

/// What `weft breakers list` takes.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What `weft breakers watch` takes.
#[derive(Debug, clap::Args)]
pub struct WatchArgs {
    /// Print JSON, a line for each change
    #[arg(long)]
    json: bool,
}

/// What the orders take.
#[derive(Debug, clap::Args)]
pub struct OrderArgs {
    /// The component or service that is called
    component: String,
    #[command(flatten)]
    why: Why,
}

/// Asks the running host and prints what it says.
///
/// # Errors
/// If no host is running, there is no such component, or it has no breaker.
pub async fn run(command: Command, place: &Place) -> anyhow::Result<Exit> {
    let client = Client::require(&place.data).await?;
    match command {
        Command::List(args) => list(&args, &client).await?,
        Command::Watch(args) => watch(&args, &client).await?,
        Command::Open(args) => tell(args, "open", &client).await?,
        Command::Close(args) => tell(args, "close", &client).await?,
        Command::Reset(args) => tell(args, "reset", &client).await?,
    }
    Ok(Exit::Success)
}

async fn tell(args: OrderArgs, order: &str, client: &Client) -> anyhow::Result<()> {
    let act = Act { actor: actor(), reason: args.why.reason };
    client.order_breaker(&args.component, order, &act).await
}

async fn watch(args: &WatchArgs, client: &Client) -> anyhow::Result<()> {
    let each = |change: BreakerChange| {
        let line = if args.json {
            serde_json::to_string(&change)?
        } else {
            let BreakerChange { time_ms, component, from, to } = change;
            format!("{} {component} {from} -> {to}", output::time_ms(time_ms))
        };
        Ok(output::line(&line)?)
    };
    client.watch_breakers(each).await
}

async fn list(args: &ListArgs, client: &Client) -> anyhow::Result<()> {
    let entries = client.breakers().await?;
    if args.json {
        return Ok(output::json(&entries)?);
    }
    let rows: Vec<_> = entries.iter().map(row).collect();
    let header = ["COMPONENT", "BREAKER", "WINDOW", "OPENED", "REFUSED", "CALLS", "FAILED", "RETRIES", "HEDGES"];
    Ok(output::table(header, &rows)?)
}

fn row(one: &BreakerEntry) -> [String; 9] {
    let state = match (one.forced, one.retry_after_ms) {
        (true, _) => format!("{} by hand", one.state),
        (false, Some(ms)) => format!("{}, {} s more", one.state, ms.div_ceil(1000)),
        (false, None) => one.state.clone(),
    };
    let window = format!("{}/{} failed", one.window_failures, one.window_calls);
    let numbers = [one.opened, one.refused, one.calls, one.failures, one.retries, one.hedges];
    let [opened, refused, calls, failed, retries, hedges] = numbers.map(|number| number.to_string());
    [one.component.clone(), state, window, opened, refused, calls, failed, retries, hedges]
}
