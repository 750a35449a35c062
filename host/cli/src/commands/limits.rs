//! `weft limits`: how the rate limits of the running host are defined, what they let through, and who is near them.

use crate::assemble::Place;
use crate::control::api::LimitReport;
use crate::control::client::Client;
use crate::exit::Exit;
use crate::output;

/// What `weft limits` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many of the callers that have used most of each limit
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(0..=1000))]
    callers: u16,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Asks the running host and prints what it says.
///
/// # Errors
/// If no host is running.
pub async fn run(args: &Args, place: &Place) -> anyhow::Result<Exit> {
    let limits = Client::require(&place.data).await?.limits(args.callers.into()).await?;
    if args.json {
        output::json(&limits)?;
        return Ok(Exit::Success);
    }
    let rows: Vec<_> = limits.iter().map(row).collect();
    output::table(["LIMIT", "STRATEGY", "SCOPE", "ALLOWS", "ADMITTED", "REFUSED", "CALLERS"], &rows)?;
    let of_limit = |limit: &LimitReport| {
        let name = limit.name.clone();
        let rows = limit.callers.iter().map(|caller| {
            let reset = format!("{:.1} s", f64::from(u32::try_from(caller.reset_ms).unwrap_or(u32::MAX)) / 1000.0);
            [name.clone(), caller.key.clone(), format!("{} of {}", caller.used, limit.limit), reset]
        });
        rows.collect::<Vec<_>>()
    };
    let callers: Vec<_> = limits.iter().flat_map(of_limit).collect();
    if !callers.is_empty() {
        output::line("")?;
        output::table(["LIMIT", "CALLER", "USED", "MORE IN"], &callers)?;
    }
    Ok(Exit::Success)
}

fn row(limit: &LimitReport) -> [String; 7] {
    let allows = match limit.window_s {
        Some(window_s) => format!("{} in {window_s} s", limit.limit),
        None => format!("{} at a time", limit.limit),
    };
    let numbers = [limit.admitted, limit.refused, limit.keys as u64].map(|number| number.to_string());
    let [admitted, refused, keys] = numbers;
    [limit.name.clone(), limit.strategy.clone(), limit.scope.clone(), allows, admitted, refused, keys]
}
