//! `weft invoke`: calls one function by hand, in the running host or in one that lives for this call.

use std::time::Duration;

use anyhow::bail;

use crate::assemble::Place;
use crate::exit::Exit;
use crate::invoker::Invoker;
use crate::output;

/// What `weft invoke` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The component's id in the manifest
    component: String,
    /// The function as interface#function; the interface may lack its package and version
    #[arg(value_name = "IFACE#FUNC")]
    function: String,
    /// A WAVE tuple, such as '("key", {id: 7})', or a JSON array, such as '["key", {"id": 7}]'
    #[arg(default_value = "()", allow_hyphen_values = true)]
    arguments: String,
    /// How long to wait for the answer
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout_s: u64,
    /// Print the answer as JSON instead of WAVE
    #[arg(long)]
    json: bool,
}

/// Prints the answer. An answer that is an error of the function's own ends with [`Exit::Failure`].
///
/// # Errors
/// If there is no such function, the arguments do not fit, there is no answer, or there is no data directory: one that was
/// mistyped must not be made.
pub async fn run(args: &Args, place: &Place) -> anyhow::Result<Exit> {
    if !place.data.is_dir() {
        bail!(
            "there is no data directory {}, so no host runs there; name another with --data, or make it with `weft up`",
            place.data.display()
        );
    }
    let invoker = Invoker::find(place).await?;
    let timeout = Duration::from_secs(args.timeout_s);
    let answer = invoker.invoke(&args.component, &args.function, &args.arguments, timeout).await;
    let closed = invoker.close().await;
    let answer = answer?;
    closed?;
    if args.json {
        output::json(&answer.json)?;
    } else if !answer.wave.is_empty() {
        output::line(&output::printable(&answer.wave))?;
    }
    Ok(if answer.is_error { Exit::Failure } else { Exit::Success })
}
