//! The words of the saga journal, as in `weft:durable`.

/// Whether a step runs or is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// The step itself.
    Do,
    /// Its compensation.
    Undo,
}

/// What a step, or one attempt of it, came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// A limit that an attempt has to keep to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitUse {
    /// Its name among [`crate::Limits`].
    pub name: String,
    /// Each key has the limit for itself.
    pub key: Option<String>,
}

/// How a step is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepOptions {
    /// Per attempt, in milliseconds. Kept by whoever runs the attempt.
    pub timeout_ms: u32,
    /// When to try again.
    pub retry: RetryPolicy,
    /// What an attempt waits for before it begins.
    pub limits: Vec<LimitUse>,
    /// Which of the steps of this name a compensation belongs to, from 1; counted as they are entered without it.
    pub occurrence: Option<u32>,
}

/// What the code of a saga can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
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

/// Where a saga stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// On its way.
    Running,
    /// On its way; nothing further begins until it is resumed.
    Paused,
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
    /// All of them, in the order of a saga's life.
    pub const ALL: [Self; 6] =
        [Self::Running, Self::Paused, Self::Completed, Self::Compensating, Self::Compensated, Self::NeedsAttention];

    /// The stable name, such as `needs-attention`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
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

    /// Whether nothing of the saga runs any more.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Compensated | Self::NeedsAttention)
    }
}
