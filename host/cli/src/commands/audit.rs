//! `weft audit`: what was done by hand, done or refused, and which requests the gateway refused. Reads the files: no host need be running.

use weft_telemetry::{AuditEntry, audit};

use crate::assemble::Place;
use crate::exit::Exit;
use crate::output;

/// What `weft audit` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many of the last actions
    #[arg(long, short = 'n', value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Only what has this among its actor, action, detail and reason
    #[arg(long, value_name = "TEXT")]
    about: Option<String>,
    /// Print one JSON object on each line
    #[arg(long)]
    json: bool,
}

/// Prints the actions, oldest first.
///
/// # Errors
/// If there is no data directory, or its audit log cannot be read.
pub fn run(args: &Args, place: &Place) -> anyhow::Result<Exit> {
    if !place.data.is_dir() {
        anyhow::bail!("there is no data directory {}; name another with --data", place.data.display());
    }
    let entries =
        audit::last(&place.data, usize::try_from(args.limit)?, |entry| is_about(entry, args.about.as_deref()))?;
    if args.json {
        entries.iter().try_for_each(|entry| output::line(&serde_json::to_string(entry)?))?;
        return Ok(Exit::Success);
    }
    let rows: Vec<_> = entries.iter().map(row).collect();
    output::table(["TIME", "ACTOR", "ACTION", "SAGA", "DETAIL", "REASON", "OUTCOME"], &rows)?;
    Ok(Exit::Success)
}

fn is_about(entry: &AuditEntry, text: Option<&str>) -> bool {
    let AuditEntry { actor, action, detail, reason, .. } = entry;
    text.is_none_or(|text| [actor, action, detail, reason].iter().any(|part| part.contains(text)))
}

fn row(entry: &AuditEntry) -> [String; 7] {
    let shown = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    let AuditEntry { time_ms, actor, action, saga, detail, reason, outcome, requests: _ } = entry;
    let texts = [actor, action, saga, detail, reason, outcome].map(|text| shown(text));
    let [actor, action, saga, detail, reason, outcome] = texts;
    [output::time(Some(*time_ms)), actor, action, saga, detail, reason, outcome]
}
