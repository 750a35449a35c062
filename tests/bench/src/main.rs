//! `weft-bench [NAME] [--peers] [--json]`: measures the running host from outside. Owns the command line; what is
//! measured stands in a module for each benchmark.

mod bare;
mod child;
mod event_store;
mod failures;
mod gateway;
mod http_hello;
mod install;
mod load;
mod mesh_call;
mod messaging;
mod open_loop;
mod overload;
mod peers;
mod process;
mod push;
mod report;
mod rounds;
mod runtime;
mod sagas;
mod startup;
mod target;
mod wrk;

use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use crate::report::Row;

/// The allocator of the host: the broker is measured in this process.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Name {
    /// A trivial function through the whole gateway.
    HttpHello,
    /// A call from one function to another, beside bare wasmtime.
    MeshCall,
    /// Appends, reading a million events, and steps of read models.
    Eventstore,
    /// Events in and out of the message log, from the host's own API and from functions.
    Messaging,
    /// What users see when a function that others call fails, is slow, or is not there.
    Failures,
    /// A function behind the whole gateway, beside other gateways.
    Gateway,
    /// Answers in time under more load than can be done.
    Overload,
    /// Connections that are held open, and messages to them.
    Push,
    /// Components through HTTP, cold and idle ones, and calls between them.
    Runtime,
    /// Sagas of five steps that write nothing, ask a service outside, or make a keyed commit each.
    Sagas,
    /// From exec to the first answered request of the education platform.
    Startup,
}

/// Measures the host: three alternating runs of each, and the median of them. Any wrong answer is a failure.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Arguments {
    /// The one benchmark to run; all of them if it is left out.
    name: Option<Name>,
    /// Also measures peers: `wasmtime serve`, nginx, HAProxy, Express, NATS, Redis, Restate and DBOS, which are installed into
    /// `target/peers`.
    #[arg(long)]
    peers: bool,
    /// Of the benchmarks `gateway`, `messaging`, `push` and `runtime` only the benches whose names begin so.
    #[arg(long, default_value = "")]
    only: String,
    /// Prints one JSON object on each line.
    #[arg(long)]
    json: bool,
    /// Is the service that steps call: the bench starts itself so.
    #[arg(long, hide = true)]
    serve_steps: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    if arguments.serve_steps {
        return sagas::steps::serve();
    }
    let load = std::fs::read_to_string("/proc/loadavg")?;
    eprintln!("load average before: {}", load.split(' ').next().unwrap_or_default());
    let names = arguments.name.as_ref().map_or(Name::value_variants(), std::slice::from_ref);
    let mut rows = Vec::new();
    for name in names {
        let measured = measure(*name, arguments)?;
        if arguments.json {
            report::lines(&measured);
        }
        rows.extend(measured);
    }
    if !arguments.json {
        report::table(&rows);
    }
    Ok(())
}

fn measure(name: Name, arguments: &Arguments) -> anyhow::Result<Vec<Row>> {
    let peers = arguments.peers;
    match name {
        Name::HttpHello => http_hello::measure(peers),
        Name::MeshCall => mesh_call::measure(),
        Name::Eventstore => event_store::measure(),
        Name::Failures => failures::measure(),
        Name::Gateway => gateway::measure(peers, &arguments.only),
        Name::Messaging => messaging::measure(peers, &arguments.only),
        Name::Overload => overload::measure(),
        Name::Push => push::measure(&arguments.only),
        Name::Runtime => runtime::measure(peers, &arguments.only),
        Name::Sagas => sagas::measure(peers),
        Name::Startup => startup::measure(),
    }
}
