//! Headers that restrain a browser. Putting them on answers belongs to the gateway.

use std::sync::Arc;

use crate::manifest::diagnostic::Located;
use crate::manifest::section::Section;

/// Longest value, in bytes.
const MAX_VALUE_BYTES: usize = 4 * 1024;

/// `[application.tool.weft.gateway.headers]`: what every answer has unless the function has said it itself. An empty
/// text leaves a header out. Values have at most 4 KiB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityHeaders {
    /// `Content-Security-Policy`; `frame-ancestors 'none'` by default. `frame_ancestors` is added to it.
    pub content_security_policy: Arc<str>,
    /// `X-Frame-Options`, for browsers that do not know `frame-ancestors`: what `frame_ancestors` comes to; `DENY` by
    /// default.
    pub frame_options: Arc<str>,
    /// `Referrer-Policy`; `no-referrer` by default.
    pub referrer_policy: Arc<str>,
    /// `Permissions-Policy`; left out by default.
    pub permissions_policy: Arc<str>,
}

impl Default for SecurityHeaders {
    fn default() -> Self {
        Self {
            content_security_policy: "frame-ancestors 'none'".into(),
            frame_options: "DENY".into(),
            referrer_policy: "no-referrer".into(),
            permissions_policy: "".into(),
        }
    }
}

impl SecurityHeaders {
    pub(in crate::manifest) fn read(section: Section<'_>) -> Self {
        let default = Self::default();
        let csp = text(&section, "content_security_policy");
        let ancestors = section.get("frame_ancestors").map(|entry| (entry.line, entry.strings()));
        let mut headers = Self {
            content_security_policy: csp.as_ref().map_or(default.content_security_policy, |csp| csp.value.clone()),
            frame_options: default.frame_options,
            referrer_policy: text(&section, "referrer_policy").map_or(default.referrer_policy, |text| text.value),
            permissions_policy: text(&section, "permissions_policy")
                .map_or(default.permissions_policy, |text| text.value),
        };
        if let Some((line, ancestors)) = ancestors {
            if csp.as_ref().is_some_and(|csp| csp.contains("frame-ancestors")) {
                section.report_with_help(
                    line,
                    "`headers.frame_ancestors` beside a `content_security_policy` that has frame-ancestors of its own",
                    "write it in one of the two",
                );
            }
            let rest = csp.map(|csp| csp.value.trim().trim_end_matches(';').to_owned()).unwrap_or_default();
            headers.embedded_by(&rest, &sources(&section, line, &ancestors));
        }
        section.finish();
        headers
    }

    /// Lets pages of these sources embed ours; `rest` is the policy apart from that.
    fn embedded_by(&mut self, rest: &str, sources: &[&str]) {
        let directive =
            format!("frame-ancestors {}", if sources.is_empty() { "'none'".into() } else { sources.join(" ") });
        let policy = if rest.is_empty() { directive } else { format!("{rest}; {directive}") };
        self.content_security_policy = policy.into();
        self.frame_options = match sources {
            [] | ["'none'"] => "DENY".into(),
            ["'self'"] => "SAMEORIGIN".into(),
            // It has no word for other pages.
            _ => "".into(),
        };
    }
}

/// A value that can stand in a header.
fn text(section: &Section<'_>, key: &'static str) -> Option<Located<Arc<str>>> {
    let text = section.string(key)?;
    if text.len() > MAX_VALUE_BYTES {
        section.report(text.line, format!("`headers.{key}` is longer than {MAX_VALUE_BYTES} bytes"));
        return None;
    }
    if !text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        section.report(text.line, format!("`headers.{key}` has something else than visible ASCII on one line"));
        return None;
    }
    Some(text)
}

fn sources<'s>(section: &Section<'_>, line: usize, written: &'s [Located<Arc<str>>]) -> Vec<&'s str> {
    let is_source =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && !b";,\"".contains(&byte));
    for source in written.iter().filter(|source| !is_source(source)) {
        section.report(
            source.line,
            format!("`headers.frame_ancestors`: {:?} is no source such as 'self' or https://a.example", &*source.value),
        );
    }
    let total: usize = written.iter().map(|source| source.len() + 1).sum();
    if total > MAX_VALUE_BYTES {
        section.report(line, format!("`headers.frame_ancestors` is longer than {MAX_VALUE_BYTES} bytes"));
    }
    written.iter().map(|source| &*source.value).collect()
}
