//! `http-*`, `cold`, `start`, `idle-memory`, `call-*`, `neighbour-*`: what running components costs, and what a hostile
//! one costs others. `http-0.2-fresh` to `http-0.3-reused` are the same component files through the whole gateway and
//! through `wasmtime serve`, loaded by wrk.

mod calls;
mod fleet;
mod neighbour;
mod policy;

use weft_tests::platform::Platform;

use crate::load::Server;
use crate::peers::{self, Served};
use crate::report::{Label, Row, Run, Settings};
use crate::rounds::{Contender, alternate};
use crate::{install, target, wrk};

const CONNECTIONS: [usize; 3] = [1, 32, 256];
/// What the manifest of the examples says, and what peers are told.
const REUSED: &str = "128x16";
const FRESH: &str = "fresh";

/// A component through HTTP: the bench, how its instances are reused, its path in the examples, its file.
type Http = (&'static str, &'static str, &'static str, &'static str);

const HTTP: [Http; 4] = [
    ("http-0.2-fresh", FRESH, "/hello-p2", "example_hello_p2.wasm"),
    ("http-0.2-reused", REUSED, "/hello-p2-reused", "example_hello_p2.wasm"),
    ("http-0.3-fresh", FRESH, "/hello", "example_hello.wasm"),
    ("http-0.3-reused", REUSED, "/hello-reused", "example_hello.wasm"),
];

/// Measures the benches whose names begin with `only`.
///
/// # Errors
/// If an answer is wrong, or wrk cannot be had.
pub fn measure(with_peers: bool, only: &str) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    let http: Vec<Http> = HTTP.into_iter().filter(|(bench, ..)| bench.starts_with(only)).collect();
    if !http.is_empty() {
        rows.extend(measure_http(&http, with_peers)?);
    }
    rows.extend(fleet::measure(only)?);
    rows.extend(calls::measure(only)?);
    rows.extend(policy::measure(only)?);
    rows.extend(neighbour::measure(only)?);
    Ok(rows)
}

fn measure_http(http: &[Http], with_peers: bool) -> anyhow::Result<Vec<Row>> {
    install::debian("wrk", "wrk")?;
    let platform: Platform = target::examples();
    let weft = target::server(&platform, false)?;
    let mut peers = Vec::new();
    if with_peers {
        let wasmtime = peers::wasmtime()?;
        for (bench, reuse, _, file) in http {
            let served = Served { component: file, reused: *reuse == REUSED };
            peers.push((*bench, peers::wasmtime_serve(&wasmtime, &served)?));
        }
    }
    let mut contenders = Vec::new();
    for (bench, reuse, path, _) in http {
        for connections in CONNECTIONS {
            contenders.push(contender(bench, "weft", reuse, "manifest", connections, weft.clone(), path));
            for (_, peer) in peers.iter().filter(|(of, _)| of == bench) {
                let server = peer.server.clone();
                contenders.push(contender(bench, "wasmtime-serve", reuse, "none", connections, server, path));
            }
        }
    }
    alternate(contenders)
}

fn contender(
    bench: &'static str,
    system: &'static str,
    reuse: &'static str,
    limits: &'static str,
    connections: usize,
    server: Server,
    path: &'static str,
) -> Contender<'static> {
    let how = if system == "weft" { HOW_WEFT } else { HOW_PEER };
    let settings = Settings { reuse, flush: "none", limits, how };
    Contender {
        label: Label { bench, system, concurrency: connections, settings },
        run: Box::new(move || wrk::load(&server, path, connections, None)),
    }
}

const HOW_WEFT: &str = "the host as it ships: gateway, access log, trace, limits; wrk with one thread, keep-alive";
const HOW_PEER: &str = "wasmtime serve of the same file, without limits; wrk with one thread, keep-alive";

fn label(bench: &'static str, concurrency: usize, reuse: &'static str, how: &'static str) -> Label {
    Label { bench, system: "weft", concurrency, settings: Settings { reuse, flush: "none", limits: "manifest", how } }
}

/// A run of which only the memory is told.
fn of_memory(resident_bytes: u64) -> Run {
    Run { elapsed: std::time::Duration::from_secs(1), count: 1, resident_bytes: Some(resident_bytes), ..Run::default() }
}
