//! Which pages of other origins may call (CORS, the Fetch standard). Answering browsers belongs to the gateway.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::manifest::diagnostic::Located;
use crate::manifest::names;
use crate::manifest::section::Section;

/// Most entries of each list.
const MAX_ENTRIES: usize = 64;
/// What pages send unless the manifest says otherwise.
const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
const HEADERS: [&str; 3] = ["authorization", "content-type", "idempotency-key"];
/// Everything.
const ANY: &str = "*";

/// `[application.tool.weft.gateway.cors]`: pages of these origins may call. Lists have at most 64 entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    /// Whose pages: at least one.
    pub origins: Vec<Origin>,
    /// Whether pages may send cookies and read answers to them. `*` then stands nowhere.
    pub credentials: bool,
    /// The methods that they may use: `GET`, `HEAD`, `POST`, `PUT`, `PATCH` and `DELETE` by default; `*` is all.
    pub methods: Vec<Arc<str>>,
    /// The headers that they may send: `authorization`, `content-type` and `idempotency-key` by default; `*` is all but
    /// `authorization`.
    pub headers: Vec<Arc<str>>,
    /// The headers of an answer that they may read, apart from the few that they always may; none by default.
    pub expose: Vec<Arc<str>>,
    /// How long a browser may remember what it was told, in seconds: 0 to 86,400, 600 by default.
    pub max_age_s: u32,
}

/// An origin or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `*`: every one.
    Any,
    /// `https://app.example.com`, with a port where it is not the scheme's own, in lower case.
    Exact(Arc<str>),
    /// `https://*.example.com`: the hosts below this one, at any depth, but not itself. `before` ends in `://`, `after`
    /// begins with a dot and has the port.
    Below {
        /// The scheme and `://`.
        before: Arc<str>,
        /// The rest, from the dot on.
        after: Arc<str>,
    },
}

/// What is no origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OriginError;

impl fmt::Display for OriginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an origin is scheme://host or scheme://host:port in lower case, scheme://*.host, or *")
    }
}

impl std::error::Error for OriginError {}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        if text == ANY {
            return Ok(Self::Any);
        }
        let (scheme, host) = text.split_once("://").ok_or(OriginError)?;
        let is_scheme = scheme.starts_with(|c: char| c.is_ascii_lowercase())
            && scheme.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte));
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !host.ends_with(']') => (name, Some(port)),
            _ => (host, None),
        };
        // A browser leaves the scheme's own port out, so an origin that has it never comes.
        let is_port = port.is_none_or(|port| {
            port.parse::<u16>().is_ok_and(|number| number.to_string() == port)
                && !matches!((scheme, port), ("http", "80") | ("https", "443"))
        });
        if !is_scheme || !is_port {
            return Err(OriginError);
        }
        match name.strip_prefix("*.") {
            // Below a top-level domain there are hosts of everybody.
            Some(domain) if names::is_host(domain) && domain.contains('.') => {
                Ok(Self::Below { before: format!("{scheme}://").into(), after: host.trim_start_matches('*').into() })
            }
            None if names::is_host(name) => Ok(Self::Exact(text.into())),
            _ => Err(OriginError),
        }
    }
}

impl Origin {
    /// Whether it is what a browser calls `origin`.
    #[must_use]
    pub fn covers(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(own) => **own == *origin,
            Self::Below { before, after } => {
                let host = origin.strip_prefix(&**before).and_then(|rest| rest.strip_suffix(&**after));
                // Whatever else could stand before the dot, such as a user's name, is no host.
                host.is_some_and(names::is_host)
            }
        }
    }
}

impl Cors {
    pub(in crate::manifest) fn read(section: Section<'_>) -> Self {
        let written = section.names(
            "origins",
            |text| text.parse::<Origin>().is_ok(),
            "scheme://host, scheme://host:port, scheme://*.host or *, in lower case",
        );
        if written.is_empty() {
            let help = "add origins = [\"https://app.example.com\"]";
            section.report_with_help(section.line, "`cors` without `origins` allows nobody", help);
        }
        let credentials = section.flag("credentials", false);
        let lists = [
            ("methods", section.names("methods", is_method, "a method in capitals")),
            ("headers", section.names("headers", names::is_token, "a header's name")),
            ("expose", section.names("expose", names::is_token, "a header's name")),
        ];
        let origins = [("origins", &written)];
        for (key, list) in lists.iter().map(|(key, list)| (*key, list)).chain(origins) {
            if let Some(many) = list.get(MAX_ENTRIES) {
                section.report(many.line, format!("`cors.{key}` has at most {MAX_ENTRIES} entries"));
            }
            if let Some(any) = list.iter().find(|entry| &*entry.value == ANY).filter(|_| credentials) {
                section.report_with_help(
                    any.line,
                    format!("`cors.{key}`: \"*\" does not go with `credentials`: every page could act for whoever is logged in"),
                    "name them one by one, or remove credentials = true",
                );
            }
        }
        let [methods, headers, expose] = lists.map(|(_, list)| list);
        let cors = Self {
            origins: written.iter().filter_map(|text| text.parse().ok()).collect(),
            credentials,
            methods: or_default(methods, &METHODS),
            headers: or_default(headers, &HEADERS),
            expose: or_default(expose, &[]),
            max_age_s: section.number("max_age_s", 0..=86_400, 600),
        };
        section.finish();
        cors
    }
}

fn is_method(text: &str) -> bool {
    names::is_token(text) && text == text.to_ascii_uppercase()
}

fn or_default(written: Vec<Located<Arc<str>>>, default: &[&str]) -> Vec<Arc<str>> {
    if written.is_empty() {
        return default.iter().map(|name| Arc::from(*name)).collect();
    }
    written.into_iter().map(|name| name.value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_what_browsers_send() {
        for good in [
            "*",
            "https://a.example",
            "http://localhost:3000",
            "https://[::1]:8443",
            "app://x",
            "https://*.a.example:8443",
        ] {
            assert!(good.parse::<Origin>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "null",
            "a.example",
            "https://",
            "https://A.example",
            "https://a.example/",
            "https://a.example:443",
            "http://a:80",
            "https://a:01",
            "https://a:x",
            "https://*",
            "https://*.com",
            "https://a.*.com",
            "https://*a.example",
            "https://u@a.example",
            "https://a b",
            "https://a.example,https://b.example",
            "HTTPS://a.example",
        ] {
            assert_eq!(bad.parse::<Origin>(), Err(OriginError), "{bad}");
        }
    }

    #[test]
    fn a_wildcard_covers_hosts_below_and_nothing_that_looks_like_one() {
        let below: Origin = "https://*.a.example:8443".parse().unwrap();
        for covered in ["https://x.a.example:8443", "https://x.y.a.example:8443"] {
            assert!(below.covers(covered), "{covered}");
        }
        for other in [
            "https://a.example:8443",
            "https://.a.example:8443",
            "https://xa.example:8443",
            "http://x.a.example:8443",
            "https://x.a.example",
            "https://x.a.example:84430",
            "https://evil.example/x.a.example:8443",
            "https://u@x.a.example:8443",
            "https://x.a.example:8443.evil.example",
            "null",
            "",
        ] {
            assert!(!below.covers(other), "{other}");
        }
        let exact: Origin = "https://a.example".parse().unwrap();
        assert!(
            exact.covers("https://a.example")
                && !exact.covers("https://b.a.example")
                && !exact.covers("https://a.example.evil")
        );
        assert!(Origin::Any.covers("null"));
    }
}
