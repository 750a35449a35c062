//! Peers that serve the same component: `wasmtime serve`, if a `wasmtime` is installed.

use std::io::{BufRead as _, BufReader, ErrorKind};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail};

use crate::load::Server;
use crate::process::Process;
use crate::target;

/// A peer that listens until the value is dropped.
pub struct Peer {
    /// Where.
    pub server: Server,
    /// Whether its instances serve 128 requests, 16 at the same time, or one each.
    pub reused: bool,
    child: Child,
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `wasmtime serve` with fresh and with reused instances; says so if there is none.
///
/// # Errors
/// If it does not serve.
pub fn wasmtime_serve() -> anyhow::Result<Vec<Peer>> {
    match Command::new("wasmtime").arg("--version").output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!("skipped: wasmtime serve: there is no `wasmtime` on PATH");
            Ok(Vec::new())
        }
        Err(error) => Err(error).context("`wasmtime` cannot be run"),
        Ok(_) => [false, true].into_iter().map(serve).collect(),
    }
}

fn serve(reused: bool) -> anyhow::Result<Peer> {
    let (requests, at_once) = if reused { ("128", "16") } else { ("1", "1") };
    let mut child = Command::new("wasmtime")
        .args(["serve", "-Sp3", "-Scli", "-Wcomponent-model-async", "--addr", "127.0.0.1:0"])
        .args(["--max-instance-reuse-count", requests, "--max-instance-concurrent-reuse-count", at_once])
        .arg(target::component("example_hello.wasm"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let stderr = BufReader::new(child.stderr.take().context("its stderr is a pipe")?);
    let mut lines = stderr.lines();
    let mut said = String::new();
    for line in lines.by_ref() {
        let line = line?;
        if let Some((_, address)) = line.split_once("http://") {
            let address = address.trim_end_matches('/').parse().with_context(|| line.clone())?;
            // What it says later is of no interest, but it has to be read.
            std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
            let server = Server { address, processes: vec![Process(child.id())], writes: false };
            return Ok(Peer { server, reused, child });
        }
        said.push_str(&line);
    }
    bail!("wasmtime serve ended: {said}")
}
