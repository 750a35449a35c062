//! Where an instance of an external service is: scheme, host and port, without a path.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use super::{OutboundError, is_domain, split_port, unbracket, usual_port};

/// The longest version or tag, in bytes.
const MAX_LABEL_BYTES: usize = 64;

/// An address such as `http://10.0.0.1:8080` or `https://api.example.com`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointAddress {
    /// With the port only if it was written, as a URL has it.
    text: Arc<str>,
    is_tls: bool,
    host: Box<str>,
    port: u16,
}

impl EndpointAddress {
    /// As written, in lower case and without a slash at its end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// `http` or `https`.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if self.is_tls { "https" } else { "http" }
    }

    /// A name, or an address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether both have the same host and port.
    #[must_use]
    pub fn is_same_place(&self, other: &Self) -> bool {
        (&self.host, self.port) == (&other.host, other.port)
    }

    /// The host, if it is an address and no name.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

impl fmt::Display for EndpointAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for EndpointAddress {
    type Err = OutboundError;

    fn from_str(text: &str) -> Result<Self, OutboundError> {
        let text = text.trim().to_ascii_lowercase();
        let (scheme, rest) = text.split_once("://").ok_or(OutboundError::NoScheme)?;
        if !matches!(scheme, "http" | "https") {
            return Err(OutboundError::Scheme(scheme.to_owned()));
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#', '@']) {
            return Err(OutboundError::Path);
        }
        let (written, port) = split_port(rest);
        let host = unbracket(written);
        // A colon is an IPv6 address's, and in a URL that stands in brackets.
        let is_host = if host.contains(':') {
            host.len() != written.len() && host.parse::<IpAddr>().is_ok()
        } else {
            host.len() == written.len() && is_domain(host)
        };
        if !is_host {
            return Err(OutboundError::Host(written.to_owned()));
        }
        let port = match port {
            Some(port) => {
                port.parse().ok().filter(|port| *port > 0).ok_or_else(|| OutboundError::Port(port.to_owned()))?
            }
            None => usual_port(scheme).ok_or_else(|| OutboundError::NoPort(scheme.to_owned()))?,
        };
        let (is_tls, host) = (scheme == "https", host.into());
        Ok(Self { text: format!("{scheme}://{rest}").into(), is_tls, host, port })
    }
}

/// Whether `text` may be the version or a tag of an instance: letters, digits, `.`, `-`, `_` and `+`.
#[must_use]
pub fn is_instance_label(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '+');
    !text.is_empty() && text.len() <= MAX_LABEL_BYTES && text.chars().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_scheme_a_host_and_a_port() {
        for (text, shown, host, port) in [
            ("http://10.0.0.1:8080", "http://10.0.0.1:8080", "10.0.0.1", 8080),
            ("HTTPS://API.example.com/", "https://api.example.com", "api.example.com", 443),
            ("http://[::1]:81", "http://[::1]:81", "::1", 81),
            ("http://one", "http://one", "one", 80),
        ] {
            let address: EndpointAddress = text.parse().unwrap();
            assert_eq!((address.as_str(), address.host(), address.port()), (shown, host, port), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "10.0.0.1:80",
            "ftp://a",
            "http://",
            "http://a/b",
            "http://a?b",
            "http://u@a",
            "http://*",
            "http://a:0",
            "http://a:99999",
            "http://a:",
            "http://::1",
            "http://[a]",
            "http://10.0.0.0/8",
        ] {
            assert!(text.parse::<EndpointAddress>().is_err(), "{text}");
        }
    }

    #[test]
    fn labels_are_short_and_plain() {
        assert!(is_instance_label("2.1.0-rc.1") && is_instance_label("eu_west"));
        for bad in ["", "a b", "a/b", "ä", &"x".repeat(65)] {
            assert!(!is_instance_label(bad), "{bad:?}");
        }
    }
}
