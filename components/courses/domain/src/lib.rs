//! The rules of the courses context: what a course may be, who sees it, what a price is, what a search
//! finds, and what its cover looks like. Storage and time are the operations' business.

pub mod course;
pub mod lifecycle;
pub mod media;
pub mod money;
pub mod search;

/// A value that a field must not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// The JSON field or query parameter.
    pub field: String,
    /// What is wrong with it, for a person.
    pub reason: String,
}

impl Invalid {
    /// A value of `field` that is refused because of `reason`.
    #[must_use]
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }
}

impl std::fmt::Display for Invalid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.field, self.reason)
    }
}

impl std::error::Error for Invalid {}
