//! `weft test`: tests of what a user wrote, run by the host itself. Owns the commands' words; `saga` is the harness for
//! sagas, and `child` one host of it, in a process of its own that may be killed.

mod cases;
mod child;
mod data;
mod job;
mod lab;
mod report;
mod rules;
mod saga;
mod verdict;

use clap::Subcommand;

use crate::assemble::Place;
use crate::exit::Exit;

/// The commands under `weft test`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a saga under every fault: each step fails and is repeated, the process is killed after each record
    Saga(saga::Args),
    /// One host of a test, in a process of its own
    #[command(hide = true)]
    SagaRun(child::Args),
}

/// Runs the command.
///
/// # Errors
/// As the command's.
pub async fn run(command: Command, place: &Place) -> anyhow::Result<Exit> {
    match command {
        Command::Saga(args) => saga::run(args, place).await,
        Command::SagaRun(args) => child::run(&args, place).await,
    }
}
