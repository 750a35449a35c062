//! From wasmtime's errors to the host's: what a trap, a passed limit or an exhausted pool means for the caller. The
//! internals go to the log, never into the answer.

use wasmtime::Trap;
use wasmtime::component::ResourceTableError;

use weft_core::{Failure, Fault, Reason};

use crate::limits::Exceeded;

/// How long to wait before the pool is likely to have room again.
const OVERLOADED_RETRY_MS: u32 = 1_000;

/// Classifies an error for which there is no instance: nothing of the call has begun. `exceeded` is what its limits
/// remember, where they are still there.
pub(crate) fn not_begun(component: &str, error: &wasmtime::Error, exceeded: Option<Exceeded>) -> Failure {
    match passed(error, exceeded) {
        Some(Exceeded::HostMemory(limit_mb)) => {
            let message = format!("no memory for another instance of {component}: {}", memory_bound(limit_mb));
            tracing::warn!(component, "{message}");
            Failure::not_attempted(Fault::Host, Reason::Overloaded, message).retry_after_ms(OVERLOADED_RETRY_MS)
        }
        exceeded => classify(component, error, exceeded),
    }
}

/// Classifies an error that ended an instance.
pub(crate) fn classify(component: &str, error: &wasmtime::Error, exceeded: Option<Exceeded>) -> Failure {
    if let Some(pool) = pool_exhausted(component, error) {
        return pool;
    }
    let (reason, message) = match passed(error, exceeded) {
        Some(Exceeded::Memory(_)) => (Reason::ResourceLimit, "passed its memory limit"),
        Some(Exceeded::HostMemory(limit_mb)) => {
            let message = format!("function {component} found no memory: {}", memory_bound(limit_mb));
            tracing::warn!(component, "{message}");
            return Failure::unknown(Fault::Host, Reason::Overloaded, message).retry_after_ms(OVERLOADED_RETRY_MS);
        }
        Some(Exceeded::Table(_)) => (Reason::ResourceLimit, "passed its table limit"),
        Some(Exceeded::Cpu) => (Reason::CpuLimit, "used up its processor time"),
        None if is(error, Trap::StackOverflow) => (Reason::ResourceLimit, "overflowed its stack"),
        None if is(error, Trap::OutOfFuel) => (Reason::CpuLimit, "used up its fuel"),
        None if has_no_handle_left(error) => (Reason::ResourceLimit, "opened more handles than it may"),
        None if handed_over_too_much(error) => (Reason::ResourceLimit, "handed over more at once than it may"),
        None => (Reason::Trapped, "stopped without an answer"),
    };
    tracing::warn!(component, reason = reason.as_str(), error = ?error, "function failed");
    Failure::unknown(Fault::Guest, reason, format!("function {component} {message}"))
}

/// Which limit was passed, by what the limits remember or else by the error itself.
fn passed(error: &wasmtime::Error, remembered: Option<Exceeded>) -> Option<Exceeded> {
    remembered.or_else(|| error.downcast_ref::<Exceeded>().copied())
}

fn memory_bound(limit_mb: usize) -> String {
    format!("all instances together may have {limit_mb} MiB (max_memory_mb of [application.tool.weft.engine])")
}

/// An instance that could not be made because the host holds as many as it can.
fn pool_exhausted(component: &str, error: &wasmtime::Error) -> Option<Failure> {
    error.downcast_ref::<wasmtime::PoolConcurrencyLimitError>().map(|_| {
        let message = format!("no room for another instance of {component}");
        Failure::not_attempted(Fault::Host, Reason::Overloaded, message).retry_after_ms(OVERLOADED_RETRY_MS)
    })
}

fn is(error: &wasmtime::Error, trap: Trap) -> bool {
    error.downcast_ref::<Trap>() == Some(&trap)
}

/// The two limits whose errors wasmtime has no type for are known by their words; the tests of isolation hold that.
fn has_no_handle_left(error: &wasmtime::Error) -> bool {
    matches!(error.downcast_ref::<ResourceTableError>(), Some(ResourceTableError::Full))
        || error.root_cause().to_string().contains("store handle limit exceeded")
}

fn handed_over_too_much(error: &wasmtime::Error) -> bool {
    error.root_cause().to_string().contains("fuel allocated for hostcalls has been exhausted")
}
