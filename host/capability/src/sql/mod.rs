//! The sql capability.
