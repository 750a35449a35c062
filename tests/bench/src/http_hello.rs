//! `http-hello`: a trivial function through the whole gateway, in fresh and in reused instances.

use bytes::Bytes;
use hyper::{Method, StatusCode};
use weft_tests::platform::Platform;

use crate::load::{Exchange, Server, drive};
use crate::peers::{self, Served};
use crate::report::{Label, Row, Settings};
use crate::rounds::{Contender, alternate};
use crate::target;

const BENCH: &str = "http-hello";
const CONCURRENCY: [usize; 2] = [1, 32];
/// What the manifest of the examples says, and what peers are told.
const REUSED: &str = "128x16";

/// Measures it.
///
/// # Errors
/// If an answer is wrong.
pub fn measure(with_peers: bool) -> anyhow::Result<Vec<Row>> {
    let platform: Platform = target::examples();
    let weft = target::server(&platform, false)?;
    let mut peers = Vec::new();
    if with_peers {
        let wasmtime = peers::wasmtime()?;
        for reused in [false, true] {
            peers.push(peers::wasmtime_serve(&wasmtime, &Served { component: "example_hello.wasm", reused })?);
        }
    }
    let mut contenders = Vec::new();
    for concurrency in CONCURRENCY {
        contenders.push(contender("weft", "fresh", "manifest", concurrency, weft.clone(), "/hello"));
        contenders.push(contender("weft", REUSED, "manifest", concurrency, weft.clone(), "/hello-reused"));
        for peer in &peers {
            let reuse = if peer.reused { REUSED } else { "fresh" };
            contenders.push(contender("wasmtime-serve", reuse, "none", concurrency, peer.server.clone(), "/hello"));
        }
    }
    alternate(contenders)
}

fn contender(
    system: &'static str,
    reuse: &'static str,
    limits: &'static str,
    concurrency: usize,
    server: Server,
    path: &'static str,
) -> Contender<'static> {
    let settings = Settings { reuse, flush: "none", limits, how: "" };
    Contender {
        label: Label { bench: BENCH, system, concurrency, settings },
        run: Box::new(move || drive(&server, concurrency, |number| greeting(path, number))),
    }
}

/// Each request has its own name to be greeted by, so that no answer is another's.
fn greeting(path: &str, number: u64) -> Exchange {
    let right = format!("{{\"message\":\"Hello, {number}!\"}}");
    Exchange {
        method: Method::GET,
        path: format!("{path}?name={number}"),
        headers: Vec::new(),
        body: Bytes::new(),
        is_right: Box::new(move |status, body| status == StatusCode::OK && body == right.as_bytes()),
    }
}
