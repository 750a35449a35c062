//! `weft import`: loads data of another system, in the running host or in one that lives for it.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;

use crate::assemble::Place;
use crate::exit::{AlreadyReported, Exit};
use crate::import::load::{self, Summary};
use crate::import::oulad;
use crate::invoker::Invoker;
use crate::output;

/// The commands under `weft import`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Load the Open University Learning Analytics Dataset; running it again goes on where it was
    Oulad(Args),
}

/// What `weft import oulad` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where courses.csv, studentInfo.csv and studentRegistration.csv are, each plain or as .csv.gz
    dir: PathBuf,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

/// Imports and prints the three counts.
///
/// # Errors
/// If a file is wrong, or the application refuses or does not answer.
pub async fn run(args: &Args, place: &Place) -> anyhow::Result<Exit> {
    // All files are read and checked before a host is bothered.
    let dataset = oulad::read(&args.dir)?;
    let invoker = Invoker::find(place).await?;
    let imported = load::run(&invoker, &dataset).await;
    let closed = invoker.close().await;
    let summary = imported.context("the import stopped; run it again to go on where it was")?;
    closed?;
    if args.json {
        output::json(&summary)?
    } else {
        print(&summary)?
    }
    if summary.failed == 0 { Ok(Exit::Success) } else { Err(AlreadyReported.into()) }
}

fn print(summary: &Summary) -> std::io::Result<()> {
    let Summary { enrollments, cancelled, completed, failed, .. } = summary;
    output::line(&format!("{enrollments} enrollments, {cancelled} cancelled, {completed} completed"))?;
    if *failed > 0 {
        let line = format!("{failed} rows were refused; why is in `weft logs enrollment-import-chunk`");
        output::line(&line)?;
    }
    Ok(())
}
