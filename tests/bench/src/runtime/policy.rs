//! `call-policy`: what the mesh adds to a call: authorisation, deadline, bulkhead and trace, around a function that
//! answers at once and is no component at all; and the same without the mesh.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures::future::BoxFuture;
use tokio::runtime::{Builder, Runtime};
use weft_core::manifest::mesh::CallPolicy;
use weft_core::{Call as _, CallContext, Clock, Failure, Invocation, Runner, SystemClock, Target, Trace, id};
use weft_mesh::{CalleePolicy, FailurePolicy, Kind, Mesh, Policies};

use super::label;
use crate::mesh_call::timed;
use crate::process::Process;
use crate::report::{Label, Row, Settings};
use crate::rounds::{Contender, alternate};

const BENCH: &str = "call-policy";
/// Calls of which one time is taken: one alone is not much longer than looking at the clock.
const BATCH: u32 = 1_000;

/// Answers at once.
struct Immediate;

impl Runner<u64> for Immediate {
    fn run(&self, invocation: Invocation<u64>) -> BoxFuture<'static, Result<Vec<u64>, Failure>> {
        Box::pin(async move { Ok(invocation.arguments.to_vec()) })
    }
}

/// Measures it if its name begins with `only`.
///
/// # Errors
/// If a call fails.
pub fn measure(only: &str) -> anyhow::Result<Vec<Row>> {
    if !BENCH.starts_with(only) {
        return Ok(Vec::new());
    }
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new(|time| Box::pin(tokio::time::sleep(time))));
    let mesh = Mesh::new(Arc::new(Immediate), clock.clone(), || 0);
    mesh.configure(Policies {
        functions: vec![CalleePolicy {
            component: "callee".into(),
            kind: Kind::Function,
            callers: ["caller".into()].into(),
            rules: Vec::new(),
            deadline: Duration::from_secs(10),
            max_concurrent: 100,
            max_pending: 100,
            durable: false,
            failures: FailurePolicy::of(&CallPolicy::default(), &CallPolicy::default()),
        }],
        ..Policies::default()
    });
    let own = Process(std::process::id());
    let through = |runtime: &Runtime| batch(runtime, &clock, |invocation| mesh.call(invocation));
    let direct = |runtime: &Runtime| batch(runtime, &clock, |invocation| Immediate.run(invocation));
    let without = Label {
        bench: BENCH,
        system: "direct",
        concurrency: 1,
        settings: Settings { reuse: "none", flush: "none", limits: "none", how: "the same calls without the mesh" },
    };
    alternate(vec![
        Contender {
            label: label(BENCH, 1, "none", "authorisation, deadline, bulkhead and trace, and nothing behind them"),
            run: Box::new(|| timed(own, || through(&runtime))),
        },
        Contender { label: without, run: Box::new(|| timed(own, || direct(&runtime))) },
    ])
}

/// The average of many calls one after another, as many times as there were calls.
fn batch<'a>(
    runtime: &Runtime,
    clock: &Arc<dyn Clock>,
    call: impl Fn(Invocation<u64>) -> BoxFuture<'a, Result<Vec<u64>, Failure>>,
) -> anyhow::Result<Vec<Duration>> {
    let target = Target { component: "callee".into(), interface: "test:policy/callee".into(), function: "call".into() };
    let context = CallContext {
        caller: Some("caller".into()),
        deadline: clock.monotonic() + Duration::from_secs(60),
        trace: Some(Trace { trace_id: id::new_trace_id(), span_id: id::new_span_id() }),
        depth: 1,
        step: None,
        mirrored: false,
        origin: None,
        generation: None,
    };
    let start = Instant::now();
    runtime.block_on(async {
        for number in 0..u64::from(BATCH) {
            let (target, context) = (target.clone(), context.clone());
            let answer = call(Invocation { target, arguments: [number].into(), keyed: true, context }).await;
            ensure!(answer.context("a call failed")? == [number], "a call was answered wrongly");
        }
        Ok(())
    })?;
    Ok(vec![start.elapsed() / BATCH; BATCH as usize])
}
