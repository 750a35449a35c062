//! `weft schema`: what events have to look like. Listing and checking read the files; what changes something asks the
//! running host.

mod check;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use clap::builder::PossibleValuesParser;

use weft_capability::schema::{Document, Mode, Types, asyncapi, deployed, is_type_name};

use super::arguments::{Why, actor};
use crate::assemble::{self, Place};
use crate::control::api::schemas::entries;
use crate::control::api::{Deprecate, RegisterSchema, SchemaEntry, SetMode};
use crate::control::client::Client;
use crate::exit::{Exit, UsageError};
use crate::{output, schemas};

/// The commands under `weft schema`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the event types of the data directory, their versions and modes
    List(ListArgs),
    /// Show a schema
    Show(ShowArgs),
    /// Register the next version of a type by hand; `weft up` registers those in the folder
    Register(RegisterArgs),
    /// Set which versions a new one of a type has to go together with
    Mode(ModeArgs),
    /// Deprecate a field, so that it may go after 90 days, or a type
    Deprecate(DeprecateArgs),
    /// Compare the folder's schemas with what is deployed, and explain each change that breaks somebody
    Check(check::Args),
    /// Print the AsyncAPI 3.0 document of the manifest's topics and the folder's schemas
    Asyncapi,
}

/// What `weft schema list` takes.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What `weft schema show` takes.
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// The CloudEvents type
    #[arg(value_name = "TYPE")]
    kind: String,
    /// Which version; the newest without it
    #[arg(long, value_name = "N")]
    version: Option<u32>,
}

/// What `weft schema register` takes.
#[derive(Debug, clap::Args)]
pub struct RegisterArgs {
    /// The CloudEvents type
    #[arg(value_name = "TYPE")]
    kind: String,
    /// The schema
    file: PathBuf,
    #[command(flatten)]
    why: Why,
}

/// What `weft schema mode` takes.
#[derive(Debug, clap::Args)]
pub struct ModeArgs {
    /// The CloudEvents type
    #[arg(value_name = "TYPE")]
    kind: String,
    /// The mode
    #[arg(value_parser = PossibleValuesParser::new(Mode::ALL.map(Mode::as_str)))]
    mode: String,
    #[command(flatten)]
    why: Why,
}

/// What `weft schema deprecate` takes.
#[derive(Debug, clap::Args)]
pub struct DeprecateArgs {
    /// The CloudEvents type
    #[arg(value_name = "TYPE")]
    kind: String,
    /// A field in its newest schema, such as /properties/note; the whole type without it
    #[arg(value_name = "POINTER", default_value = "")]
    pointer: String,
    #[command(flatten)]
    why: Why,
}

/// Does what is asked.
///
/// # Errors
/// If there is no such type, the rules refuse, or no host is running where one is needed.
pub async fn run(command: Command, place: &Place) -> anyhow::Result<Exit> {
    match command {
        Command::List(args) => list(&args, place)?,
        Command::Show(args) => show(&args, place)?,
        Command::Check(args) => return check::run(&args, place),
        Command::Asyncapi => document(place)?,
        Command::Register(args) => register(args, place).await?,
        Command::Mode(args) => {
            let mode = args.mode.parse().map_err(UsageError)?;
            let order = SetMode { actor: actor(), reason: args.why.reason, kind: args.kind, mode };
            told(&Client::require(&place.data).await?.set_schema_mode(&order).await?)?;
        }
        Command::Deprecate(args) => {
            let DeprecateArgs { kind, pointer, why } = args;
            let order = Deprecate { actor: actor(), reason: why.reason, kind, pointer };
            told(&Client::require(&place.data).await?.deprecate_schema(&order).await?)?;
        }
    }
    Ok(Exit::Success)
}

fn registered(place: &Place) -> anyhow::Result<Types> {
    let types = deployed(&place.data)?;
    types.with_context(|| format!("no schemas were ever deployed in {}; `weft up` does so", place.data.display()))
}

fn list(args: &ListArgs, place: &Place) -> anyhow::Result<()> {
    let entries = entries(&registered(place)?);
    if args.json {
        return Ok(output::json(&entries)?);
    }
    let rows: Vec<_> = entries.iter().map(row).collect();
    Ok(output::table(["TYPE", "VERSIONS", "MODE", "NEWEST SINCE", "DEPRECATED"], &rows)?)
}

fn row(entry: &SchemaEntry) -> [String; 5] {
    let versions: Vec<String> = entry.versions.iter().map(|one| one.version.to_string()).collect();
    let newest = entry.versions.last().map(|one| one.registered_at_ms);
    let fields = entry.deprecated_fields.iter().map(|field| field.pointer.clone());
    let deprecated: Vec<String> = entry.deprecated_at_ms.map(|_| "type".to_owned()).into_iter().chain(fields).collect();
    let deprecated = if deprecated.is_empty() { "-".to_owned() } else { deprecated.join(", ") };
    [entry.kind.clone(), versions.join(", "), entry.mode.to_string(), output::time(newest), deprecated]
}

fn told(entry: &SchemaEntry) -> anyhow::Result<()> {
    Ok(output::table(["TYPE", "VERSIONS", "MODE", "NEWEST SINCE", "DEPRECATED"], &[row(entry)])?)
}

fn show(args: &ShowArgs, place: &Place) -> anyhow::Result<()> {
    let types = registered(place)?;
    let known = types.get(args.kind.as_str());
    let found = known.and_then(|known| match args.version {
        Some(version) => known.versions.get(&version),
        None => known.versions.last_key_value().map(|(_, version)| version),
    });
    let which = args.version.map(|version| format!(" of version {version}")).unwrap_or_default();
    let none = || UsageError(format!("there is no schema{which} of the type {:?}; see `weft schema list`", args.kind));
    Ok(output::json(found.ok_or_else(none)?.document.written())?)
}

async fn register(args: RegisterArgs, place: &Place) -> anyhow::Result<()> {
    let RegisterArgs { kind, file, why } = args;
    if !is_type_name(&kind) {
        return Err(UsageError(format!("{kind:?} is no type: use letters, digits, `.`, `-` and `_`")).into());
    }
    let text = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let document = Document::parse(&text).map_err(|error| UsageError(format!("{}: {error}", file.display())))?;
    let client = Client::require(&place.data).await?;
    let known = deployed(&place.data)?.unwrap_or_default();
    let newest = known.get(kind.as_str()).and_then(|known| known.versions.last_key_value());
    let version = newest.map_or(0, |(version, _)| *version) + 1;
    let order =
        RegisterSchema { actor: actor(), reason: why.reason, kind, version, schema: document.written().clone() };
    told(&client.register_schema(&order).await?)
}

fn document(place: &Place) -> anyhow::Result<()> {
    let manifest = place.load().map_err(assemble::refused)?;
    let given = schemas::given(&manifest)?;
    Ok(output::json(&asyncapi(&manifest, &schemas::newest_given(&given)))?)
}
