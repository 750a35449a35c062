//! The words of the saga journal, as in `weft:durable`.

use serde::{Deserialize, Serialize};

/// Whether a step runs or is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The step itself.
    Do,
    /// Its compensation.
    Undo,
}

/// What a step, or one attempt of it, came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It answered with success.
    Success,
    /// It answered with an error, or never ran; nothing happened.
    Error,
    /// Something may have happened.
    Unknown,
}

/// When to try a step again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all; 1 means no retry, 0 is taken as 1.
    pub max_attempts: u32,
    /// The longest first delay, in milliseconds.
    pub base_ms: u32,
    /// By how much the longest delay grows each time, in percent: 200 doubles it.
    pub factor_percent: u32,
    /// The longest delay at all, in milliseconds.
    pub cap_ms: u32,
}

/// How a step is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepOptions {
    /// Per attempt, in milliseconds. Kept by whoever runs the attempt; the lease of one that takes far longer ends.
    pub timeout_ms: u32,
    /// When to try again.
    pub retry: RetryPolicy,
    /// Which of the steps of this name a compensation belongs to, from 1; counted as they are entered without it.
    pub occurrence: Option<u32>,
}

/// What the code of a saga can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// The end of a step.
    Do,
    /// The end of a compensation.
    Undo,
    /// That a timer has fired.
    Timer,
    /// A signal, or that none came in time.
    Signal,
    /// The end of another saga.
    Child,
}

impl From<Phase> for EventKind {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Do => Self::Do,
            Phase::Undo => Self::Undo,
        }
    }
}

/// What stands in the journal of a settled step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// What the step came to.
    pub outcome: Outcome,
    /// The guest's bytes.
    pub payload: Vec<u8>,
    /// When it was settled, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// It did not run any more, since the saga is cancelled; the payload is the reason, as text.
    pub cancelled: bool,
}

/// An attempt to be run now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Execution {
    /// From 1; attempts cut short by a crash do not count.
    pub attempt: u32,
    /// `<saga key>/<name>#<occurrence>`.
    pub key: String,
}

/// Answer of [`crate::Run::enter`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entered {
    /// The step is settled; nothing runs.
    Recorded(Recording),
    /// All earlier records of the saga are durable: run the attempt, then leave.
    Execute(Execution),
}

/// What one attempt came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptResult {
    /// Success, with the answer.
    Success(Vec<u8>),
    /// A definite error of the callee; not retried.
    Error(Vec<u8>),
    /// The callee did not answer; retried by the policy.
    Failed {
        /// Whether it may have run all the same.
        maybe_ran: bool,
        /// The shortest delay before another attempt, in milliseconds.
        retry_after_ms: Option<u32>,
        /// Why, for the record.
        payload: Vec<u8>,
    },
}

/// Answer of [`crate::Run::leave`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Left {
    /// The step is settled.
    Settled(Recording),
    /// The attempt is recorded; its delay passes inside the next `enter`.
    Again,
}

/// Where a saga stands. Nobody pauses one here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// On its way.
    Running,
    /// Ended with success.
    Completed,
    /// Taking back its steps.
    Compensating,
    /// Ended with an error; nothing is left of it.
    Compensated,
    /// Ended, and a person has to look at it.
    NeedsAttention,
}

impl Status {
    const ALL: [Self; 5] =
        [Self::Running, Self::Completed, Self::Compensating, Self::Compensated, Self::NeedsAttention];

    /// The stable name, such as `needs-attention`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Compensating => "compensating",
            Self::Compensated => "compensated",
            Self::NeedsAttention => "needs-attention",
        }
    }

    /// The status of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

/// Answers of the journal that are not what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SagaError {
    /// The key belongs to another function or another input.
    #[error("the key belongs to a saga of another function or with another input")]
    KeyReused,
    /// There is no such saga.
    #[error("there is no saga with this key")]
    NotFound,
    /// This run has ended: the saga waits, or another run has it.
    #[error("the lease of this run has ended; another run goes on with the saga")]
    LeaseLost,
    /// The code does not fit its journal.
    #[error("{0}")]
    Mismatch(String),
    /// A limit was passed.
    #[error("{0}")]
    TooLarge(String),
    /// The saga stands where this cannot be done.
    #[error("{0}")]
    Conflict(String),
    /// The saga cannot be gone on with now, or at all.
    #[error("{0}")]
    Unavailable(String),
}

pub(crate) fn check_size(what: &str, bytes: usize, limit: usize) -> Result<(), SagaError> {
    if bytes > limit {
        return Err(SagaError::TooLarge(format!("{what} has at most {limit} bytes, this one has {bytes}")));
    }
    Ok(())
}

pub(crate) fn check_name(name: &str) -> Result<(), SagaError> {
    if name.is_empty() {
        return Err(SagaError::TooLarge("the name of a step, timer or signal has at least one byte".to_owned()));
    }
    check_size("the name of a step, timer or signal", name.len(), crate::MAX_NAME_BYTES)
}
