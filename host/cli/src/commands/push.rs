//! `weft push list`: who is connected to the running host to be pushed to, in which channels, and who was too slow.

use crate::assemble::Place;
use crate::control::client::Client;
use crate::exit::Exit;
use crate::output;

/// What `weft push` does.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List channels, connections and those that were cut
    List(Args),
}

/// What `weft push list` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many of each: channels with most connections, connections with most pending, those that were cut last
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(0..=1000))]
    entries: u16,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Asks the running host and prints what it says.
///
/// # Errors
/// If no host is running.
pub async fn run(args: &Args, place: &Place) -> anyhow::Result<Exit> {
    let status = Client::require(&place.data).await?.push(args.entries.into()).await?;
    if args.json {
        output::json(&status)?;
        return Ok(Exit::Success);
    }
    let totals = &status.totals;
    output::line(&format!(
        "{} connections of {} users, {} channels, {} messages kept ({} KiB)",
        status.connections,
        status.users,
        status.channels,
        status.kept,
        status.kept_bytes / 1024
    ))?;
    output::line(&format!(
        "since the start: {} connected, {} resumed, {} gaps, {} pushed, {} delivered, {} cut",
        totals.connected, totals.resumed, totals.gaps, totals.pushed, totals.delivered, totals.cut
    ))?;
    if !status.busiest.is_empty() {
        output::line("")?;
        let row = |channel: &weft_core::push::ChannelStatus| {
            let numbers = [u64::from(channel.connections), u64::from(channel.users), channel.kept as u64];
            let [connections, users, kept] = numbers.map(|number| number.to_string());
            [channel.name.to_string(), connections, users, kept]
        };
        let rows: Vec<_> = status.busiest.iter().map(row).collect();
        output::table(["CHANNEL", "CONNECTIONS", "USERS", "KEPT"], &rows)?;
    }
    if !status.clients.is_empty() {
        output::line("")?;
        let row = |client: &weft_core::push::ClientStatus| {
            let numbers = [client.id, client.channels as u64, client.pending_bytes as u64];
            let [id, channels, pending] = numbers.map(|number| number.to_string());
            let since = output::time(Some(client.since_ms));
            [id, output::printable(&client.user), client.transport.to_string(), channels, pending, since]
        };
        let rows: Vec<_> = status.clients.iter().map(row).collect();
        output::table(["CONNECTION", "USER", "BY", "CHANNELS", "PENDING", "SINCE"], &rows)?;
    }
    if !status.cut.is_empty() {
        output::line("")?;
        let row = |cut: &weft_core::push::Cut| {
            let (id, pending) = (cut.id.to_string(), cut.pending_bytes.to_string());
            [id, output::printable(&cut.user), cut.transport.to_string(), pending, output::time(Some(cut.at_ms))]
        };
        let rows: Vec<_> = status.cut.iter().map(row).collect();
        output::table(["CUT", "USER", "BY", "PENDING", "AT"], &rows)?;
    }
    Ok(Exit::Success)
}
