//! `neighbour-<attack>`: how long a function takes to answer while another one, which misbehaves, does all it can beside
//! it, and how long alone. The host has one core of two.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::Context as _;
use hyper::Method;
use weft_tests::http::Client;
use weft_tests::isolation;
use weft_tests::platform::{Options, Platform};

use super::FRESH;
use crate::load::{Exchange, Server, drive};
use crate::report::{Label, Row, Run, Settings};
use crate::rounds::{Contender, alternate};
use crate::target;

/// Requests of the function that is watched.
const CONCURRENCY: usize = 4;
/// Requests of the one that misbehaves; each is sent again as soon as it has ended.
const ATTACKERS: usize = 4;

/// The bench and what is asked of the hostile function.
const ATTACKS: [(&str, &str); 8] = [
    ("neighbour-loop", "/hostile?do=loop"),
    ("neighbour-granted", "/hostile-granted?do=loop"),
    ("neighbour-grow", "/hostile?do=grow"),
    ("neighbour-trap", "/hostile?do=trap"),
    ("neighbour-print", "/hostile-loud?do=print"),
    ("neighbour-tasks", "/hostile?do=tasks"),
    ("neighbour-fields", "/hostile?do=full-fields"),
    ("neighbour-requests", "/hostile?do=ask-yourself-twice"),
];

const HOW_ALONE: &str = "the host on one core, its load from both";
const HOW_BESIDE: &str =
    "the same, while four clients keep a hostile function busy; limits as in tests/applications/isolation";

/// Measures the benches whose names begin with `only`.
///
/// # Errors
/// If an answer of the watched function is wrong, or there is no `taskset`.
pub fn measure(only: &str) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (bench, attack) in ATTACKS.into_iter().filter(|(bench, _)| bench.starts_with(only)) {
        // A host for each attack: what one leaves behind, as a function whose places are all taken, is no help to the next.
        let under = ["taskset", "-c", "0"].map(str::to_owned).to_vec();
        let platform = Platform::start_with(&Options { under, ..isolation::options() });
        let (server, client) = (target::server(&platform, false)?, platform.client());
        rows.extend(alternate(vec![
            contender(bench, "alone", HOW_ALONE, || watch(&server)),
            contender(bench, "beside", HOW_BESIDE, || attacked(client, attack, || watch(&server))),
        ])?);
    }
    Ok(rows)
}

fn contender<'a>(
    bench: &'static str,
    system: &'static str,
    how: &'static str,
    run: impl FnMut() -> anyhow::Result<Run> + 'a,
) -> Contender<'a> {
    let settings = Settings { reuse: FRESH, flush: "none", limits: "manifest", how };
    Contender { label: Label { bench, system, concurrency: CONCURRENCY, settings }, run: Box::new(run) }
}

/// Asks the watched function.
fn watch(server: &Server) -> anyhow::Result<Run> {
    drive(server, CONCURRENCY, |_| Exchange {
        method: Method::GET,
        path: "/hello?name=Ada".to_owned(),
        headers: Vec::new(),
        body: bytes::Bytes::new(),
        is_right: Box::new(|status, body| status.is_success() && body == b"{\"message\":\"Hello, Ada!\"}"),
    })
}

/// Does it while the hostile function is asked again and again.
fn attacked<R>(client: &Client, attack: &str, run: impl FnOnce() -> anyhow::Result<R>) -> anyhow::Result<R> {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let attackers: Vec<_> = (0..ATTACKERS)
            .map(|_| {
                scope.spawn(|| {
                    let mut answered = 0_u64;
                    while !is_over.load(Ordering::Relaxed) {
                        // Whatever the answer: none of them is a right one.
                        answered += u64::from(client.get(attack).try_send().is_ok());
                    }
                    answered
                })
            })
            .collect();
        let ran = run();
        is_over.store(true, Ordering::Relaxed);
        let answered: u64 = attackers.into_iter().map(|attacker| attacker.join().unwrap_or_default()).sum();
        anyhow::ensure!(answered > 0, "{attack} was never answered");
        eprintln!("{attack}: answered {answered} times");
        ran.context("while it was attacked")
    })
}
