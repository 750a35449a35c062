//! `saga-5-step` and its variants: sagas of five steps as a client sees them, from its request to the answer of the saga
//! that has ended. One of ten declines at the last step and runs four compensations. Beside Weft, with `--peers`,
//! Restate and DBOS with the same saga. Owns what is compared; each system is a module.

mod dbos;
mod install;
mod recovery;
mod restate;
pub mod steps;
mod system;

use std::time::Duration;

use anyhow::Context as _;

use crate::load::{Server, drive};
use crate::report::{Label, Row, Settings};
use crate::rounds::{self, Contender, alternate};
use dbos::Dbos;
use restate::Restate;
use system::{Door, Saga, System, Weft};

const IN_FLIGHT: [usize; 3] = [1, 16, 64];
const BENCH: &str = "saga-5-step";
const DOOR: Door = Door::Query("/sagas");
/// The steps answer at once and write nothing.
const HOW: &str = "fdatasync before a record is acknowledged, shared by what waits for it; each step is a fresh instance inside the host";
const HOW_SQL: &str = "as above, and each step makes one keyed commit in SQLite (WAL, synchronous = FULL)";
const HOW_HTTP: &str =
    "as above, and each step asks a service outside, a process in Rust, over HTTP/1.1; its processor time counts";

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
    let weft = Weft::start()?;
    let (alone, with_steps) = (weft.server()?, weft.server_with_steps()?);
    let mut contestants = vec![Contestant { name: "weft", how: HOW, door: DOOR, system: Box::new(weft) }];
    if with_peers {
        contestants.extend(peers()?);
    }
    let mut contenders = Vec::new();
    for concurrency in IN_FLIGHT {
        for each in &contestants {
            contenders.push(contender(BENCH, each.name, each.how, concurrency, each.door, each.system.server()?));
        }
        let (sql, http) = (Door::Query("/sagas-sql"), Door::Query("/sagas-http"));
        contenders.push(contender("saga-5-step-http", "weft", HOW_HTTP, concurrency, http, with_steps.clone()));
        contenders.push(contender("saga-5-step-sql", "weft", HOW_SQL, concurrency, sql, alone.clone()));
    }
    let mut rows = alternate(contenders)?;
    recover(&mut contestants, &mut rows)?;
    rows.sort_by_key(|row| (row.label.bench, row.label.concurrency));
    Ok(rows)
}

fn contender(
    bench: &'static str,
    system: &'static str,
    how: &'static str,
    concurrency: usize,
    door: Door,
    server: Server,
) -> Contender<'static> {
    let limits = if system == "weft" { "manifest" } else { "none" };
    let settings = Settings { reuse: if system == "weft" { "fresh" } else { "" }, flush: "commit", limits, how };
    Contender {
        label: Label { bench, system, concurrency, settings },
        run: Box::new(move || drive(&server, concurrency, |number| Saga::new(number).exchange(door))),
    }
}

/// Those that can be installed; says of the others why they are left out.
fn peers() -> anyhow::Result<Vec<Contestant>> {
    let mut peers = Vec::new();
    match Restate::install() {
        Ok(package) => peers.push(Contestant {
            name: "restate",
            how: restate::HOW,
            door: restate::DOOR,
            system: Box::new(Restate::start(package)?),
        }),
        Err(error) => eprintln!("skipped: restate: {error:#}"),
    }
    match Dbos::install() {
        Ok(package) => peers.push(Contestant {
            name: "dbos",
            how: dbos::HOW,
            door: dbos::DOOR,
            system: Box::new(Dbos::start(package)?),
        }),
        Err(error) => eprintln!("skipped: dbos: {error:#}"),
    }
    Ok(peers)
}

/// Kills each system with the most sagas in flight, in turn, and notes the median of how long it took to end them.
fn recover(contestants: &mut [Contestant], rows: &mut [Row]) -> anyhow::Result<()> {
    let [.., in_flight] = IN_FLIGHT;
    let mut took: Vec<Vec<Duration>> = contestants.iter().map(|_| Vec::new()).collect();
    for round in 1..=rounds::ROUNDS {
        for (each, took) in contestants.iter_mut().zip(&mut took) {
            let recovery = recovery::measure(each.system.as_mut(), each.door, in_flight)
                .with_context(|| format!("recovery of {}", each.name))?;
            eprintln!("round {round} of {}: recovery of {}: {recovery:.2?}", rounds::ROUNDS, each.name);
            took.push(recovery);
        }
    }
    for (each, mut took) in contestants.iter().zip(took) {
        took.sort_unstable();
        let of = |row: &&mut Row| {
            let label = &row.label;
            label.bench == BENCH && label.system == each.name && label.concurrency == in_flight
        };
        if let Some(row) = rows.iter_mut().find(of) {
            row.run.recovery = took.get(rounds::ROUNDS / 2).copied();
        }
    }
    Ok(())
}
