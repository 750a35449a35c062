//! Whom a request is counted for: the key of its caller in each scope, with its hash.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

/// Bits of an IPv6 address that name a network: who has one has all addresses in it.
const NETWORK_BITS: u32 = 64;

/// A caller in a scope.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    Everyone,
    /// An address, or the first of an IPv6 network.
    Ip(IpAddr),
    User(Arc<str>),
    ApiKey(Arc<str>),
    Tenant(Arc<str>),
}

/// A key and its hash, under a seed that nobody outside knows.
#[derive(Clone, Debug)]
pub(super) struct Hashed {
    pub key: Who,
    pub hash: u64,
}

impl Who {
    pub fn of_address(address: IpAddr) -> Self {
        Self::Ip(match address.to_canonical() {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << (128 - NETWORK_BITS))).into(),
        })
    }

    pub(super) fn hashed(self, seed: &RandomState) -> Hashed {
        let hash = seed.hash_one(&self);
        Hashed { key: self, hash }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everyone => f.write_str("everyone"),
            Self::Ip(address @ IpAddr::V6(_)) => write!(f, "ip {address}/{NETWORK_BITS}"),
            Self::Ip(address) => write!(f, "ip {address}"),
            Self::User(subject) => write!(f, "user {subject}"),
            Self::ApiKey(id) => write!(f, "api-key {id}"),
            Self::Tenant(name) => write!(f, "tenant {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_is_one_caller() {
        let key = |text: &str| Who::of_address(text.parse().unwrap());
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:2"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_eq!(key("::ffff:10.0.0.1"), key("10.0.0.1"));
        assert_ne!(key("10.0.0.1"), key("10.0.0.2"));
        assert_eq!(key("2001:db8::1").to_string(), "ip 2001:db8::/64");
    }
}
