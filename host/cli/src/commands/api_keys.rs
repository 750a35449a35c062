//! `weft api-keys`: keys by which programs call the running host in place of a token.

use clap::Subcommand;

use super::arguments::{Why, actor, duration};
use crate::assemble::Place;
use crate::control::api::{Act, ApiKeyEntry, NewApiKey};
use crate::control::client::Client;
use crate::exit::Exit;
use crate::output;

/// The commands under `weft api-keys`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a key; it is printed once and cannot be shown again
    Create(CreateArgs),
    /// List keys: whose, what they may do, until when
    List(ListArgs),
    /// End a key, at once and for good
    Revoke(RevokeArgs),
}

/// What `weft api-keys create` takes.
#[derive(Debug, clap::Args)]
pub struct CreateArgs {
    /// Who calls by it: the id of a user
    #[arg(long, value_name = "SUBJECT")]
    owner: String,
    /// What it is for
    #[arg(long, value_name = "TEXT", default_value = "")]
    name: String,
    /// The caller's role
    #[arg(long, default_value = "")]
    role: String,
    /// A permission of the caller; as often as need be
    #[arg(long = "permission", value_name = "PERMISSION")]
    permissions: Vec<String>,
    /// A tier of the manifest, whose rate limits hold
    #[arg(long)]
    tier: Option<String>,
    /// The caller's tenant
    #[arg(long)]
    tenant: Option<String>,
    /// How long it is good, such as 90d; for ever without it
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    expires_in: Option<u64>,
    #[command(flatten)]
    why: Why,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What `weft api-keys list` takes.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What `weft api-keys revoke` takes.
#[derive(Debug, clap::Args)]
pub struct RevokeArgs {
    /// The key's id, as `weft api-keys list` has it
    id: String,
    #[command(flatten)]
    why: Why,
}

/// Asks the running host and prints what it says.
///
/// # Errors
/// If no host is running, it takes no keys, or it refuses.
pub async fn run(command: Command, place: &Place) -> anyhow::Result<Exit> {
    let client = Client::require(&place.data).await?;
    match command {
        Command::Create(args) => create(args, &client).await?,
        Command::List(args) => list(&args, &client).await?,
        Command::Revoke(RevokeArgs { id, why }) => {
            let revoke = Act { actor: actor(), reason: why.reason };
            let entry = client.revoke_api_key(&id, &revoke).await?;
            output::line(&format!("revoked {} ({}…)", entry.id, entry.start))?;
        }
    }
    Ok(Exit::Success)
}

async fn create(args: CreateArgs, client: &Client) -> anyhow::Result<()> {
    let made = client
        .create_api_key(&NewApiKey {
            actor: actor(),
            reason: args.why.reason,
            name: args.name,
            owner: args.owner,
            role: args.role,
            permissions: args.permissions,
            tier: args.tier,
            tenant: args.tenant,
            expires_in_ms: args.expires_in,
        })
        .await?;
    if args.json {
        return Ok(output::json(&made)?);
    }
    output::line(&made.key)?;
    output::note(&format!("API key {}: keep it, it cannot be shown again; send it as X-API-Key", made.entry.id));
    Ok(())
}

async fn list(args: &ListArgs, client: &Client) -> anyhow::Result<()> {
    let keys = client.api_keys().await?;
    if args.json {
        return Ok(output::json(&keys)?);
    }
    let rows: Vec<_> = keys.iter().map(row).collect();
    Ok(output::table(["ID", "KEY", "NAME", "OWNER", "ROLE", "PERMISSIONS", "TIER", "ENDS"], &rows)?)
}

fn row(key: &ApiKeyEntry) -> [String; 8] {
    let shown = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    [
        key.id.clone(),
        format!("{}…", key.start),
        shown(&key.name),
        key.owner.clone(),
        shown(&key.role),
        shown(&key.permissions.join(" ")),
        shown(key.tier.as_deref().unwrap_or_default()),
        key.expires_ms.map_or_else(|| "never".to_owned(), |ms| output::time(Some(ms))),
    ]
}
