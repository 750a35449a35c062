//! A plain command, as `wasmtime run` takes it: counts the words of its input that are among its arguments, and fails if
//! there are none.

use std::io::{Read as _, stdin};
use std::process::ExitCode;

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let mut text = String::new();
    if let Err(error) = stdin().read_to_string(&mut text) {
        eprintln!("cannot read the input: {error}");
        return ExitCode::FAILURE;
    }
    let found = text.split_whitespace().filter(|word| wanted.iter().any(|wanted| wanted == word)).count();
    if found == 0 {
        eprintln!("none of {} words", text.split_whitespace().count());
        return ExitCode::FAILURE;
    }
    println!("{found}");
    ExitCode::SUCCESS
}
