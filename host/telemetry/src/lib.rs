//! Telemetry: the host's own log, the functions' output, the audit log, and W3C trace context. What is worth logging is up
//! to whoever logs it. But for the audit log nothing in here makes a request wait for a disk or a terminal: what cannot be
//! kept up with is dropped and counted.

pub mod audit;
pub mod decisions;
mod fields;
pub mod guest;
pub mod host;
pub mod trace;

pub use audit::{AuditEntry, AuditLog};
pub use decisions::{CallerKind, DecidedRequests, Decision, DecisionLog, Verdict};
pub use guest::{GuestLogs, GuestWriter, LogLine, Stream};
pub use host::{HostLog, HostLogError, LogFormat};
