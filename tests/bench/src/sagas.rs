//! `saga-5-step` and its variants: sagas of five steps as a client sees them, from its request to the answer of the
//! saga that has ended. One of ten declines at the last step and runs four compensations. Beside Weft, with `--peers`,
//! Restate and DBOS with the same saga. Owns what is compared; each system is a module.

mod dbos;
mod recovery;
mod restate;
mod shares;
pub(crate) mod steps;
mod system;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::load::{Server, drive};
use crate::report::{Label, Row, Settings};
use crate::rounds::{Contender, ROUNDS, alternate};
use dbos::Dbos;
use restate::Restate;
use steps::Steps;
use system::{Door, Saga, System, Weft};

const IN_FLIGHT: [usize; 3] = [1, 16, 64];
const BENCH: &str = "saga-5-step";
const DOOR: Door = Door::Query("/sagas");
/// The steps answer at once and write nothing.
const HOW: &str = "fdatasync before a record is acknowledged; each step is a call to a fresh instance inside the host, \
                   where peers call a service process over HTTP";
const HOW_SQL: &str = "fdatasync before a record is acknowledged; each step is a fresh instance inside the host that \
                       makes one keyed commit in SQLite (WAL, synchronous = FULL)";
const HOW_HTTP: &str = "fdatasync before a record is acknowledged; each step is a fresh instance inside the host that \
                        asks a service outside, a process in Rust, over HTTP/1.1; both processes count";

/// A system that is killed and started again as well.
struct Contestant {
    name: &'static str,
    how: &'static str,
    door: Door,
    system: Box<dyn System>,
}

/// Measures all of them.
///
/// # Errors
/// If an answer is wrong, or a system that could be installed does not run.
pub fn measure(with_peers: bool) -> anyhow::Result<Vec<Row>> {
    let installed = if with_peers { install() } else { Installed::default() };
    // On data of their own, so that no system has more to read at its start than another because it is faster.
    let recoveries = recover(&mut start(&installed)?.0)?;
    let (contestants, steps) = start(&installed)?;
    let mut contenders = Vec::new();
    for concurrency in IN_FLIGHT {
        for each in &contestants {
            contenders.push(contender(BENCH, each, each.door, each.how, concurrency, each.system.server()?));
        }
        let [weft, ..] = contestants.as_slice() else { bail!("there is nothing to measure") };
        let server = weft.system.server()?;
        let mut with_steps = server.clone();
        with_steps.processes.push(steps.process());
        contenders.push(contender(
            "saga-5-step-http",
            weft,
            Door::Query("/sagas-http"),
            HOW_HTTP,
            concurrency,
            with_steps,
        ));
        contenders.push(contender("saga-5-step-sql", weft, Door::Query("/sagas-sql"), HOW_SQL, concurrency, server));
    }
    let mut rows = alternate(contenders)?;
    say_shares(&contestants)?;
    for (each, recovery) in contestants.iter().zip(recoveries) {
        let [.., most] = IN_FLIGHT;
        let of = |Label { bench, system, concurrency, .. }: &Label| {
            *bench == BENCH && *system == each.name && *concurrency == most
        };
        rows.iter_mut().filter(|row| of(&row.label)).for_each(|row| row.run.recovery = recovery);
    }
    rows.sort_by_key(|row| (row.label.bench, row.label.concurrency));
    Ok(rows)
}

fn contender(
    bench: &'static str,
    of: &Contestant,
    door: Door,
    how: &'static str,
    concurrency: usize,
    server: Server,
) -> Contender<'static> {
    let (reuse, limits) = if of.name == "weft" { ("fresh", "manifest") } else { ("", "none") };
    Contender {
        label: Label {
            bench,
            system: of.name,
            concurrency,
            settings: Settings { reuse, flush: "commit", limits, how },
        },
        run: Box::new(move || drive(&server, concurrency, |number| Saga::new(number).exchange(door))),
    }
}

/// Weft first, then the peers; and the service outside that steps of Weft may call.
fn start(installed: &Installed) -> anyhow::Result<(Vec<Contestant>, Steps)> {
    let (weft, steps) = Weft::start()?;
    let mut contestants = vec![Contestant { name: "weft", how: HOW, door: DOOR, system: Box::new(weft) }];
    if let Some(files) = &installed.restate {
        let system = Box::new(Restate::start(files)?);
        contestants.push(Contestant { name: "restate", how: restate::HOW, door: restate::DOOR, system });
    }
    if let Some(package) = &installed.dbos {
        let system = Box::new(Dbos::start(package)?);
        contestants.push(Contestant { name: "dbos", how: dbos::HOW, door: dbos::DOOR, system });
    }
    Ok((contestants, steps))
}

/// Says where Weft's processor time goes with the most sagas in flight.
fn say_shares(contestants: &[Contestant]) -> anyhow::Result<()> {
    let ([weft, ..], [.., in_flight]) = (contestants, IN_FLIGHT) else { bail!("there is nothing to measure") };
    let server = weft.system.server()?;
    let load = || drive(&server, in_flight, |number| Saga::new(number).exchange(DOOR)).map(drop);
    if let Some(shares) = shares::measure(&server, load)? {
        let shares: Vec<String> = shares.iter().map(|(part, share)| format!("{part} {share:.1} %")).collect();
        eprintln!("processor time of weft at {in_flight} in flight: {}", shares.join(", "));
    }
    Ok(())
}

/// Peers that are installed.
#[derive(Default)]
struct Installed {
    restate: Option<restate::Files>,
    dbos: Option<PathBuf>,
}

/// Installs what can be; says of the others why they are left out.
fn install() -> Installed {
    fn or_skipped<T>(name: &str, installed: anyhow::Result<T>) -> Option<T> {
        installed.inspect_err(|error| eprintln!("skipped: {name}: {error:#}")).ok()
    }
    Installed { restate: or_skipped("restate", Restate::install()), dbos: or_skipped("dbos", Dbos::install()) }
}

/// Kills each system with the most sagas in flight, in turn: the medians of how long it took to end them.
fn recover(contestants: &mut [Contestant]) -> anyhow::Result<Vec<Option<Duration>>> {
    let [.., in_flight] = IN_FLIGHT;
    let mut took: Vec<Vec<Duration>> = contestants.iter().map(|_| Vec::new()).collect();
    for round in 1..=ROUNDS {
        for (each, took) in contestants.iter_mut().zip(&mut took) {
            let recovery = recovery::measure(each.system.as_mut(), each.door, in_flight)
                .with_context(|| format!("recovery of {}", each.name))?;
            eprintln!("round {round} of {ROUNDS}: recovery of {}: {recovery:.2?}", each.name);
            took.push(recovery);
        }
    }
    took.iter_mut().for_each(|took| took.sort_unstable());
    Ok(took.iter().map(|took| took.get(ROUNDS / 2).copied()).collect())
}
