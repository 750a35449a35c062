//! The host's common error: whose fault, what is known of the effect, whether to try again. What a status code or a
//! WIT error makes of it belongs to the gateway and the glue.

use std::fmt;

/// Who has to act for the error to go away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The request is wrong.
    Client,
    /// The function is wrong: it trapped, looped, grew too large.
    Guest,
    /// The host is wrong or overloaded.
    Host,
    /// A system behind the host did not answer.
    Backend,
}

/// What is known of the effect of something that did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It was not started: nothing happened, trying again is safe.
    NotAttempted,
    /// It was started and did not answer: the effect may or may not have happened.
    Unknown,
}

/// What went wrong, as far as policy cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A bound on concurrency or a queue was reached.
    Overloaded,
    /// The deadline passed.
    Deadline,
    /// The function trapped.
    Trapped,
    /// The function used up its processor time.
    CpuLimit,
    /// The function passed its memory or another limit of its instance.
    ResourceLimit,
    /// The thing called does not exist or is not running.
    Unavailable,
    /// The caller may not do this.
    Denied,
    /// The host is going down.
    ShuttingDown,
    /// The caller went away.
    Cancelled,
    /// A bug or a broken installation.
    Internal,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Overloaded,
        Self::Deadline,
        Self::Trapped,
        Self::CpuLimit,
        Self::ResourceLimit,
        Self::Unavailable,
        Self::Denied,
        Self::ShuttingDown,
        Self::Cancelled,
        Self::Internal,
    ];

    /// A stable lower-case name for logs, metrics and problem types.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Overloaded => "overloaded",
            Self::Deadline => "deadline-exceeded",
            Self::Trapped => "function-trapped",
            Self::CpuLimit => "cpu-limit-exceeded",
            Self::ResourceLimit => "resource-limit-exceeded",
            Self::Unavailable => "unavailable",
            Self::Denied => "denied",
            Self::ShuttingDown => "shutting-down",
            Self::Cancelled => "cancelled",
            Self::Internal => "internal",
        }
    }
}

/// A call, a commit or another effect that did not reach its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Whose fault it is.
    pub fault: Fault,
    /// What is known of the effect.
    pub outcome: Outcome,
    /// What went wrong.
    pub reason: Reason,
    /// How long to wait before trying again, in milliseconds, where that is known.
    pub retry_after_ms: Option<u32>,
    /// For a person and for the caller; never the internals of the callee.
    pub message: String,
}

impl Failure {
    /// A failure before anything happened.
    pub fn not_attempted(fault: Fault, reason: Reason, message: impl Into<String>) -> Self {
        Self { fault, outcome: Outcome::NotAttempted, reason, retry_after_ms: None, message: message.into() }
    }

    /// A failure after which the effect may have happened.
    pub fn unknown(fault: Fault, reason: Reason, message: impl Into<String>) -> Self {
        Self { fault, outcome: Outcome::Unknown, reason, retry_after_ms: None, message: message.into() }
    }

    /// The same failure, with advice on when to try again.
    #[must_use]
    pub fn retry_after_ms(mut self, ms: u32) -> Self {
        self.retry_after_ms = Some(ms);
        self
    }

    /// Whether trying again later can help at all.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        !matches!(self.reason, Reason::Denied | Reason::Cancelled)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason.as_str(), self.message)
    }
}

impl std::error::Error for Failure {}
