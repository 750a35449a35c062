//! `weft admin`: what the platform's operator does from a shell.

use std::io::{self, BufRead as _, IsTerminal as _};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use weft_core::id;

use crate::assemble::{self, Place};
use crate::exit::{Exit, UsageError};
use crate::invoker::Invoker;
use crate::{keys, output};

/// The commands under `weft admin`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Set the password of an account, end its sessions and lift its lockout
    ResetPassword(Args),
}

/// What `weft admin reset-password` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The account; the administrator's if it is not said
    #[arg(long)]
    email: Option<String>,
    /// Make a password up and print it, instead of asking or reading stdin
    #[arg(long)]
    generate: bool,
}

const COMPONENT: &str = "identity-passwords";
const FUNCTION: &str = "education:identity/passwords@1.0.0#reset";
const DEFAULT_EMAIL: &str = "admin@example.com";
const TIMEOUT: Duration = Duration::from_secs(30);
/// Of a password made up: 16 bytes are 128 bits.
const GENERATED_BYTES: usize = 16;

/// Sets the password.
///
/// # Errors
/// If there is no such account, the password is refused, or the function does not answer.
pub async fn run(args: Args, place: &Place) -> anyhow::Result<Exit> {
    let email = match args.email {
        Some(email) => email,
        None => administrator(place)?,
    };
    let (password, generated) = password(args.generate, &email)?;
    let arguments = serde_json::to_string(&(id::new_id(), &email, &password))?;
    let invoker = Invoker::find(place).await?;
    let answer = invoker.invoke(COMPONENT, FUNCTION, &arguments, TIMEOUT).await;
    let closed = invoker.close().await;
    let answer = answer?;
    closed?;
    if answer.is_error {
        bail!("the password of {email} was not set: {}", refusal(&answer.json, &answer.wave));
    }
    output::line(&format!("the password of {email} is set"))?;
    if generated {
        output::line(&format!("password: {password}"))?;
    }
    Ok(Exit::Success)
}

fn administrator(place: &Place) -> anyhow::Result<String> {
    let manifest = place.load().map_err(assemble::refused)?;
    let variables = keys::resolve(&manifest, place).map_err(assemble::refused)?;
    let named = variables.get("admin_email").filter(|email| !email.is_empty());
    Ok(named.unwrap_or(DEFAULT_EMAIL).to_owned())
}

/// The password, and whether it was made up. Never taken from the command line, which other users can read.
fn password(generate: bool, email: &str) -> anyhow::Result<(String, bool)> {
    if generate {
        return Ok((generated()?, true));
    }
    if !io::stdin().is_terminal() {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).context("cannot read the password from stdin")?;
        let password = line.trim_end_matches(['\r', '\n']);
        if password.is_empty() {
            return Err(UsageError("there is no password on stdin; give one, or use --generate".to_owned()).into());
        }
        return Ok((password.to_owned(), false));
    }
    let password = rpassword::prompt_password(format!("New password of {email} (empty: one is made up): "))?;
    if password.is_empty() {
        return Ok((generated()?, true));
    }
    if rpassword::prompt_password("Once more: ")? != password {
        bail!("the two passwords differ; nothing was changed");
    }
    Ok((password, false))
}

fn generated() -> anyhow::Result<String> {
    let mut bytes = [0_u8; GENERATED_BYTES];
    io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut bytes)?;
    Ok(id::hex(&bytes))
}

/// The function's own words for its error.
fn refusal(json: &serde_json::Value, wave: &str) -> String {
    let error = json.get("err");
    let weak = error.and_then(|error| error.get("weak")).and_then(serde_json::Value::as_str);
    match error.and_then(serde_json::Value::as_str) {
        Some("unknown-account") => "there is no such account".to_owned(),
        _ => weak.map_or_else(|| output::printable(wave), ToOwned::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn refusals_are_in_the_functions_own_words() {
        assert_eq!(refusal(&json!({ "err": "unknown-account" }), ""), "there is no such account");
        assert_eq!(refusal(&json!({ "err": { "weak": "too short" } }), ""), "too short");
        assert_eq!(refusal(&json!({ "err": { "other": 1 } }), "err(other(1))"), "err(other(1))");
    }

    #[test]
    fn passwords_made_up_differ_and_are_long() {
        let (one, other) = (generated().unwrap(), generated().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.len(), 2 * GENERATED_BYTES);
    }
}
