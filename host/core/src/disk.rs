//! The disk behind a trait.
