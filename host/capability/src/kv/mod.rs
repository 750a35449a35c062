//! The kv capability.
