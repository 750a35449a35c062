//! `weft overload`: how many requests the running host works on at a time, why not more, and what it refuses.

use crate::assemble::Place;
use crate::control::api::{OverloadClass, OverloadReport, OverloadRoute};
use crate::control::client::Client;
use crate::exit::Exit;
use crate::output;

/// What `weft overload` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Asks the running host and prints what it says.
///
/// # Errors
/// If no host is running.
pub async fn run(args: &Args, place: &Place) -> anyhow::Result<Exit> {
    let report = Client::require(&place.data).await?.overload().await?;
    if args.json {
        output::json(&report)?;
        return Ok(Exit::Success);
    }
    let OverloadReport { enabled, limit, min, max, running, waiting, ratio_percent, classes, routes } = report;
    let limit = if enabled { format!("{limit} ({min} to {max})") } else { "none".to_owned() };
    output::line(&format!("limit    {limit}"))?;
    output::line(&format!("running  {running}"))?;
    output::line(&format!("waiting  {waiting}"))?;
    output::line(&format!("latency  {ratio_percent} % of what it should be"))?;
    output::line("")?;
    let rows: Vec<_> = classes.iter().map(of_class).collect();
    output::table(["PRIORITY", "BEGINS BELOW", "RUNNING", "ADMITTED", "WAITED", "REFUSED"], &rows)?;
    if !routes.is_empty() {
        output::line("")?;
        let rows: Vec<_> = routes.iter().map(of_route).collect();
        output::table(["ROUTE", "USUALLY", "RUNNING", "SLOW"], &rows)?;
    }
    Ok(Exit::Success)
}

fn of_class(class: &OverloadClass) -> [String; 6] {
    let OverloadClass { priority, most, running, admitted, waited, refused } = class;
    let [most, running] = [most, running].map(ToString::to_string);
    let [admitted, waited, refused] = [admitted, waited, refused].map(ToString::to_string);
    [priority.clone(), most, running, admitted, waited, refused]
}

fn of_route(route: &OverloadRoute) -> [String; 4] {
    let slow = if route.slow { "yes" } else { "" };
    [route.route.clone(), format!("{:.2} ms", route.usual_ms), route.running.to_string(), slow.to_owned()]
}
