//! The durable capability.
