//! The `weft` command. Everything is in the library beside this file, so that tests reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    weft_cli::cli::main()
}
