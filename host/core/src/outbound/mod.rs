//! Which hosts a component may reach: Spin's `allowed_outbound_hosts`, and the ranges of private addresses that a
//! wildcard never opens. Connecting belongs to the capability.

mod address;
mod endpoint;

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

pub use address::is_private;
pub use endpoint::{EndpointAddress, is_instance_label};

/// Why a text is no allowed host. Client fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutboundError {
    /// No `://`.
    #[error("an allowed host is `scheme://host[:port]`, such as `https://api.example.com`; `*` may stand for each")]
    NoScheme,
    /// The scheme is neither `*` nor letters, digits, `+`, `-` and `.`.
    #[error("{0:?} is not a scheme")]
    Scheme(String),
    /// A wildcard that is not the whole host or its first label, or a host that is no name or address.
    #[error("{0:?} is not a host: a name, an address, a CIDR range, `*` or `*.` before a name")]
    Host(String),
    /// Not a port, a range `first..end` or `*`.
    #[error("{0:?} is not a port: a number, a range such as `8000..8100` (its end excluded) or `*`")]
    Port(String),
    /// No port, and the scheme has no usual one.
    #[error("the scheme {0:?} has no usual port: add `:port`, or `:*` for all")]
    NoPort(String),
    /// A path, query or user information.
    #[error("an allowed host has no path, query or user")]
    Path,
}

/// One allowed host, such as `https://*.example.com:443`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AllowedHost {
    text: Box<str>,
    /// `None` for any.
    scheme: Option<Box<str>>,
    host: Host,
    ports: Ports,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Host {
    Any,
    /// As any, private addresses included; no text says so.
    Everything,
    /// Below this name, which opens with a dot.
    Below(Box<str>),
    /// The application itself, by relative addresses.
    Itself,
    Name(Box<str>),
    Range(IpAddr, u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Ports {
    Any,
    /// First, and the end excluded, as in Spin.
    Range(u16, u32),
}

/// The hosts that a component may reach; none by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutboundHosts {
    allowed: Vec<AllowedHost>,
}

impl OutboundHosts {
    /// These hosts.
    #[must_use]
    pub fn new(allowed: Vec<AllowedHost>) -> Self {
        Self { allowed }
    }

    /// Whatever host and address there is: for what an operator names, never for what a component does.
    #[must_use]
    pub fn everything() -> Self {
        let entry = AllowedHost { text: "*".into(), scheme: None, host: Host::Everything, ports: Ports::Any };
        Self { allowed: vec![entry] }
    }

    /// Whatever host there is at a public address.
    #[must_use]
    pub fn public() -> Self {
        let entry = AllowedHost { text: "*://*:*".into(), scheme: None, host: Host::Any, ports: Ports::Any };
        Self { allowed: vec![entry] }
    }

    /// Whether `scheme://host:port` may be asked for. `host` is a name, or an address with or without brackets; a
    /// missing port is the scheme's usual one.
    #[must_use]
    pub fn allows(&self, scheme: &str, host: &str, port: Option<u16>) -> bool {
        self.granting(scheme, host, port).next().is_some()
    }

    /// Whether a connection that [`Self::allows`] may go to `address`, to which the host's name resolved. Private
    /// addresses need an entry that names the host, its address or its range: no wildcard opens them.
    #[must_use]
    pub fn allows_address(&self, scheme: &str, host: &str, port: Option<u16>, address: IpAddr) -> bool {
        let private = is_private(address);
        self.granting(scheme, host, port).any(|entry| !private || !matches!(entry.host, Host::Any | Host::Below(_)))
    }

    /// Whether an entry names the host itself, so that no wildcard is needed to allow it.
    #[must_use]
    pub fn names(&self, scheme: &str, host: &str, port: Option<u16>) -> bool {
        self.granting(scheme, host, port).any(|entry| matches!(entry.host, Host::Name(_)))
    }

    /// Whether the application may ask itself by relative addresses (`http://self`, or any host).
    #[must_use]
    pub fn allows_self(&self, scheme: &str) -> bool {
        self.allowed.iter().any(|entry| entry.allows_scheme(scheme) && matches!(entry.host, Host::Any | Host::Itself))
    }

    /// Whether nothing is allowed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.allowed.is_empty()
    }

    fn granting(&self, scheme: &str, host: &str, port: Option<u16>) -> impl Iterator<Item = &AllowedHost> {
        let scheme = scheme.to_ascii_lowercase();
        let host = unbracket(host).to_ascii_lowercase();
        let port = port.or_else(|| usual_port(&scheme));
        self.allowed
            .iter()
            .filter(move |entry| entry.allows_scheme(&scheme) && entry.host.allows(&host) && entry.ports.allows(port))
    }
}

impl AllowedHost {
    /// The entry as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn allows_scheme(&self, scheme: &str) -> bool {
        self.scheme.as_deref().is_none_or(|own| own.eq_ignore_ascii_case(scheme))
    }
}

impl fmt::Display for AllowedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Host {
    fn allows(&self, host: &str) -> bool {
        match self {
            Self::Any | Self::Everything => true,
            Self::Below(suffix) => host.parse::<IpAddr>().is_err() && host.ends_with(&**suffix),
            Self::Itself => false,
            Self::Name(name) => **name == *host,
            Self::Range(network, bits) => host.parse().is_ok_and(|address| in_range(address, *network, *bits)),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let text = unbracket(text);
        let name = text.to_ascii_lowercase();
        if name == "*" {
            return Some(Self::Any);
        }
        if name == "self" || name == "self.alt" {
            return Some(Self::Itself);
        }
        if let Ok(address) = name.parse::<IpAddr>() {
            return Some(Self::Range(address, address_bits(address)));
        }
        if let Some((network, bits)) = name.split_once('/') {
            let network: IpAddr = unbracket(network).parse().ok()?;
            let bits = bits.parse().ok().filter(|bits| *bits <= address_bits(network))?;
            return Some(Self::Range(network, bits));
        }
        match name.strip_prefix("*.") {
            Some(rest) => is_domain(rest).then(|| Self::Below(format!(".{rest}").into())),
            None => is_domain(&name).then(|| Self::Name(name.into())),
        }
    }
}

impl Ports {
    fn allows(self, port: Option<u16>) -> bool {
        match self {
            Self::Any => true,
            Self::Range(first, end) => port.is_some_and(|port| first <= port && u32::from(port) < end),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Any);
        }
        let Some((first, end)) = text.split_once("..") else {
            let port = text.parse().ok()?;
            return Some(Self::Range(port, u32::from(port) + 1));
        };
        let (first, end): (u16, u16) = (first.parse().ok()?, end.parse().ok()?);
        (first < end).then_some(Self::Range(first, u32::from(end)))
    }
}

impl FromStr for AllowedHost {
    type Err = OutboundError;

    fn from_str(text: &str) -> Result<Self, OutboundError> {
        let (scheme, rest) = text.trim().split_once("://").ok_or(OutboundError::NoScheme)?;
        let is_scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        if scheme != "*" && (scheme.is_empty() || !scheme.chars().all(is_scheme)) {
            return Err(OutboundError::Scheme(scheme.to_owned()));
        }
        let scheme = scheme.to_ascii_lowercase();
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = split_port(rest);
        let is_range = host.split_once('/').is_some_and(|(network, _)| unbracket(network).parse::<IpAddr>().is_ok());
        if rest.contains(['?', '@']) || (rest.contains('/') && !is_range) {
            return Err(OutboundError::Path);
        }
        let parsed = Host::parse(host).ok_or_else(|| OutboundError::Host(host.to_owned()))?;
        let ports = match port {
            Some(port) => Ports::parse(port).ok_or_else(|| OutboundError::Port(port.to_owned()))?,
            None => match usual_port(&scheme) {
                Some(port) => Ports::Range(port, u32::from(port) + 1),
                None if parsed == Host::Itself => Ports::Any,
                None => return Err(OutboundError::NoPort(scheme)),
            },
        };
        let scheme = (scheme != "*").then(|| scheme.into());
        Ok(Self { text: text.into(), scheme, host: parsed, ports })
    }
}

/// The host, and what follows its colon; the colons of an IPv6 address in brackets are its own.
fn split_port(rest: &str) -> (&str, Option<&str>) {
    match rest.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (rest, None),
    }
}

fn unbracket(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

fn is_domain(name: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

fn usual_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        "postgres" => Some(5432),
        "mysql" => Some(3306),
        "redis" => Some(6379),
        "mqtt" => Some(1883),
        _ => None,
    }
}

fn address_bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn in_range(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let shared = |differing: u32| differing >= u32::from(bits);
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(n)) => shared((a.to_bits() ^ n.to_bits()).leading_zeros()),
        (IpAddr::V6(a), IpAddr::V6(n)) => shared((a.to_bits() ^ n.to_bits()).leading_zeros()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

    fn hosts(entries: &[&str]) -> OutboundHosts {
        OutboundHosts::new(entries.iter().map(|entry| entry.parse().unwrap()).collect())
    }

    #[test]
    fn allows_as_spin_does() {
        let rows = [
            ("https://api.x.com", "https", "api.x.com", Some(443), true),
            ("https://api.x.com", "https", "API.X.com", None, true),
            ("https://api.x.com", "http", "api.x.com", Some(443), false),
            ("https://api.x.com", "https", "api.x.com", Some(8443), false),
            ("https://api.x.com/", "https", "api.x.com", None, true),
            ("https://api.x.com:8443", "https", "api.x.com", Some(8443), true),
            ("https://api.x.com:8443", "https", "api.x.com", None, false),
            ("https://*.x.com", "https", "a.b.x.com", None, true),
            ("https://*.x.com", "https", "x.com", None, false),
            ("https://*.x.com", "https", "evilx.com", None, false),
            ("https://*.1", "https", "127.0.0.1", None, false),
            ("*://localhost:*", "redis", "localhost", Some(1), true),
            ("*://*:*", "anything", "anywhere", None, true),
            ("http://x.com:8000..8002", "http", "x.com", Some(8000), true),
            ("http://x.com:8000..8002", "http", "x.com", Some(8001), true),
            ("http://x.com:8000..8002", "http", "x.com", Some(8002), false),
            ("http://10.0.0.0/8", "http", "10.1.2.3", None, true),
            ("http://10.0.0.0/8", "http", "11.1.2.3", None, false),
            ("http://10.0.0.0/8", "http", "ten.example.com", None, false),
            ("http://0.0.0.0/0", "http", "11.1.2.3", None, true),
            ("http://[::1]:8080", "http", "[::1]", Some(8080), true),
            ("http://[::1]:8080", "http", "::1", Some(8080), true),
            ("http://[::1]", "http", "[::1]", None, true),
            ("http://self", "http", "self", None, false),
        ];
        for (entry, scheme, host, port, expected) in rows {
            assert_eq!(hosts(&[entry]).allows(scheme, host, port), expected, "{entry} for {scheme}://{host} {port:?}");
        }
        assert!(hosts(&["http://self"]).allows_self("http"));
        assert!(!hosts(&["http://self"]).allows_self("https"));
        assert!(!OutboundHosts::default().allows("https", "x.com", None));
    }

    #[test]
    fn refuses_what_is_no_host() {
        let rows = [
            ("x.com", OutboundError::NoScheme),
            ("*", OutboundError::NoScheme),
            ("insecure:allow-all", OutboundError::NoScheme),
            ("ht tp://x.com", OutboundError::Scheme("ht tp".into())),
            ("://x.com", OutboundError::Scheme(String::new())),
            ("https://", OutboundError::Host(String::new())),
            ("https://a.*.com", OutboundError::Host("a.*.com".into())),
            ("https://*.*.com", OutboundError::Host("*.*.com".into())),
            ("https://x..com", OutboundError::Host("x..com".into())),
            ("http://10.0.0.0/33", OutboundError::Host("10.0.0.0/33".into())),
            ("https://x.com:99999", OutboundError::Port("99999".into())),
            ("https://x.com:2..1", OutboundError::Port("2..1".into())),
            ("https://x.com:", OutboundError::Port(String::new())),
            ("*://x.com", OutboundError::NoPort("*".into())),
            ("https://x.com/path", OutboundError::Path),
            ("https://user@x.com", OutboundError::Path),
        ];
        for (entry, expected) in rows {
            assert_eq!(entry.parse::<AllowedHost>().unwrap_err(), expected, "{entry:?}");
        }
    }

    #[test]
    fn no_wildcard_opens_private_addresses() {
        let metadata: IpAddr = "169.254.169.254".parse().unwrap();
        let public: IpAddr = "93.184.216.34".parse().unwrap();
        let to = |entry: &str, host: &str, address| hosts(&[entry]).allows_address("http", host, Some(80), address);
        assert!(to("*://*:*", "x.com", public));
        assert!(!to("*://*:*", "x.com", metadata));
        assert!(!to("http://*.x.com", "a.x.com", metadata));
        assert!(!to("*://*:*", "169.254.169.254", metadata));
        assert!(to("http://169.254.169.254", "169.254.169.254", metadata));
        assert!(to("http://169.254.0.0/16", "169.254.169.254", metadata));
        assert!(to("http://a.internal", "a.internal", metadata));
        assert!(!to("http://a.internal", "b.internal", public));
        for (hosts, reaches_private) in [(OutboundHosts::everything(), true), (OutboundHosts::public(), false)] {
            assert!(hosts.allows_address("http", "x.com", Some(81), public));
            assert_eq!(hosts.allows_address("http", "x.com", Some(81), metadata), reaches_private);
            assert_eq!(hosts.allows_address("https", "127.0.0.1", None, "127.0.0.1".parse().unwrap()), reaches_private);
        }
        let names = |entry: &str| hosts(&[entry]).names("http", "pay.weft.internal", Some(80));
        assert!(names("http://pay.weft.internal") && names("*://PAY.weft.internal:*"));
        for entry in ["*://*:*", "http://*.weft.internal", "http://0.0.0.0/0", "https://pay.weft.internal"] {
            assert!(!names(entry), "{entry}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_host_or_an_error(text in "[a-z*:/.\\[\\]0-9@?]{0,30}", host in "[a-z.0-9:\\[\\]]{0,15}") {
            if let Ok(entry) = text.parse::<AllowedHost>() {
                let _ = OutboundHosts::new(vec![entry]).allows("http", &host, None);
            }
        }

        #[test]
        fn a_range_holds_its_own_addresses(bits in 0u8..=32, network: u32, tail: u32) {
            let mask = u32::MAX.checked_shl(u32::from(32 - bits)).unwrap_or(0);
            let inside = Ipv4Addr::from_bits((network & mask) | (tail & !mask));
            let entry = format!("http://{}/{bits}", Ipv4Addr::from_bits(network));
            prop_assert!(hosts(&[&entry]).allows("http", &inside.to_string(), None));
            if bits > 0 {
                let outside = Ipv4Addr::from_bits(inside.to_bits() ^ (1 << 31));
                prop_assert!(!hosts(&[&entry]).allows("http", &outside.to_string(), None));
            }
        }
    }
}
