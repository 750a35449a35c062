//! `weft saga`: sagas of the running host. What each command takes stands here, what it does in the files below.

mod bars;
mod orders;
mod show;
mod start;
mod tail;
mod timeline;

use clap::Subcommand;
use clap::builder::PossibleValuesParser;
use weft_durable::Status;

use crate::assemble::Place;
use crate::control::api::{SagaEntry, SagaList};
use crate::control::client::{Client, query};
use crate::exit::Exit;
use crate::output;

use super::arguments::{attribute, time};

/// The commands under `weft saga`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List sagas, newest first
    List(ListArgs),
    /// Show one saga: its steps, compensations, waits and orders
    Show(show::Args),
    /// Draw the steps of a saga, or of all sagas of a correlation id, as bars
    Timeline(timeline::Args),
    /// Follow transitions as they happen; with an id, until that saga ends
    Tail(tail::Args),
    /// Start a durable function and print its saga's id once it is durably begun
    Start(start::Args),
    /// Send a signal to a saga
    Signal(orders::SignalArgs),
    /// Print what a saga has exposed under a name
    Query(orders::QueryArgs),
    /// Cancel a saga: what runs ends, and the compensations run
    Cancel(orders::ReasonArgs),
    /// Let nothing further of a saga begin
    Pause(orders::ReasonArgs),
    /// Let a paused saga go on
    Resume(orders::ReasonArgs),
    /// Try at once what waits for its next attempt, or run a step and all after it again
    Retry(orders::RetryArgs),
    /// Bring a saga to an end that needs attention
    Resolve(orders::ResolveArgs),
    /// Move a saga to its component's current code, if that fits its journal
    Migrate(orders::MigrateArgs),
}

/// What `weft saga list` takes.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Only sagas that stand there
    #[arg(long, value_parser = PossibleValuesParser::new(Status::ALL.map(Status::as_str)))]
    status: Option<String>,
    /// Only sagas of this function or component
    #[arg(long)]
    name: Option<String>,
    /// Only sagas of this business operation
    #[arg(long, value_name = "ID")]
    correlation: Option<String>,
    /// Only sagas that began at or after this time: RFC 3339, or how long ago, such as 2h or 3d
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<u64>,
    /// Only sagas that began before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<u64>,
    /// Only sagas with this attribute; may be given several times
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = attribute)]
    attributes: Vec<String>,
    /// How many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Go on where the page before ended
    #[arg(long)]
    cursor: Option<u64>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Asks the running host and prints what it says.
///
/// # Errors
/// If no host is running, there is no such saga, or it refuses.
pub async fn run(command: Command, place: &Place) -> anyhow::Result<Exit> {
    let client = Client::require(&place.data).await?;
    match command {
        Command::List(args) => list(args, &client).await,
        Command::Show(args) => show::run(&args, &client).await,
        Command::Timeline(args) => timeline::run(&args, &client).await,
        Command::Tail(args) => tail::run(&args, &client).await,
        Command::Start(args) => start::run(args, &client).await,
        Command::Signal(args) => orders::signal(args, &client).await,
        Command::Query(args) => orders::query(&args, &client).await,
        Command::Cancel(args) => orders::cancel(args, &client).await,
        Command::Pause(args) => orders::pause(args, &client).await,
        Command::Resume(args) => orders::resume(args, &client).await,
        Command::Retry(args) => orders::retry(args, &client).await,
        Command::Resolve(args) => orders::resolve(args, &client).await,
        Command::Migrate(args) => orders::migrate(args, &client).await,
    }
}

async fn list(args: ListArgs, client: &Client) -> anyhow::Result<Exit> {
    let number = |number: Option<u64>| number.map(|number| number.to_string());
    let mut asked = vec![
        ("status", args.status),
        ("name", args.name),
        ("correlation", args.correlation),
        ("since_ms", number(args.since)),
        ("until_ms", number(args.until)),
        ("limit", Some(args.limit.to_string())),
        ("cursor", number(args.cursor)),
    ];
    asked.extend(args.attributes.into_iter().map(|attribute| ("attribute", Some(attribute))));
    let list = client.sagas(&query(&asked)).await?;
    if args.json {
        output::json(&list)?
    } else {
        print_list(&list)?
    }
    Ok(Exit::Success)
}

fn print_list(list: &SagaList) -> std::io::Result<()> {
    let row = |saga: &SagaEntry| {
        let (started, ended) = (output::time(Some(saga.started_at_ms)), output::time(saga.ended_at_ms));
        [saga.id.clone(), saga.name.clone(), saga.status.clone(), started, ended]
    };
    let rows: Vec<_> = list.items.iter().map(row).collect();
    output::table(["ID", "NAME", "STATUS", "STARTED", "ENDED"], &rows)?;
    match list.next_cursor {
        Some(cursor) => output::line(&format!("more: --cursor {cursor}")),
        None => Ok(()),
    }
}
