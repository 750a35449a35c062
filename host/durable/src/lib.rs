//! Durability: the append [`log`] (shared with the message log), the saga journal on it, and the saga engine: begin,
//! enter, leave, finish, retries, replay and recovery. Reads no clock and does no input or output but through the traits
//! of `weft-core`; runs no instance (that is behind [`Resume`]) and knows no WIT (that is the glue of the capability).

pub mod log;

mod choreography;
mod clock;
mod control;
mod engine;
mod error;
mod events;
mod faults;
mod index;
mod limits;
mod open;
mod policy;
mod record;
mod recovery;
mod replay;
mod run;
mod schedule;
mod types;
mod view;
mod waiting;

pub use choreography::Reaction;
pub use clock::{SagaClock, seed};
pub use control::{By, Resolution};
pub use engine::{Begun, Sagas, Starter};
pub use error::SagaError;
pub use events::SagaEvent;
pub use faults::{Fault, FaultKind, Faults};
pub use limits::{Limit, Limits, Rate};
pub use open::{Found, OpenError, SagaOptions};
pub use recovery::Resume;
pub use run::Run;
pub use schedule::{BeginScheduled, Schedule, ScheduleView, scheduled_key};
pub use types::{
    AttemptResult, Entered, EventKind, Execution, Left, LimitUse, Outcome, Phase, Recording, RetryPolicy, Status,
    StepOptions,
};
pub use view::{AttemptView, Counts, OrderView, SagaFilter, SagaPage, SagaSummary, SagaView, StepView, WaitView};

/// The most bytes a saga's key may have.
pub const MAX_KEY_BYTES: usize = 256;
/// The most bytes the name of a step or a timer may have.
pub const MAX_NAME_BYTES: usize = 128;
/// The most bytes an input, an answer or a step's payload may have.
pub const MAX_PAYLOAD_BYTES: usize = 1024 * 1024;
/// The most records one generation of a saga may have; a longer work continues as new, or is split into sagas.
pub const MAX_SAGA_RECORDS: usize = 200_000;
/// The most attributes a saga may have.
pub const MAX_ATTRIBUTES: usize = 32;
/// The most signals that may wait for a saga.
pub const MAX_SIGNALS: usize = 1000;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
