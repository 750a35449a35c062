//! Where Weft's processor time goes while sagas run: a sampled profile (`perf`), each sample counted for the innermost
//! frame that says what is being done. Owns the names of what is told apart; it says nothing of time spent waiting.

use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use crate::load::Server;

/// Enough for a share of 1 % to be seen.
const SAMPLES_PER_S: &str = "997";
const SECONDS: &str = "3";
/// Stacks are copied and unwound later, for the host is built without frame pointers.
const CALL_GRAPH: &str = "dwarf,16384";

/// What a frame is a part of, by a piece of its name. The first that matches counts.
const PARTS: [(&str, &[&str]); 9] = [
    ("flush", &["weft_durable::log::writer"]),
    ("replay", &["weft_durable::replay", "Run>::deliver", "Run::deliver", "weft_durable::recovery", "wait_replayed"]),
    ("journal", &["weft_durable::", "weft_capability::durable"]),
    ("log lines", &["tracing_core::event::Event", "weft_telemetry::"]),
    (
        "instantiation",
        &[
            "Function::store",
            "bare_store",
            "instantiate",
            "Instantiator",
            "drop_in_place<wasmtime::runtime::store",
            "StoreOpaque as core::ops::drop",
            "InstanceAllocator",
            "WasiCtx",
            "weft_engine::wasi::context",
        ],
    ),
    ("limits", &["weft_engine::limits", "call_hook"]),
    ("calls", &["wasmtime::runtime::component", "weft_mesh::", "weft_engine::", "wasmtime_wasi_http::"]),
    ("gateway", &["hyper::", "hyper_util::", "weft_gateway::"]),
    ("scheduler", &["tokio::runtime::", "mio::"]),
];
/// Threads that do one thing.
const THREADS: [(&str, &str); 3] = [("journal-log", "flush"), ("weft-log", "log lines"), ("weft-epoch", "limits")];
const GUESTS: &str = "guest code";
const OTHER: &str = "other";

/// A part and its share, in percent of all samples.
pub type Share = (&'static str, f64);

/// Profiles the first process of `server` while `load` runs, which has to take longer than the profile. `None`, with a
/// word about why, if there is no `perf` or it may not look.
///
/// # Errors
/// If the load fails, or what `perf` says is not understood.
pub fn measure(server: &Server, load: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<Option<Vec<Share>>> {
    let process = server.processes.first().context("the server has no process")?.0.to_string();
    let folder = tempfile::tempdir()?;
    let profile = folder.path().join("perf.data");
    let record = Command::new("perf")
        .args(["record", "-F", SAMPLES_PER_S, "--call-graph", CALL_GRAPH, "-p", &process, "-o"])
        .arg(&profile)
        .args(["--", "sleep", SECONDS])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let record = match record {
        Ok(record) => record,
        Err(error) => {
            eprintln!("skipped: where the time goes: `perf` cannot be run: {error}");
            return Ok(None);
        }
    };
    let loaded = load();
    let recorded = record.wait_with_output()?;
    loaded?;
    if !recorded.status.success() {
        eprintln!("skipped: where the time goes: {}", String::from_utf8_lossy(&recorded.stderr).trim());
        return Ok(None);
    }
    let script =
        Command::new("perf").args(["script", "--no-inline", "-F", "comm,ip,sym,dso", "-i"]).arg(&profile).output()?;
    ensure!(script.status.success(), "perf script: {}", String::from_utf8_lossy(&script.stderr).trim());
    Ok(Some(shares(&String::from_utf8_lossy(&script.stdout))))
}

/// The largest first.
fn shares(script: &str) -> Vec<Share> {
    let samples: Vec<&str> = script.split("\n\n").filter_map(part).collect();
    let mut shares: Vec<Share> = Vec::new();
    #[allow(clippy::cast_precision_loss)]
    let one = 100.0 / samples.len().max(1) as f64;
    for sample in samples {
        match shares.iter_mut().find(|(part, _)| *part == sample) {
            Some((_, share)) => *share += one,
            None => shares.push((sample, one)),
        }
    }
    shares.sort_by(|a, b| b.1.total_cmp(&a.1));
    shares
}

/// What one sample is a part of: the name of its thread, then its frames, innermost first.
fn part(sample: &str) -> Option<&'static str> {
    let mut lines = sample.lines().filter(|line| !line.trim().is_empty());
    let thread = lines.next()?.trim();
    if let Some((_, part)) = THREADS.iter().find(|(name, _)| thread.starts_with(name)) {
        return Some(part);
    }
    let named = lines.find_map(|frame| {
        if frame.contains(".cwasm)") {
            return Some(GUESTS);
        }
        let has = |names: &&[&str]| names.iter().any(|name| frame.contains(name));
        PARTS.iter().find(|(_, names)| has(names)).map(|(part, _)| *part)
    });
    Some(named.unwrap_or(OTHER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_known_frame_counts() {
        let samples = [
            "tokio-rt-worker \n\t1 malloc (libc)\n\t2 weft_engine::function::Function::store (weft)\n\t3 hyper::x (weft)",
            "tokio-rt-worker \n\t1 wasm[0]::function[7] (/data/ab.cwasm)\n\t2 wasmtime::runtime::component::x (weft)",
            "journal-log \n\t1 fdatasync (libc)",
            "tokio-rt-worker \n\t1 memmove (libc)",
        ];
        let expected = ["instantiation", GUESTS, "flush", OTHER].map(|part| (part, 25.0));
        assert_eq!(shares(&samples.join("\n\n")), expected);
    }
}
