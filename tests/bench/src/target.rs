//! The host that is measured, with the examples as its application.

use std::path::PathBuf;

use anyhow::Context as _;
use weft_tests::platform::{Options, Platform};
use weft_tests::repository;

use crate::load::Server;
use crate::process::Process;

/// Starts the host on fresh data.
pub fn examples() -> Platform {
    let manifest = repository::root().join("components/examples/spin.toml");
    Platform::start_with(&Options { manifest, ..Options::default() })
}

/// The host as the load generator sees it.
///
/// # Errors
/// If it said no address.
pub fn server(platform: &Platform, writes: bool) -> anyhow::Result<Server> {
    let address = platform.url().strip_prefix("http://").context("the host said no address")?;
    Ok(Server { address: address.parse()?, processes: vec![Process(platform.pid())], writes })
}

/// A component of the examples.
pub fn component(file: &str) -> PathBuf {
    repository::root().join("components/target/wasm32-wasip2/release").join(file)
}
