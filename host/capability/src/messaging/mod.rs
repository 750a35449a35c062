//! The messaging capability.
