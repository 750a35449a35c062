//! Telemetry: the host's own log, the functions' output, and W3C trace context. What is worth logging is up to whoever
//! logs it.

pub mod trace;
