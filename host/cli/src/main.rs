//! The `weft` command. Everything is in the library beside this file, so that tests reach it.

use std::process::ExitCode;

// Functions' values are made and dropped by the hundred in each call, on all threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    weft_cli::cli::main()
}
