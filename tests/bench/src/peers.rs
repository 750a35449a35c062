//! Peers that serve the same component: `wasmtime serve`.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail, ensure};

use crate::install;
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

/// What `wasmtime serve` is to serve.
pub struct Served {
    /// The component's file.
    pub component: &'static str,
    /// Whether its instances serve 128 requests, 16 at the same time, or one each.
    pub reused: bool,
}

/// Where `wasmtime` is: on the PATH, or compiled by cargo into `target/peers`, which takes minutes.
///
/// # Errors
/// If it cannot be had.
pub fn wasmtime() -> anyhow::Result<PathBuf> {
    const VERSION: u32 = 48;
    let root = install::target().join("peers/wasmtime");
    let program = root.join("bin/wasmtime");
    for known in [PathBuf::from("wasmtime"), program.clone()] {
        let version = Command::new(&known).arg("--version").output();
        if version.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(&format!(" {VERSION}."))) {
            return Ok(known);
        }
    }
    eprintln!("installing wasmtime-cli {VERSION} into {}", root.display());
    let status = Command::new("cargo")
        .args(["install", "--quiet", "--locked", "--root"])
        .arg(&root)
        .args(["wasmtime-cli", "--version", &format!("^{VERSION}")])
        .env_remove("CARGO_TARGET_DIR")
        .stdin(Stdio::null())
        .status()
        .context("`cargo` cannot be run")?;
    ensure!(status.success(), "cargo install wasmtime-cli ended with {status}");
    Ok(program)
}

/// `wasmtime serve`.
///
/// # Errors
/// If it does not serve.
pub fn wasmtime_serve(program: &Path, served: &Served) -> anyhow::Result<Peer> {
    let (requests, at_once) = if served.reused { ("128", "16") } else { ("1", "1") };
    let mut child = Command::new(program)
        .args(["serve", "-Sp3", "-Scli", "-Wcomponent-model-async", "--addr", "127.0.0.1:0"])
        .args(["--max-instance-reuse-count", requests, "--max-instance-concurrent-reuse-count", at_once])
        .arg(target::component(served.component))
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
            return Ok(Peer { server, reused: served.reused, child });
        }
        said.push_str(&line);
    }
    bail!("wasmtime serve ended: {said}")
}
