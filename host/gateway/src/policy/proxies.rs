//! Whose word counts on where a request comes from, and what they say: `X-Forwarded-For` and `X-Forwarded-Proto`, read
//! from the right. The client is the rightmost address that is no trusted proxy; whatever stands left of it is the
//! client's own word and is dropped.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

pub(crate) const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(crate) const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

#[derive(Debug)]
pub(crate) struct Proxies {
    trusted: Vec<IpNet>,
    /// Whether their connections begin with a header of the PROXY protocol.
    sends_header: bool,
}

/// What trusted proxies say of a request.
#[derive(Debug)]
pub(crate) struct Forwarded {
    /// The client.
    pub address: IpAddr,
    /// As a header, the way from the client to our peer, without the peer; `None` if the peer is the client.
    pub chain: Option<HeaderValue>,
    /// Whether the client used HTTPS; `None` if nobody says.
    pub is_https: Option<bool>,
}

impl Proxies {
    pub fn new(trusted: &[IpNet], sends_header: bool) -> Self {
        Self { trusted: trusted.to_vec(), sends_header }
    }

    pub fn trust(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted.iter().any(|network| network.contains(&address))
    }

    /// Whether a connection from this address begins with a header of the PROXY protocol. It is never guessed: a client
    /// could else write one.
    pub fn send_header_from(&self, address: IpAddr) -> bool {
        self.sends_header && self.trust(address)
    }

    /// What a trusted peer at `peer` says.
    pub fn forwarded(&self, peer: IpAddr, headers: &HeaderMap) -> Forwarded {
        let written = headers.get_all(FORWARDED_FOR).iter().rev();
        let hops = written.flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
        let mut way: Vec<IpAddr> = Vec::new();
        for hop in hops {
            // What is no address was not written by a proxy that we trust.
            let Some(hop) = std::str::from_utf8(hop).ok().and_then(address) else { break };
            way.push(hop);
            if !self.trust(hop) {
                break;
            }
        }
        let address = way.last().copied().unwrap_or(peer);
        let text: Vec<String> = way.iter().rev().map(ToString::to_string).collect();
        Forwarded {
            address,
            // Addresses make a header value.
            chain: HeaderValue::try_from(text.join(", ")).ok().filter(|_| !text.is_empty()),
            is_https: is_https(headers),
        }
    }
}

/// What the peer says of the scheme: the last word, since proxies append.
fn is_https(headers: &HeaderMap) -> Option<bool> {
    let value = headers.get_all(FORWARDED_PROTO).iter().next_back()?;
    let last = value.as_bytes().rsplit(|byte| *byte == b',').next()?.trim_ascii();
    Some(last.eq_ignore_ascii_case(b"https"))
}

/// An address, perhaps with a port.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let with_port = || text.parse().ok().map(|socket: SocketAddr| socket.ip());
    bare.parse().ok().or_else(with_port).map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(written: &[&str]) -> (String, Option<String>) {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
        let proxies = Proxies::new(&trusted, false);
        let mut headers = HeaderMap::new();
        for value in written {
            headers.append(FORWARDED_FOR, HeaderValue::from_str(value).unwrap());
        }
        let forwarded = proxies.forwarded("10.0.0.1".parse().unwrap(), &headers);
        let chain = forwarded.chain.map(|chain| chain.to_str().unwrap().to_owned());
        (forwarded.address.to_string(), chain)
    }

    #[test]
    fn the_client_is_the_rightmost_address_that_is_no_proxy() {
        let some = |chain: &str| Some(chain.to_owned());
        for (written, address, chain) in [
            (&[][..], "10.0.0.1", None),
            (&["203.0.113.7"], "203.0.113.7", some("203.0.113.7")),
            (&["1.1.1.1, 203.0.113.7"], "203.0.113.7", some("203.0.113.7")),
            (&["1.1.1.1", "203.0.113.7, 10.0.0.2"], "203.0.113.7", some("203.0.113.7, 10.0.0.2")),
            (&["203.0.113.7:4711 ,10.0.0.2:80"], "203.0.113.7", some("203.0.113.7, 10.0.0.2")),
            (&["[2001:db9::1]:443, 2001:db8::5"], "2001:db9::1", some("2001:db9::1, 2001:db8::5")),
            (&["::ffff:203.0.113.7"], "203.0.113.7", some("203.0.113.7")),
            (&["10.0.0.3, 10.0.0.2"], "10.0.0.3", some("10.0.0.3, 10.0.0.2")),
            (&["unknown, 10.0.0.2"], "10.0.0.2", some("10.0.0.2")),
            (&["203.0.113.7, "], "10.0.0.1", None),
            (&["evil\" , 10.0.0.2"], "10.0.0.2", some("10.0.0.2")),
        ] {
            assert_eq!(client(written), (address.to_owned(), chain), "{written:?}");
        }
    }

    #[test]
    fn the_last_word_on_the_scheme_counts() {
        let said = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(FORWARDED_PROTO, HeaderValue::from_static(value));
            }
            is_https(&headers)
        };
        assert_eq!(said(&[]), None);
        assert_eq!(said(&["https"]), Some(true));
        assert_eq!(said(&["https", "http"]), Some(false));
        assert_eq!(said(&["http, HTTPS"]), Some(true));
        assert_eq!(said(&["gopher"]), Some(false));
    }
}
