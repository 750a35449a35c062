//! `weft service-tokens`: tokens by which services call the running host.

use clap::Subcommand;

use super::arguments::{Why, actor, duration};
use crate::assemble::Place;
use crate::control::api::{Act, NewServiceToken};
use crate::control::client::Client;
use crate::exit::Exit;
use crate::output;

/// The commands under `weft service-tokens`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a token; it is printed once and kept nowhere
    Create(CreateArgs),
    /// Void all tokens of a service that were made until now
    Void(VoidArgs),
}

/// What `weft service-tokens create` takes.
#[derive(Debug, clap::Args)]
pub struct CreateArgs {
    /// The service, as `callers` of routes name it
    service: String,
    /// A permission of the service; as often as need be
    #[arg(long = "permission", value_name = "PERMISSION")]
    permissions: Vec<String>,
    /// How long it is good, from 1s to 24h; an hour without it
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    expires_in: Option<u64>,
    #[command(flatten)]
    why: Why,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What `weft service-tokens void` takes.
#[derive(Debug, clap::Args)]
pub struct VoidArgs {
    /// The service
    service: String,
    #[command(flatten)]
    why: Why,
}

/// Asks the running host and prints what it says.
///
/// # Errors
/// If no host is running, it has no key to sign with, or it refuses.
pub async fn run(command: Command, place: &Place) -> anyhow::Result<Exit> {
    let client = Client::require(&place.data).await?;
    match command {
        Command::Create(args) => create(args, &client).await?,
        Command::Void(VoidArgs { service, why }) => {
            client.void_service_tokens(&service, &Act { actor: actor(), reason: why.reason }).await?;
            output::line(&format!("the tokens of {service} that were made until now are void"))?;
        }
    }
    Ok(Exit::Success)
}

async fn create(args: CreateArgs, client: &Client) -> anyhow::Result<()> {
    let wanted = NewServiceToken {
        actor: actor(),
        reason: args.why.reason,
        service: args.service,
        permissions: args.permissions,
        expires_in_ms: args.expires_in,
    };
    let made = client.create_service_token(&wanted).await?;
    if args.json {
        return Ok(output::json(&made)?);
    }
    output::line(&made.token)?;
    let ends = output::time(Some(made.expires_ms));
    output::note(&format!("token of the service {} until {ends}: send it as Authorization: Bearer", wanted.service));
    Ok(())
}
