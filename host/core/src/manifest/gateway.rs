//! The gateway: bounds of every request, and whose word counts on where one comes from. TLS, CORS, compression,
//! overload, security headers and OpenAPI have files of their own. Keeping to all of it belongs to the gateway.

mod compression;
mod cors;
mod headers;
mod idempotency;
mod json;
mod openapi;
mod overload;
mod push;
mod tls;

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::behind;
use super::diagnostic::Located;
use super::limits::DEADLINE_MS;
use super::rate_limit::RateLimits;
use super::section::Section;
use super::source::Files;
use super::transform::{self, Transform};
use super::trigger::Middleware;

pub use compression::Compression;
pub use cors::{Cors, Origin};
pub use headers::SecurityHeaders;
pub use idempotency::Idempotency;
pub use openapi::{OpenApi, Operation, Page};
pub use overload::{Overload, Priority, PriorityError};
pub(super) use push::check as check_push;
pub use push::{ChannelRule, JoinPattern, Push};
pub use tls::{CertificateFiles, Hsts, Tls};

/// How long a function may take to answer a request where nothing says otherwise, in milliseconds.
pub(super) const DEFAULT_REQUEST_TIMEOUT_MS: u32 = 5_000;
/// Most trusted proxies, each an address or a range of them.
const MAX_PROXIES: usize = 64;

/// `[application.tool.weft.gateway]`.
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
    /// Peers whose word counts on where a request comes from: addresses and ranges (CIDR), at most 64, none by default.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether connections from trusted proxies begin with a header of the PROXY protocol, version 1 or 2.
    pub proxy_protocol: bool,
    /// HTTPS, if it is to be served.
    pub tls: Option<Tls>,
    /// Which pages of other origins may call, if any may.
    pub cors: Option<Cors>,
    /// Compression of answers, if they are to be compressed.
    pub compression: Option<Compression>,
    /// What restrains a browser.
    pub headers: SecurityHeaders,
    /// Where clients are pushed to, if they are.
    pub push: Option<Push>,
    /// How answers are kept for repeated requests.
    pub idempotency: Idempotency,
    /// How many requests are admitted.
    pub rate_limits: RateLimits,
    /// How many of them run at a time.
    pub overload: Overload,
    /// What stands in front of the functions of all routes that do not say otherwise, the outermost first.
    pub middleware: Vec<Middleware>,
    /// Rules that change requests and answers, in the order in which they are applied.
    pub transforms: Vec<Arc<Transform>>,
    /// What is told of the routes in OpenAPI, if anything is.
    pub openapi: Option<OpenApi>,
    /// The variable with the URL of the Redis server in which hosts share the counts of rate limits; they are shared unless its value is
    /// empty.
    pub shared_limits: Option<Located<Arc<str>>>,
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            max_body_bytes: 10_000_000,
            max_header_bytes: 32 * 1024,
            request_timeout_ms: DEFAULT_REQUEST_TIMEOUT_MS,
            header_timeout_ms: 10_000,
            body_timeout_ms: 30_000,
            idle_timeout_ms: 60_000,
            max_connections: 10_000,
            max_concurrent: 1_000,
            trusted_proxies: Vec::new(),
            proxy_protocol: false,
            tls: None,
            cors: None,
            compression: None,
            headers: SecurityHeaders::default(),
            push: None,
            idempotency: Idempotency::default(),
            rate_limits: RateLimits::default(),
            overload: Overload::default(),
            middleware: Vec::new(),
            transforms: Vec::new(),
            openapi: None,
            shared_limits: None,
        }
    }
}

impl Gateway {
    pub(super) fn read(section: Section<'_>, files: &Files) -> Self {
        let default = Self::default();
        let ms = |key, default| section.number(key, DEADLINE_MS, default);
        let max_concurrent = section.number("max_concurrent", 1..=1_000_000, default.max_concurrent);
        let overload = section.section("overload").map(|table| Overload::read(table, max_concurrent));
        let gateway = Self {
            max_body_bytes: section.number("max_body_bytes", 0..=1 << 30, default.max_body_bytes),
            max_header_bytes: section.number("max_header_bytes", 1024..=1 << 20, default.max_header_bytes),
            request_timeout_ms: ms("request_timeout_ms", default.request_timeout_ms),
            header_timeout_ms: ms("header_timeout_ms", default.header_timeout_ms),
            body_timeout_ms: ms("body_timeout_ms", default.body_timeout_ms),
            idle_timeout_ms: ms("idle_timeout_ms", default.idle_timeout_ms),
            max_connections: section.number("max_connections", 1..=1_000_000, default.max_connections),
            max_concurrent,
            trusted_proxies: trusted_proxies(&section),
            proxy_protocol: section.flag("proxy_protocol", false),
            tls: section.section("tls").and_then(|table| Tls::read(table, files)),
            cors: section.section("cors").map(Cors::read),
            compression: section.section("compression").map(Compression::read),
            headers: section.section("headers").map(SecurityHeaders::read).unwrap_or_default(),
            push: section.section("push").map(Push::read),
            idempotency: section.section("idempotency").map(Idempotency::read).unwrap_or_default(),
            rate_limits: RateLimits::read(&section),
            overload: overload.unwrap_or_default(),
            middleware: behind::read(&section, files).unwrap_or_default(),
            transforms: transform::read(&section),
            openapi: section.section("openapi").map(|table| OpenApi::read(table, files)),
            shared_limits: section.string("shared_limits"),
        };
        if gateway.proxy_protocol && gateway.trusted_proxies.is_empty() {
            section.report_with_help(
                section.line,
                "`proxy_protocol` without `trusted_proxies`: nobody's header would be read",
                "add trusted_proxies = [\"10.0.0.0/8\"] with the addresses of your load balancers",
            );
        }
        section.finish();
        gateway
    }
}

fn trusted_proxies(section: &Section<'_>) -> Vec<IpNet> {
    let written =
        section.names("trusted_proxies", |text| network(text).is_some(), "an address or a range such as 10.0.0.0/8");
    if let Some(many) = written.get(MAX_PROXIES) {
        section.report(many.line, format!("`trusted_proxies` has at most {MAX_PROXIES} entries"));
    }
    written.iter().filter_map(|text| network(text)).collect()
}

/// An address, or a range of them.
fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}
