//! Connection strings of PostgreSQL, held against what may be reached by them. Parsing is the client library's.

use tokio_postgres::Config;
use tokio_postgres::config::Host;

use super::Error;
use crate::outbound::Destination;

/// The usual port.
const PORT: u16 = 5432;

/// An address, read.
pub(super) struct Address {
    pub(super) config: Config,
    /// The servers in the order to be tried; not empty.
    pub(super) servers: Vec<Destination>,
}

impl Address {
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let failed = |message: &str| Error::ConnectionFailed(message.to_owned());
        let config: Config = text.parse().map_err(|error: tokio_postgres::Error| {
            let cause = std::error::Error::source(&error).map_or_else(String::new, |cause| format!(": {cause}"));
            Error::ConnectionFailed(format!("{error}{cause}"))
        })?;
        // The names are what is allowed; an address beside them would lead elsewhere.
        if !config.get_hostaddrs().is_empty() {
            return Err(failed("`hostaddr` is not supported: name the address as the host"));
        }
        if config.get_user().is_none() {
            return Err(failed("the address names no user"));
        }
        let ports = config.get_ports();
        let server = |(at, host): (usize, &Host)| match host {
            Host::Tcp(name) => {
                let port = ports.get(at).or(if ports.len() == 1 { ports.first() } else { None });
                Ok(Destination::new("postgres", name, port.copied().unwrap_or(PORT)))
            }
            Host::Unix(_) => Err(failed("Unix sockets cannot be reached")),
        };
        let servers: Vec<_> = config.get_hosts().iter().enumerate().map(server).collect::<Result<_, _>>()?;
        if servers.is_empty() { Err(failed("the address names no host")) } else { Ok(Self { config, servers }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_found_and_ways_around_are_refused() {
        let servers = |text: &str| Address::parse(text).map(|address| address.servers);
        let to = |host: &str, port| Destination::new("postgres", host, port);
        assert_eq!(servers("postgres://u:p@db.example/app"), Ok(vec![to("db.example", 5432)]));
        assert_eq!(servers("postgresql://u@[::1]:6000"), Ok(vec![to("::1", 6000)]));
        assert_eq!(servers("host=a,b port=1,2 user=u"), Ok(vec![to("a", 1), to("b", 2)]));
        assert_eq!(servers("host=a,b port=7 user=u"), Ok(vec![to("a", 7), to("b", 7)]));
        for bad in ["", "host=a", "user=u", "host=/run/postgresql user=u", "host=a hostaddr=127.0.0.1 user=u", "x"] {
            assert!(matches!(servers(bad), Err(Error::ConnectionFailed(_))), "{bad}");
        }
    }
}
