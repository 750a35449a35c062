//! `weft keys`: the keys of tokens as variables, for a host that is not Weft.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use anyhow::{Context as _, bail};

use crate::assemble::{self, Place};
use crate::exit::Exit;
use crate::keys;
use crate::output;

/// What `weft keys` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to write them, for its owner alone; a file that is there is replaced
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

/// Writes the variables with the private key and its public half as JSON, as `spin up --variable @FILE` reads them. Keys
/// that are missing are made, and kept in the data directory, as `weft up` does.
///
/// # Errors
/// If the application names no keys, or one cannot be read, made or written.
pub fn run(args: &Args, place: &Place) -> anyhow::Result<Exit> {
    let manifest = place.load().map_err(assemble::refused)?;
    assemble::create_private(&place.data)?;
    keys::ensure(&manifest, &place.data)?;
    let pair = keys::pair(&manifest, place)?;
    if pair.is_empty() {
        bail!("the application names no key for closed forms: [application.tool.weft.spin] public_key is missing");
    }
    let text = serde_json::to_string_pretty(&pair)?;
    let cannot = || format!("cannot write {}", args.output.display());
    let mut options = std::fs::OpenOptions::new();
    let mut file =
        options.write(true).create(true).truncate(true).mode(0o600).open(&args.output).with_context(cannot)?;
    file.write_all(text.as_bytes()).with_context(cannot)?;
    let names: Vec<&str> = pair.keys().map(String::as_str).collect();
    output::line(&format!("{}: {}", args.output.display(), names.join(", ")))?;
    Ok(Exit::Success)
}
