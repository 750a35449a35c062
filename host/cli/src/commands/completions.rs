//! `weft completions`: scripts by which shells complete the command line.

use clap::{CommandFactory as _, ValueEnum};
use clap_complete::{Shell, generate};

use crate::cli::Cli;
use crate::exit::Exit;

/// What `weft completions` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell
    shell: Supported,
}

/// Shells that the script is known to work in.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Supported {
    Bash,
    Zsh,
    Fish,
}

/// Prints the script.
///
/// # Errors
/// If stdout cannot be written.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let shell = match args.shell {
        Supported::Bash => Shell::Bash,
        Supported::Zsh => Shell::Zsh,
        Supported::Fish => Shell::Fish,
    };
    // Into memory first: the generator panics when it cannot write, as into a closed pipe.
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "weft", &mut script);
    std::io::Write::write_all(&mut std::io::stdout().lock(), &script)?;
    Ok(Exit::Success)
}
