//! `weft dlq`: dead letters of the running host, looked at, changed, delivered again and forgotten.

use std::io::Read as _;
use std::process::Command as Process;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use serde_json::Value;

use super::arguments::{Why, actor, json_given};
use crate::assemble::Place;
use crate::control::api::{DeadLetterEntry, DeadLetterOrder};
use crate::control::client::{Client, query};
use crate::exit::{Exit, UsageError};
use crate::output;

/// The commands under `weft dlq`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List dead letters, oldest first
    List(ListArgs),
    /// Show one dead letter with its event
    Show(ShowArgs),
    /// Change the data of a dead letter's event, before it is replayed
    Edit(EditArgs),
    /// Deliver dead letters again, with fresh attempts, to the subscription that gave them up
    Replay(OrderArgs),
    /// Forget dead letters
    Purge(OrderArgs),
}

/// What `weft dlq list` takes.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Only those of this subscription: component/name, or @group
    #[arg(long, value_name = "ID")]
    subscription: Option<String>,
    /// How many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What `weft dlq show` takes.
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// Its number
    id: i64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What `weft dlq edit` takes.
#[derive(Debug, clap::Args)]
pub struct EditArgs {
    /// Its number
    id: i64,
    /// The new data: JSON, @FILE, or - for stdin; without it, $VISUAL or $EDITOR is opened
    #[arg(value_name = "JSON", allow_hyphen_values = true)]
    payload: Option<String>,
    #[command(flatten)]
    why: Why,
}

/// What `weft dlq replay` and `weft dlq purge` take.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("which").required(true))]
pub struct OrderArgs {
    /// Only this one
    #[arg(long, value_name = "N", group = "which")]
    id: Option<i64>,
    /// Those of this subscription: component/name, or @group
    #[arg(long, value_name = "ID", group = "which")]
    subscription: Option<String>,
    /// All of them
    #[arg(long, group = "which")]
    all: bool,
    #[command(flatten)]
    why: Why,
}

/// Asks the running host and prints what it says.
///
/// # Errors
/// If no host is running, there is no such dead letter, or it refuses.
pub async fn run(command: Command, place: &Place) -> anyhow::Result<Exit> {
    let client = Client::require(&place.data).await?;
    match command {
        Command::List(args) => list(args, &client).await?,
        Command::Show(args) => show(&args, &client).await?,
        Command::Edit(args) => edit(args, &client).await?,
        Command::Replay(args) => order("replay", args, &client).await?,
        Command::Purge(args) => order("purge", args, &client).await?,
    }
    Ok(Exit::Success)
}

async fn list(args: ListArgs, client: &Client) -> anyhow::Result<()> {
    let asked = [("subscription", args.subscription), ("limit", Some(args.limit.to_string()))];
    let letters = client.dead_letters(&query(&asked)).await?;
    if args.json {
        return Ok(output::json(&letters)?);
    }
    let rows: Vec<_> = letters.iter().map(row).collect();
    Ok(output::table(["ID", "SUBSCRIPTION", "TOPIC", "EVENT", "ATTEMPTS", "FAILED", "ERROR"], &rows)?)
}

fn row(letter: &DeadLetterEntry) -> [String; 7] {
    let failed = if letter.replaying { "replaying".to_owned() } else { output::time(Some(letter.failed_at_ms)) };
    let (id, attempts) = (letter.id.to_string(), letter.attempts.to_string());
    let text = |name: &str| text(&letter.event, name);
    [id, letter.subscription.clone(), text("topic"), text("id"), attempts, failed, letter.error.clone()]
}

fn text(event: &Value, name: &str) -> String {
    event.get(name).and_then(Value::as_str).unwrap_or("-").to_owned()
}

async fn show(args: &ShowArgs, client: &Client) -> anyhow::Result<()> {
    let letter = client.dead_letter(args.id).await?;
    if args.json {
        return Ok(output::json(&letter)?);
    }
    let status = if letter.replaying { "being delivered again" } else { "waiting" };
    let lines = [
        ("subscription", letter.subscription.clone()),
        ("status", status.to_owned()),
        ("error", letter.error.clone()),
        ("attempts", letter.attempts.to_string()),
        ("failed", output::time_ms(letter.failed_at_ms)),
        ("component", letter.digest.clone().unwrap_or_else(|| "-".to_owned())),
        ("trace", letter.traceparent.clone()),
    ];
    for (name, value) in lines {
        output::line(&format!("{name:<14}{}", output::printable(&value)))?;
    }
    Ok(output::json(&letter.event)?)
}

async fn edit(args: EditArgs, client: &Client) -> anyhow::Result<()> {
    let data = match &args.payload {
        Some(given) => json_given(given)?,
        None => {
            let letter = client.dead_letter(args.id).await?;
            let before = letter.event.get("data").cloned().unwrap_or_default();
            let after = edited(&before)?;
            if after == before {
                output::note("nothing was changed");
                return Ok(());
            }
            after
        }
    };
    let order = DeadLetterOrder {
        actor: actor(),
        reason: args.why.reason,
        subscription: None,
        id: Some(args.id),
        data: Some(data),
    };
    client.order_dead_letters("edit", &order).await?;
    Ok(output::line(&format!("changed; deliver it with: weft dlq replay --id {}", args.id))?)
}

/// What the person's editor makes of `data`.
fn edited(data: &Value) -> anyhow::Result<Value> {
    let editor = ["VISUAL", "EDITOR"].iter().find_map(|name| std::env::var(name).ok().filter(|name| !name.is_empty()));
    let Some(editor) = editor else {
        let text = "neither $VISUAL nor $EDITOR is set; give the data as JSON, @FILE or - after the number";
        return Err(UsageError(text.to_owned()).into());
    };
    let mut file = tempfile::Builder::new().prefix("weft-").suffix(".json").tempfile()?;
    serde_json::to_writer_pretty(&mut file, data)?;
    // Through a shell, as editors are given with arguments.
    let status = Process::new("sh").arg("-c").arg(format!("{editor} \"$1\"")).arg("sh").arg(file.path()).status();
    let status = status.with_context(|| format!("cannot start the editor {editor}"))?;
    if !status.success() {
        bail!("the editor ended with {status}; nothing was changed");
    }
    let mut text = String::new();
    std::fs::File::open(file.path())?.read_to_string(&mut text)?;
    serde_json::from_str(&text).map_err(|error| UsageError(format!("what was written is not JSON: {error}")).into())
}

async fn order(act: &str, args: OrderArgs, client: &Client) -> anyhow::Result<()> {
    let OrderArgs { id, subscription, all: _, why } = args;
    let order = DeadLetterOrder { actor: actor(), reason: why.reason, subscription, id, data: None };
    let reached = client.order_dead_letters(act, &order).await?;
    let letters = if reached.count == 1 { "dead letter" } else { "dead letters" };
    let done = if act == "replay" { "delivered again" } else { "forgotten" };
    Ok(output::line(&format!("{} {letters} {done}", reached.count))?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_dead_letter_is_one_row() {
        let letter = DeadLetterEntry {
            id: 7,
            subscription: "mails/placed".to_owned(),
            error: "the handler refuses the event: no address".to_owned(),
            attempts: 3,
            digest: None,
            traceparent: String::new(),
            failed_at_ms: 1_500,
            replaying: false,
            event: json!({ "id": "e1", "topic": "order.placed" }),
        };
        let shown = row(&letter);
        assert_eq!(shown[..6], ["7", "mails/placed", "order.placed", "e1", "3", "1970-01-01T00:00:01Z"]);
        assert_eq!(row(&DeadLetterEntry { replaying: true, ..letter })[5], "replaying");
    }
}
