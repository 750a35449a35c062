//! The rules of the identity context: what an account, a password and a token may be, when a login is locked out, and
//! what a refresh token is worth. Time, randomness and storage are the operations' business and come in as arguments.

pub mod access;
pub mod account;
pub mod lockout;
pub mod password;
pub mod refresh;
pub mod voiding;

/// A value that a field must not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// The JSON field.
    pub field: &'static str,
    /// What is wrong with it, for a person.
    pub reason: String,
}

impl Invalid {
    /// A value of `field` that is refused because of `reason`.
    #[must_use]
    pub fn new(field: &'static str, reason: impl Into<String>) -> Self {
        Self { field, reason: reason.into() }
    }
}

impl std::fmt::Display for Invalid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.field, self.reason)
    }
}

impl std::error::Error for Invalid {}
