//! `weft events publish`: one event from the command line. A file of them is `lines`'.

use std::path::PathBuf;

use crate::commands::arguments::{actor, duration, json_given};
use crate::control::api::{NewEvent, Publish};
use crate::control::client::Client;
use crate::exit::{Exit, UsageError};
use crate::output;

/// What `weft events publish` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where it goes
    #[arg(required_unless_present = "lines")]
    topic: Option<String>,
    /// What it says: JSON, @FILE, or - for stdin
    #[arg(value_name = "JSON", default_value = "null", allow_hyphen_values = true)]
    payload: String,
    /// The CloudEvents type
    #[arg(long = "type", value_name = "TYPE", required_unless_present = "lines")]
    kind: Option<String>,
    /// Events with the same key are delivered in order
    #[arg(long)]
    key: Option<String>,
    /// A second event of this id does nothing
    #[arg(long)]
    id: Option<String>,
    /// The CloudEvents subject
    #[arg(long)]
    subject: Option<String>,
    /// Which business operation it belongs to
    #[arg(long, value_name = "ID")]
    correlation: Option<String>,
    /// Which version of its schema it has, such as /schemas/order.placed/2
    #[arg(long, value_name = "PATH")]
    dataschema: Option<String>,
    /// Deliver it so much later, such as 500ms, 30s or 2h
    #[arg(long, value_name = "TIME", value_parser = duration)]
    delay: Option<u64>,
    /// Deliver it no later than that
    #[arg(long, value_name = "TIME", value_parser = duration)]
    ttl: Option<u64>,
    /// 0 to 9, 4 without it; a higher one goes first among the events that are ready
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=9))]
    priority: Option<u8>,
    /// Publish the events of a file instead, a JSON object on each line with topic, type, data, and id; - for stdin
    #[arg(long, value_name = "FILE", conflicts_with_all = ["topic", "kind", "payload", "key", "id", "subject"])]
    lines: Option<PathBuf>,
    /// With --lines: begin with this line of it
    #[arg(long, value_name = "N", default_value_t = 1, requires = "lines")]
    from_line: u64,
}

pub(super) async fn run(args: Args, client: &Client) -> anyhow::Result<Exit> {
    if let Some(file) = &args.lines {
        return super::lines::run(file, args.from_line, client).await;
    }
    let (Some(topic), Some(kind)) = (args.topic, args.kind) else {
        return Err(UsageError("a topic and --type are needed".to_owned()).into());
    };
    let event = NewEvent {
        id: args.id,
        topic,
        kind,
        subject: args.subject,
        partitionkey: args.key,
        correlationid: args.correlation,
        dataschema: args.dataschema,
        delay_ms: args.delay,
        ttl_ms: args.ttl,
        priority: args.priority,
        data: json_given(&args.payload)?,
        ..NewEvent::default()
    };
    let published = client.publish(&Publish { actor: actor(), events: vec![event] }).await?;
    for id in published.ids {
        output::line(&id)?;
    }
    Ok(Exit::Success)
}
