//! The records of the saga journal. A record of an older version is read for ever: the bytes are held by a golden test,
//! and a change of them takes a new version beside the old. How a record becomes bytes stands in `codec`.
//!
//! Every record but the first names its saga by the position of that saga's first record.

use crate::types::{EventKind, Outcome, Phase, Status};

mod bytes;
mod codec;

/// Version of the encoding that this code writes.
pub(crate) const VERSION: u8 = 1;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Started {
    pub key: String,
    pub function: String,
    /// Empty for a choreographed saga, which no component runs.
    pub component: String,
    pub digest: String,
    pub correlation_id: String,
    pub at_ms: u64,
    pub input: Vec<u8>,
}

/// One ended attempt. With `retry_at_ms` another attempt follows, and the outcome is this attempt's; without it the
/// step is settled, and the outcome is the step's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StepEnded {
    pub saga: u64,
    pub name: String,
    pub occurrence: u32,
    pub phase: Phase,
    pub attempt: u32,
    pub outcome: Outcome,
    pub retry_at_ms: Option<u64>,
    pub started_at_ms: u64,
    pub ended_at_ms: u64,
    pub payload: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Timer {
    pub saga: u64,
    pub name: String,
    pub occurrence: u32,
    pub fires_at_ms: u64,
}

/// An end of a saga. One that a person resolves afterwards gets another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub saga: u64,
    pub status: Status,
    pub failed: bool,
    pub at_ms: u64,
    /// None if the function never answered.
    pub answer: Option<Vec<u8>>,
    /// Why a person has to look at it.
    pub reason: Option<String>,
}

/// A signal that was sent to the saga.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signalled {
    pub saga: u64,
    pub name: String,
    /// Empty, or never taken twice under this name.
    pub id: String,
    pub at_ms: u64,
    pub payload: Vec<u8>,
}

/// The code waits for a signal or for a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Awaited {
    pub saga: u64,
    pub kind: EventKind,
    pub name: String,
    pub occurrence: u32,
    /// Of the wait for a signal.
    pub until_ms: Option<u64>,
    /// The child's key.
    pub child: Option<String>,
}

/// The code was told of something that is neither a step nor a timer: a signal, the end of a child, or that it will not
/// be told any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub saga: u64,
    pub kind: EventKind,
    pub name: String,
    pub occurrence: u32,
    pub at_ms: u64,
    pub outcome: Outcome,
    pub what: Tidings,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tidings {
    /// The signal whose record stands at this position.
    Signal(u64),
    /// No signal came in time.
    TimedOut,
    /// The child's answer.
    Child(Vec<u8>),
    /// The saga is cancelled: this did not run, or not any more. With the reason.
    Cancelled(String),
}

/// Something set by the saga's own code that takes no part in its course.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// The answer to a query.
    Exposed {
        name: String,
        value: Vec<u8>,
    },
    Attributes(Vec<(String, String)>),
    Deadline {
        at_ms: u64,
    },
}

/// Something that a person or another function asked of the saga.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Pause,
    Resume,
    Cancel,
    /// The steps from this one on are forgotten and run again.
    Rewind {
        name: String,
        occurrence: u32,
    },
    /// The compensations that failed are tried again; a saga that was parked goes on.
    Retry,
    /// The compensation counts as done.
    Skip {
        name: String,
        occurrence: u32,
    },
    /// The saga stays as it is.
    Abandon,
    /// It goes on with this code.
    Migrate {
        digest: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ordered {
    pub saga: u64,
    pub order: Order,
    pub at_ms: u64,
    pub actor: String,
    pub reason: String,
}

/// The run ended to wait: nothing was running then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Suspended {
    pub saga: u64,
    /// None: until a signal, the end of a child or an order.
    pub wakes_at_ms: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Continued {
    pub saga: u64,
    pub at_ms: u64,
    pub input: Vec<u8>,
}

/// A schedule was due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ticked {
    pub schedule: String,
    pub at_ms: u64,
    /// Whether a saga began; else it was skipped.
    pub begun: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    Started(Started),
    Step(StepEnded),
    /// A timer was asked for.
    TimerSet(Timer),
    /// It has fired: where its end stands among the ends of steps.
    TimerFired(Timer),
    Ended(Ended),
    Signalled(Signalled),
    Awaited(Awaited),
    Told(Told),
    Noted(u64, Note),
    Ordered(Ordered),
    Suspended(Suspended),
    Continued(Continued),
    Ticked(Ticked),
}

/// A record whose bytes are whole and make no sense to this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a journal record of kind {kind}, version {version} is not known to this version")]
pub struct UnknownRecord {
    /// Its kind.
    pub kind: u8,
    /// Its version.
    pub version: u8,
}

impl Entry {
    /// The position of the saga's first record; none for that record itself and for what belongs to no saga.
    pub(crate) fn saga(&self) -> Option<u64> {
        match self {
            Self::Started(_) | Self::Ticked(_) => None,
            Self::Step(step) => Some(step.saga),
            Self::TimerSet(timer) | Self::TimerFired(timer) => Some(timer.saga),
            Self::Ended(ended) => Some(ended.saga),
            Self::Signalled(signalled) => Some(signalled.saga),
            Self::Awaited(awaited) => Some(awaited.saga),
            Self::Told(told) => Some(told.saga),
            Self::Noted(saga, _) => Some(*saga),
            Self::Ordered(ordered) => Some(ordered.saga),
            Self::Suspended(suspended) => Some(suspended.saga),
            Self::Continued(continued) => Some(continued.saga),
        }
    }
}

#[cfg(test)]
mod tests;
