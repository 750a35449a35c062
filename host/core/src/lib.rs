//! What every crate of the host shares: ids, errors that know whose fault they are, the clock and the disk behind
//! traits, the manifest, and the two traits that join the crates: [`Call`] and [`Runner`]. No tokio, no wasmtime.

pub mod answers;
pub mod backoff;
pub mod call;
pub mod clock;
pub mod cron;
pub mod disk;
pub mod failpoint;
pub mod failure;
pub mod generation;
pub mod hops;
pub mod id;
pub mod manifest;
pub mod outbound;
pub mod push;
pub mod shared_limits;
pub mod topic;
pub mod whole;

pub use backoff::Backoff;
pub use call::{
    Call, CallContext, Invocation, MAX_DEPTH, Origin, Runner, StepScope, Target, Trace, version_name, version_parts,
};
pub use clock::{Clock, SystemClock};
pub use failpoint::Failpoints;
pub use failure::{Failure, Fault, Outcome, Reason};
pub use generation::Generation;
