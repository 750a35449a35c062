//! What a person tells a saga: signals and orders, each with who and why for the audit log.

use anyhow::Context as _;

use crate::control::api::{Order, Ordered, Resolve, Signal};
use crate::control::client::Client;
use crate::exit::{Exit, UsageError};
use crate::output;

use super::super::arguments::{Why, actor};

/// What `weft saga signal` takes.
#[derive(Debug, clap::Args)]
pub struct SignalArgs {
    /// The saga's id
    id: String,
    /// The signal's name
    name: String,
    /// What it carries
    #[arg(value_name = "JSON", default_value = "null", allow_hyphen_values = true)]
    payload: String,
    /// A second signal of this id does nothing
    #[arg(long = "id", value_name = "SIGNAL_ID", default_value = "")]
    signal_id: String,
}

/// What `weft saga query` takes.
#[derive(Debug, clap::Args)]
pub struct QueryArgs {
    /// The saga's id
    id: String,
    /// What the saga has exposed under this name
    name: String,
}

/// What the orders take that need nothing else.
#[derive(Debug, clap::Args)]
pub struct ReasonArgs {
    /// The saga's id
    id: String,
    #[command(flatten)]
    why: Why,
}

/// What `weft saga retry` takes.
#[derive(Debug, clap::Args)]
pub struct RetryArgs {
    /// The saga's id
    id: String,
    /// Forget this step and all after it, and go on from there: name or name#occurrence
    #[arg(long, value_name = "STEP")]
    from: Option<String>,
    #[command(flatten)]
    why: Why,
}

/// What `weft saga resolve` takes.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("how").required(true))]
pub struct ResolveArgs {
    /// The saga's id
    id: String,
    /// Try again what failed
    #[arg(long, group = "how")]
    retry: bool,
    /// The compensation of this step was done by hand: name or name#occurrence
    #[arg(long, value_name = "STEP", group = "how")]
    skip: Option<String>,
    /// Leave it as it is
    #[arg(long, group = "how")]
    abandon: bool,
    /// Why, for the audit log; --skip and --abandon need it
    #[arg(long, value_name = "TEXT", required_unless_present = "retry")]
    reason: Option<String>,
}

/// What `weft saga migrate` takes.
#[derive(Debug, clap::Args)]
pub struct MigrateArgs {
    /// The saga's id
    id: String,
    /// Only try whether the component's current code fits the saga's journal
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    why: Why,
}

pub(super) async fn signal(args: SignalArgs, client: &Client) -> anyhow::Result<Exit> {
    let payload = serde_json::from_str(&args.payload)
        .map_err(|error| UsageError(format!("the signal's payload {:?} is not JSON: {error}", args.payload)))?;
    let order = Order::Signals(Signal { name: args.name, id: args.signal_id, payload });
    client.order(&args.id, &Ordered { actor: actor(), reason: String::new(), order }).await?;
    Ok(Exit::Success)
}

pub(super) async fn query(args: &QueryArgs, client: &Client) -> anyhow::Result<Exit> {
    output::json(&client.query_saga(&args.id, &args.name).await?)?;
    Ok(Exit::Success)
}

pub(super) async fn cancel(args: ReasonArgs, client: &Client) -> anyhow::Result<Exit> {
    tell(client, &args.id, args.why.reason, Order::Cancel).await
}

pub(super) async fn pause(args: ReasonArgs, client: &Client) -> anyhow::Result<Exit> {
    tell(client, &args.id, args.why.reason, Order::Pause).await
}

pub(super) async fn resume(args: ReasonArgs, client: &Client) -> anyhow::Result<Exit> {
    tell(client, &args.id, args.why.reason, Order::Resume).await
}

pub(super) async fn retry(args: RetryArgs, client: &Client) -> anyhow::Result<Exit> {
    tell(client, &args.id, args.why.reason, Order::Retry { from: args.from }).await
}

pub(super) async fn resolve(args: ResolveArgs, client: &Client) -> anyhow::Result<Exit> {
    let how = match args.skip {
        Some(step) => Resolve::Skip { step },
        None if args.abandon => Resolve::Abandon,
        None => Resolve::Retry,
    };
    tell(client, &args.id, args.reason.unwrap_or_default(), Order::Resolve(how)).await
}

pub(super) async fn migrate(args: MigrateArgs, client: &Client) -> anyhow::Result<Exit> {
    let migrated = client.migrate(&args.id, actor(), args.why.reason, args.dry_run).await;
    let migrated = migrated.with_context(|| format!("saga {} stays on its code", args.id))?;
    let what = if migrated.dry_run { "fits its journal; nothing was changed" } else { "is its code now" };
    output::line(&format!("saga {}: sha256:{} {what}", args.id, migrated.digest))?;
    Ok(Exit::Success)
}

/// Gives an order and says where the saga stands then.
async fn tell(client: &Client, id: &str, reason: String, order: Order) -> anyhow::Result<Exit> {
    let saga = client.order(id, &Ordered { actor: actor(), reason, order }).await?;
    output::line(&format!("saga {id} is {}", saga.status))?;
    Ok(Exit::Success)
}
