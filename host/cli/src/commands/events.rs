//! `weft events`: the events of the running host, as they come and as they came, and publishing by hand.

mod lines;
mod publish;

use clap::Subcommand;
use serde_json::Value;

use super::arguments::{position, time};
use crate::assemble::Place;
use crate::control::api::EventEntry;
use crate::control::client::{Client, query};
use crate::exit::Exit;
use crate::output;

/// The longest data in a line for people, in characters; a longer one is cut.
const SHOWN_CHARACTERS: usize = 160;
/// The most events of one page.
const PAGE: usize = 1_000;

/// The commands under `weft events`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Follow events as they are published, until Ctrl-C
    Tail(TailArgs),
    /// Publish an event, or a file of them
    Publish(publish::Args),
    /// Show events of the past, the newest last
    History(HistoryArgs),
}

/// What `weft events tail` takes.
#[derive(Debug, clap::Args)]
pub struct TailArgs {
    /// Only of topics that this covers: `*` is one word, `#` any number
    #[arg(default_value = "#")]
    topic: String,
    /// Begin there and not now: earliest, a position, or a time: RFC 3339, or how long ago, such as 2h or 3d
    #[arg(long, value_name = "PLACE", value_parser = position)]
    from: Option<String>,
    /// Only of this CloudEvents type
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Only of this business operation
    #[arg(long, value_name = "ID")]
    correlation: Option<String>,
    /// Print one JSON object on each line
    #[arg(long)]
    json: bool,
}

/// What `weft events history` takes.
#[derive(Debug, clap::Args)]
pub struct HistoryArgs {
    /// Only of topics that this covers: `*` is one word, `#` any number
    #[arg(long)]
    topic: Option<String>,
    /// Only of this CloudEvents type
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Only of this CloudEvents subject
    #[arg(long)]
    subject: Option<String>,
    /// Only of this business operation
    #[arg(long, value_name = "ID")]
    correlation: Option<String>,
    /// Only events of this time or later: RFC 3339, or how long ago, such as 2h or 3d
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<u64>,
    /// Only events before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<u64>,
    /// Only events before this position
    #[arg(long, value_name = "POSITION")]
    before: Option<u64>,
    /// How many of the last ones
    #[arg(long, short = 'n', default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Print one JSON object on each line
    #[arg(long)]
    json: bool,
}

/// Asks the running host and prints what it says.
///
/// # Errors
/// If no host is running, or it refuses.
pub async fn run(command: Command, place: &Place) -> anyhow::Result<Exit> {
    let client = Client::require(&place.data).await?;
    match command {
        Command::Tail(args) => tail(args, &client).await,
        Command::Publish(args) => publish::run(args, &client).await,
        Command::History(args) => history(args, &client).await,
    }
}

async fn tail(args: TailArgs, client: &Client) -> anyhow::Result<Exit> {
    let asked =
        [("topic", Some(args.topic)), ("from", args.from), ("type", args.kind), ("correlation", args.correlation)];
    client.tail_events(&query(&asked), |entry| print(&entry, args.json)).await?;
    Ok(Exit::Success)
}

async fn history(args: HistoryArgs, client: &Client) -> anyhow::Result<Exit> {
    let limit = usize::try_from(args.limit)?;
    let (mut found, mut before) = (Vec::new(), args.before);
    loop {
        let number = |number: Option<u64>| number.map(|number| number.to_string());
        let asked = [
            ("topic", args.topic.clone()),
            ("type", args.kind.clone()),
            ("subject", args.subject.clone()),
            ("correlation", args.correlation.clone()),
            ("since_ms", number(args.since)),
            ("until_ms", number(args.until)),
            ("before", number(before)),
            ("limit", Some((limit - found.len()).min(PAGE).to_string())),
        ];
        let page = client.events(&query(&asked)).await?;
        found.extend(page.items);
        if page.end || found.len() >= limit {
            break;
        }
        before = Some(page.next);
    }
    for entry in found.iter().rev() {
        print(entry, args.json)?;
    }
    Ok(Exit::Success)
}

fn print(entry: &EventEntry, json: bool) -> anyhow::Result<()> {
    let text = if json { serde_json::to_string(entry)? } else { line(entry) };
    Ok(output::line(&text)?)
}

fn line(entry: &EventEntry) -> String {
    let text = |name: &str| entry.event.get(name).and_then(Value::as_str);
    let named = |name: &str, shown: &str| text(name).map(|value| format!(" {shown}={value}")).unwrap_or_default();
    let data = entry.event.get("data").map(Value::to_string).unwrap_or_default();
    let cut: String = data.chars().take(SHOWN_CHARACTERS).collect();
    let more = if cut.len() < data.len() { "…" } else { "" };
    let line = format!(
        "{} {}  {} {} id={}{}{}  {cut}{more}",
        text("time").unwrap_or("-"),
        entry.position,
        text("topic").unwrap_or("-"),
        text("type").unwrap_or("-"),
        text("id").unwrap_or("-"),
        named("partitionkey", "key"),
        named("correlationid", "correlation"),
    );
    output::printable(&line)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_one_line() {
        let event = json!({
            "time": "2026-01-01T00:00:00.000Z", "topic": "order.placed", "type": "Placed", "id": "7", "partitionkey": "o1",
            "data": { "cents": 5, "note": "a\nb" },
        });
        let expected = r#"2026-01-01T00:00:00.000Z 12  order.placed Placed id=7 key=o1  {"cents":5,"note":"a\nb"}"#;
        assert_eq!(line(&EventEntry { position: 12, event: event.clone() }), expected);
        let mut long = event;
        long["data"] = json!("x".repeat(1_000));
        assert!(line(&EventEntry { position: 12, event: long }).ends_with("x…"));
    }
}
