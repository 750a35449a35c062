//! Failures of calls, and the trait by which every domain error carries them. The host fills `unavailable(failure)`;
//! this module lets helpers read and make it without knowing the domain.

pub use crate::bindings::weft::call::types::{Failure, Outcome};
use crate::sql;

/// What a reused key says. Domain errors have no case for it: it travels as a failure and is known by its text.
const KEY_REUSED: &str = "the key belongs to another input";

/// A domain error with a case `unavailable(failure)`.
pub trait Fallible: Sized {
    /// The failure, where this error says that the callee did not answer; `None` for a definite error.
    fn failure(&self) -> Option<&Failure>;

    /// Wraps a failure.
    fn from_failure(failure: Failure) -> Self;

    /// What a commit on a revoked key answers: its compensation has run, nothing lands any more.
    fn revoked() -> Self {
        Self::from_failure(Failure::not_attempted("the key was revoked"))
    }

    /// What a key that was used for another input answers.
    fn key_reused() -> Self {
        Self::from_failure(Failure::key_reused())
    }
}

impl Failure {
    /// Nothing happened; trying again is safe.
    pub fn not_attempted(message: impl Into<String>) -> Self {
        Self { outcome: Outcome::NotAttempted, retry_after_ms: None, message: message.into() }
    }

    /// The effect may or may not have happened.
    pub fn unknown(message: impl Into<String>) -> Self {
        Self { outcome: Outcome::Unknown, retry_after_ms: None, message: message.into() }
    }

    /// The key was used for another input before; trying again is safe and of no use.
    pub fn key_reused() -> Self {
        Self::not_attempted(KEY_REUSED)
    }

    /// Whether this is [`Failure::key_reused`], from here or from a callee.
    pub fn is_key_reused(&self) -> bool {
        self.message == KEY_REUSED
    }

    /// Whether the effect may have happened.
    pub fn may_have_run(&self) -> bool {
        matches!(self.outcome, Outcome::Unknown)
    }
}

impl Fallible for Failure {
    fn failure(&self) -> Option<&Failure> {
        Some(self)
    }

    fn from_failure(failure: Failure) -> Self {
        failure
    }
}

impl From<sql::Error> for Failure {
    fn from(error: sql::Error) -> Self {
        match error {
            sql::Error::Unavailable((true, message)) => Self::unknown(message),
            sql::Error::Unavailable((false, message)) => Self::not_attempted(message),
            other => Self::not_attempted(format!("the database refused: {}", sql::describe(&other))),
        }
    }
}

/// Implements [`Fallible`] and `From<sql::Error>` for generated error variants.
#[macro_export]
macro_rules! fallible {
    (@methods) => {
        fn failure(&self) -> ::core::option::Option<&$crate::Failure> {
            match self {
                Self::Unavailable(failure) => ::core::option::Option::Some(failure),
                #[allow(unreachable_patterns)]
                _ => ::core::option::Option::None,
            }
        }
        fn from_failure(failure: $crate::Failure) -> Self {
            Self::Unavailable(failure)
        }
    };
    (@sql $error:ty) => {
        impl ::core::convert::From<$crate::sql::Error> for $error {
            fn from(error: $crate::sql::Error) -> Self {
                Self::Unavailable(error.into())
            }
        }
    };
    ($($error:ty),+ $(,)?) => {$(
        impl $crate::Fallible for $error {
            $crate::fallible!(@methods);
        }
        $crate::fallible!(@sql $error);
    )+};
}

/// [`fallible!`] for errors with a case `revoked`: those of commands that can be undone.
#[macro_export]
macro_rules! fallible_revocable {
    ($($error:ty),+ $(,)?) => {$(
        impl $crate::Fallible for $error {
            $crate::fallible!(@methods);
            fn revoked() -> Self {
                Self::Revoked
            }
        }
        $crate::fallible!(@sql $error);
    )+};
}
