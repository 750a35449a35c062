//! The journal of sagas on a SQLite database: what stands behind `weft:durable` where the host has none, as under Spin.
//! Owns begin, enter, leave, timers, signals, children, finish, leases with fencing, replay, and what is due. Does its
//! input and output through [`Database`] and [`Clock`], runs no component, and knows no WIT: that is the adapter
//! component.
//!
//! Every record is a committed transaction, so whatever stands before an attempt survives a crash in it. A run has its
//! saga by a lease that it renews; a process that has ended renews nothing, and another run takes the saga over when the
//! lease has ended. From then on the run before is refused, whatever it still does. What happens in this process wakes
//! who waits here; SQLite tells nobody of what others write, so who waits for that looks again, after 50 ms at first and
//! every second later.
//!
//! It differs from the journal of Weft in this: limits of the manifest that steps name are not kept; a saga is neither
//! paused nor resolved by a person, so one that needs attention has ended; and a saga that waits for long goes on when it
//! is next asked for what is due.

mod control;
mod database;
mod engine;
mod policy;
mod record;
mod replay;
mod run;
mod table;
mod types;
mod view;
mod waiting;
mod wake;

pub use database::{Database, Value};
pub use engine::{Begun, Journal};
pub use run::Run;
pub use types::{
    AttemptResult, Entered, EventKind, Execution, Left, Outcome, Phase, Recording, RetryPolicy, SagaError, Status,
    StepOptions,
};
pub use view::{SagaView, StepView};
pub use wake::Clock;

/// The most bytes a saga's key may have.
pub const MAX_KEY_BYTES: usize = 256;
/// The most bytes the name of a step, a timer or a signal may have.
pub const MAX_NAME_BYTES: usize = 128;
/// The most bytes an input, an answer or a step's payload may have.
pub const MAX_PAYLOAD_BYTES: usize = 1024 * 1024;
/// The most records one generation of a saga may have; a longer work continues as new, or is split into sagas.
pub const MAX_SAGA_RECORDS: usize = 200_000;
/// The most attributes a saga may have.
pub const MAX_ATTRIBUTES: usize = 32;
/// The most signals that may wait for a saga.
pub const MAX_SIGNALS: usize = 1000;
/// The most sagas that may be unfinished.
pub const MAX_UNFINISHED: usize = 100_000;
/// How long an ended saga is known, in milliseconds; its key is not reused so long.
pub const RETENTION_MS: u64 = 30 * 24 * 60 * 60 * 1000;
/// How long a run has its saga after it has last said so, in milliseconds.
pub const LEASE_MS: u64 = 15_000;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
