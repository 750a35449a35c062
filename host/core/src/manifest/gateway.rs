//! Bounds of the gateway. Keeping to them belongs to the gateway.

use super::limits::DEADLINE_MS;
use super::rate_limit::RateLimits;
use super::section::Section;

/// `[application.tool.weft.gateway]`: bounds of every request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// The largest body of a request, in bytes: 0 to 1 GiB, 10 MB by default. A larger one is answered with 413.
    pub max_body_bytes: u64,
    /// All header lines of a request together, in bytes: 1 KiB to 1 MiB, 32 KiB by default. More is answered with 431.
    pub max_header_bytes: u32,
    /// How long a function may take to answer where neither its route nor its component says otherwise, in
    /// milliseconds: 1 to 600,000, 5,000 by default. A later answer is 504.
    pub request_timeout_ms: u32,
    /// How long a client may take to send its header, in milliseconds: 1 to 600,000, 10,000 by default.
    pub header_timeout_ms: u32,
    /// How long a client may take to send its body, in milliseconds: 1 to 600,000, 30,000 by default. Then 408.
    pub body_timeout_ms: u32,
    /// How long a connection may be idle, in milliseconds: 1 to 600,000, 60,000 by default.
    pub idle_timeout_ms: u32,
    /// Connections at once: 1 to 1,000,000, 10,000 by default.
    pub max_connections: u32,
    /// Requests that are served at once over all routes: 1 to 1,000,000, 1,000 by default. One more is answered with
    /// 503.
    pub max_concurrent: u32,
    /// How many requests are admitted.
    pub rate_limits: RateLimits,
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            max_body_bytes: 10_000_000,
            max_header_bytes: 32 * 1024,
            request_timeout_ms: 5_000,
            header_timeout_ms: 10_000,
            body_timeout_ms: 30_000,
            idle_timeout_ms: 60_000,
            max_connections: 10_000,
            max_concurrent: 1_000,
            rate_limits: RateLimits::default(),
        }
    }
}

impl Gateway {
    pub(super) fn read(section: Section<'_>) -> Self {
        let default = Self::default();
        let ms = |key, default| section.number(key, DEADLINE_MS, default);
        let gateway = Self {
            max_body_bytes: section.number("max_body_bytes", 0..=1 << 30, default.max_body_bytes),
            max_header_bytes: section.number("max_header_bytes", 1024..=1 << 20, default.max_header_bytes),
            request_timeout_ms: ms("request_timeout_ms", default.request_timeout_ms),
            header_timeout_ms: ms("header_timeout_ms", default.header_timeout_ms),
            body_timeout_ms: ms("body_timeout_ms", default.body_timeout_ms),
            idle_timeout_ms: ms("idle_timeout_ms", default.idle_timeout_ms),
            max_connections: section.number("max_connections", 1..=1_000_000, default.max_connections),
            max_concurrent: section.number("max_concurrent", 1..=1_000_000, default.max_concurrent),
            rate_limits: RateLimits::read(&section),
        };
        section.finish();
        gateway
    }
}
