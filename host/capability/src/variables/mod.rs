//! The variables capability.
