//! `weft run`: runs a command component (`wasi:cli`) once, in the running host or in one that lives for this job.

use std::io::{IsTerminal as _, Read as _, Write as _};

use anyhow::{Context as _, bail};

use crate::assemble::Place;
use crate::control::api::Run;
use crate::exit::Exit;
use crate::invoker::Invoker;

/// The most that a command is given on standard input, in bytes.
const MAX_STDIN_BYTES: u64 = 512 * 1024;

/// What `weft run` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The component's id in the manifest
    component: String,
    /// What the command is given
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
    /// How long it may take
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout_s: u64,
}

/// Runs it, prints what it wrote when it has ended, and ends as it did. Standard input goes to the command unless it is
/// a terminal.
///
/// # Errors
/// If there is no such command, or it does not end in time.
pub async fn run(args: Args, place: &Place) -> anyhow::Result<Exit> {
    let mut stdin = Vec::new();
    if !std::io::stdin().is_terminal() {
        std::io::stdin().lock().take(MAX_STDIN_BYTES + 1).read_to_end(&mut stdin).context("cannot read stdin")?;
        if stdin.len() as u64 > MAX_STDIN_BYTES {
            bail!("stdin has more than {MAX_STDIN_BYTES} bytes; put larger data into a store or a file");
        }
    }
    let invoker = Invoker::find(place).await?;
    let Args { component, arguments, timeout_s } = args;
    let ran = invoker.run(Run { component, arguments, stdin, timeout_ms: timeout_s * 1000 }).await;
    let closed = invoker.close().await;
    let ran = ran?;
    closed?;
    let printed = std::io::stdout().write_all(&ran.stdout).and_then(|()| std::io::stderr().write_all(&ran.stderr));
    printed.context("cannot print")?;
    Ok(u8::try_from(ran.code).map_or(Exit::Failure, Exit::Of))
}
