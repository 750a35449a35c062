//! What the host answers for a trigger by itself, without a component: `static_response`, as Spin has it. Sending it
//! belongs to the gateway.

use std::fmt;
use std::sync::Arc;

use super::names;
use super::section::Section;

/// The longest body, in bytes.
const MAX_BODY_BYTES: usize = 1 << 20;
/// The most headers.
const MAX_HEADERS: usize = 64;
/// The longest name and the longest value of a header together, in bytes.
const MAX_HEADER_BYTES: usize = 8 * 1024;
/// Headers that belong to the connection: whoever sends the answer sets them.
const OF_THE_CONNECTION: [&str; 6] = ["connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"];

/// An answer that is the same for every request.
#[derive(Clone, PartialEq, Eq)]
pub struct StaticResponse {
    /// The status: 200 to 999, 200 by default.
    pub status: u16,
    /// Names in lower case with their values, in the order of the file: at most 64.
    pub headers: Vec<(Arc<str>, Arc<str>)>,
    /// The body: at most 1 MiB, empty by default.
    pub body: Arc<str>,
}

impl StaticResponse {
    pub(super) fn read(section: Section<'_>) -> Self {
        let status = section.number("status_code", 200..=999, 200);
        let body = section.string("body");
        if let Some(long) = body.as_ref().filter(|body| body.len() > MAX_BODY_BYTES) {
            section.report_with_help(
                long.line,
                format!("the body has {} bytes; a static response has at most {MAX_BODY_BYTES}", long.len()),
                "serve it as a file, by a component with `files`",
            );
        }
        let body = body.map(|body| body.value).unwrap_or_default();
        let headers = section.section("headers").map(|table| headers(&table, body.len())).unwrap_or_default();
        section.finish();
        Self { status, headers, body }
    }
}

fn headers(table: &Section<'_>, body_bytes: usize) -> Vec<(Arc<str>, Arc<str>)> {
    let entries = table.entries();
    if entries.len() > MAX_HEADERS {
        table.report(table.line, format!("a static response has at most {MAX_HEADERS} headers"));
    }
    let mut headers = Vec::new();
    for (name, entry) in entries.into_iter().take(MAX_HEADERS) {
        let lower = name.to_ascii_lowercase();
        let Some(value) = entry.string() else { continue };
        if !names::is_token(&lower) {
            entry.report("is no name for a header");
        } else if value.bytes().any(|byte| (byte < b' ' && byte != b'\t') || byte == 0x7f) {
            entry.report("has a control character in its value");
        } else if lower.len() + value.len() > MAX_HEADER_BYTES {
            entry.report(format!("is longer than {MAX_HEADER_BYTES} bytes"));
        } else if OF_THE_CONNECTION.contains(&lower.as_str()) {
            entry.report_with_help("belongs to the connection, and the host sets it", "remove it");
        } else if lower == "content-length" {
            // The host counts for itself; a number that is right does no harm.
            if value.trim().parse() != Ok(body_bytes) {
                entry.report_with_help(format!("is not the length of the body, {body_bytes}"), "remove it");
            }
        } else {
            headers.push((lower.into(), value.value));
        }
    }
    headers
}

impl fmt::Debug for StaticResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaticResponse")
            .field("status", &self.status)
            .field("headers", &self.headers)
            .field("body_bytes", &self.body.len())
            .finish()
    }
}
