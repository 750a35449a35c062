//! The hosts that a route is for: names, and `*.` for all that are below one. Which of a path's routes serves a request
//! belongs to [`super::lookup`].

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::names;
use super::section::Section;

/// Hosts of one route.
const MAX_HOSTS: usize = 64;
/// What stands before the name that hosts are below.
const BELOW: &str = "*.";

/// A host, or all below one. Of two that fit, the order of [`HostPattern::specificity`] says which outranks the other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostPattern {
    /// `a.example`: this one, in lower case.
    Exact(Arc<str>),
    /// `*.b.example`: those below it at any depth, but not itself. What is kept begins with the dot.
    Below(Arc<str>),
}

/// What is no host. Client fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a host is a name or an address in lower case, as in \"a.example\", without a port, or \"*.b.example\" for all below one"
)]
pub struct HostError;

impl HostPattern {
    /// Whether it is, or has below it, `host`: without port, in whichever case.
    #[must_use]
    pub fn fits(&self, host: &str) -> bool {
        match self {
            Self::Exact(own) => own.eq_ignore_ascii_case(host),
            Self::Below(end) => {
                let split = host.len().checked_sub(end.len()).and_then(|at| host.split_at_checked(at));
                split.is_some_and(|(before, after)| {
                    // An empty label is none, so that nothing but a host below this one fits.
                    after.eq_ignore_ascii_case(end) && before.split('.').all(|label| !label.is_empty())
                })
            }
        }
    }

    /// A host outranks all that are below one, and the longer name of those the shorter.
    #[must_use]
    pub fn specificity(&self) -> usize {
        match self {
            Self::Exact(_) => usize::MAX,
            Self::Below(end) => end.len(),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => f.write_str(host),
            Self::Below(end) => write!(f, "*{end}"),
        }
    }
}

impl FromStr for HostPattern {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        match text.strip_prefix(BELOW) {
            Some(name) if names::is_host(name) && !name.starts_with('[') => {
                Ok(Self::Below(text.trim_start_matches('*').into()))
            }
            None if names::is_host(text) => Ok(Self::Exact(text.into())),
            _ => Err(HostError),
        }
    }
}

/// The host of an authority as it stands in a request: without its port, and without the dot that says that a name is whole.
#[must_use]
pub fn host_of(authority: &str) -> &str {
    let host = match authority.rfind(']') {
        Some(end) => authority.get(..=end),
        None => authority.split(':').next(),
    };
    let host = host.unwrap_or(authority);
    host.strip_suffix('.').unwrap_or(host)
}

/// `hosts` of a route's table: none without it.
pub(super) fn read(section: &Section<'_>) -> Vec<HostPattern> {
    let Some(entry) = section.get("hosts") else { return Vec::new() };
    let is_host = |text: &str| text.parse::<HostPattern>().is_ok();
    let written = section.names(
        "hosts",
        is_host,
        "a host as requests have it (ASCII in lower case, xn-- for other letters, no port), or *. and one",
    );
    if !entry.is_list() {
        return Vec::new();
    }
    if written.is_empty() || written.len() > MAX_HOSTS {
        let message = format!("`{}` has 1 to {MAX_HOSTS} entries", section.name("hosts"));
        section.report_with_help(
            entry.line,
            message,
            "write such as [\"a.example\", \"*.b.example\"], or leave it out",
        );
    }
    let mut hosts: Vec<HostPattern> = written.iter().filter_map(|name| name.parse().ok()).collect();
    hosts.sort_unstable();
    hosts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_addresses_and_what_is_below_a_name() {
        for good in
            ["a", "a.example", "*.b.example", "*.localhost", "127.0.0.1", "[::1]", "xn--bcher-kva.example", "a_b.c"]
        {
            assert_eq!(good.parse::<HostPattern>().map(|host| host.to_string()).as_deref(), Ok(good));
        }
        for bad in [
            "",
            "*",
            "*.",
            "A.example",
            "a.example:80",
            "a.example.",
            "a..b",
            ".a",
            "*.*.a",
            "a.*",
            "b*.a",
            "bücher.example",
            "http://a",
            "a/b",
            "-a.b",
            "*.[::1]",
            "[::1",
            "a b",
            "u@a",
        ] {
            assert_eq!(bad.parse::<HostPattern>(), Err(HostError), "{bad:?}");
        }
    }

    #[test]
    fn what_is_below_a_name_has_a_label_more() {
        let fits = |pattern: &str, host: &str| pattern.parse::<HostPattern>().unwrap().fits(host);
        assert!(
            fits("a.example", "A.Example") && !fits("a.example", "b.a.example") && !fits("a.example", "a.example.org")
        );
        assert!(fits("*.b.example", "a.b.example") && fits("*.b.example", "x.A.B.eXample"));
        for host in [
            "b.example",
            ".b.example",
            "ab.example",
            "a.b.example.org",
            "..b.example",
            "a..b.example",
            "",
            "é.b.exampl",
        ] {
            assert!(!fits("*.b.example", host), "{host:?}");
        }
    }

    #[test]
    fn the_port_and_the_last_dot_say_nothing() {
        for (authority, host) in [
            ("a.example", "a.example"),
            ("a.example:8080", "a.example"),
            ("a.example.:80", "a.example"),
            ("a.example:", "a.example"),
            ("[::1]:3000", "[::1]"),
            ("[::1]", "[::1]"),
            (":80", ""),
            ("", ""),
            (".", ""),
        ] {
            assert_eq!(host_of(authority), host, "{authority:?}");
        }
    }
}
