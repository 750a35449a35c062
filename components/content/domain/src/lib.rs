//! The rules of the content context: what may be uploaded, what processing makes of it, and who reads it. Storage,
//! sagas and events are the operations' business.

pub mod access;
pub mod lifecycle;
pub mod processing;
pub mod search;
pub mod upload;

/// A value that a field must not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// The JSON field or query parameter.
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
