//! The WASI context of an instance. Nothing is inherited from the host: no file system but the files that the manifest
//! names, no sockets, no arguments.
//! A durable function sees the time of the last record of its journal and random bytes derived from its key, so that
//! a replay sees the same; a projection, whose clock stands still, sees the same at every rebuild.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use wasmtime::component::Linker;
use wasmtime_wasi::clocks::{HostMonotonicClock, HostWallClock};
use wasmtime_wasi::p2::pipe::MemoryInputPipe;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder};

use weft_durable::SagaClock;

use crate::capabilities::CapabilityStates;
use crate::function::Function;
use crate::output::{GuestOutput, LogSink, OutputStream};
use crate::state::StoreData;

/// Random bytes that a function may ask for at once: the host holds them in memory before it hands them over.
const MAX_RANDOM_BYTES: u64 = 1024 * 1024;

/// What a command has in place of the terminal that it would have elsewhere.
pub(crate) struct Terminal {
    /// Takes what it writes.
    pub sink: Arc<dyn LogSink>,
    pub arguments: Vec<String>,
    pub stdin: Bytes,
}

/// `seed` is said if the function is to see nothing but what is determined: random bytes come from it, and the clock is
/// that of its saga.
pub(crate) fn context(
    function: &Function,
    trace_id: Option<Arc<str>>,
    seed: Option<&str>,
    terminal: Option<&Terminal>,
    capabilities: &CapabilityStates,
) -> WasiCtx {
    let output = |stream| GuestOutput {
        sink: terminal.map_or_else(|| function.shared.logs.clone(), |terminal| terminal.sink.clone()),
        component: function.spec.id.clone(),
        stream,
        trace_id: trace_id.clone(),
        written: Arc::default(),
        limit: function.spec.limits.output_bytes,
        rate: function.output_rate.clone(),
    };
    let mut builder = WasiCtxBuilder::new();
    builder.max_random_size(MAX_RANDOM_BYTES);
    builder.stdout(output(OutputStream::Stdout)).stderr(output(OutputStream::Stderr)).envs(&function.spec.environment);
    if let Some(terminal) = terminal {
        builder.arg(&*function.spec.id).args(&terminal.arguments).stdin(MemoryInputPipe::new(terminal.stdin.clone()));
    }
    if let Some(folder) = &function.spec.files
        && let Err(error) = builder.preopened_dir(folder, "/", FsPerms::ReadOnly)
    {
        // Its files are not there for it, which it sees itself.
        tracing::error!(component = %function.spec.id, folder = %folder.display(), %error, "cannot open its files");
    }
    if let Some(seed) = seed {
        let seed = weft_durable::seed(seed);
        let clock = ShownTime(capabilities.saga_clock());
        let mut low = [0_u8; 16];
        low.iter_mut().zip(seed).for_each(|(to, from)| *to = from);
        builder
            .secure_random(StdRng::from_seed(seed))
            .insecure_random(StdRng::from_seed(seed))
            .insecure_random_seed(u128::from_le_bytes(low))
            .wall_clock(clock.clone())
            .monotonic_clock(clock);
    }
    builder.build()
}

/// The clock of a durable function or a projection.
#[derive(Clone)]
struct ShownTime(SagaClock);

impl HostWallClock for ShownTime {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        Duration::from_millis(self.0.now_ms())
    }
}

impl HostMonotonicClock for ShownTime {
    fn resolution(&self) -> u64 {
        1_000_000
    }

    fn now(&self) -> u64 {
        self.0.now_ms().saturating_mul(1_000_000)
    }
}

/// In a durable function a wait has to be journaled. WASI's own timers call the process's clock directly, so they are
/// replaced by a refusal.
pub(crate) fn refuse_timers(linker: &mut Linker<StoreData>) -> wasmtime::Result<()> {
    const REFUSAL: &str = "a durable function waits by its saga's `sleep`, which is journaled; \
                           WASI's timers are not";
    linker.allow_shadowing(true);
    let mut monotonic = linker.instance("wasi:clocks/monotonic-clock@0.3.0")?;
    for name in ["wait-for", "wait-until"] {
        monotonic
            .func_new_concurrent(name, |_, _, _, _| Box::pin(async { Err(wasmtime::format_err!("{REFUSAL}")) }))?;
    }
    linker.allow_shadowing(false);
    Ok(())
}
