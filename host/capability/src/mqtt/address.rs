//! `mqtt://host[:port][?client_id=...]`, as Spin's client reads it. What tunes that client means nothing here.

use http::Uri;

use super::Error;
use crate::outbound::Destination;

/// The usual port.
const PORT: u16 = 1883;
/// Names of the query that tune a client and are the host's business.
const IGNORED: [&str; 7] = [
    "keep_alive_secs",
    "max_incoming_packet_size_bytes",
    "max_outgoing_packet_size_bytes",
    "request_channel_capacity_num",
    "max_request_batch_num",
    "pending_throttle_usecs",
    "inflight_num",
];

/// An address, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) to: Destination,
    /// Empty if the broker is to choose.
    pub(super) client_id: String,
    pub(super) clean_session: bool,
}

impl Address {
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let uri: Uri = text.parse().map_err(|_| Error::InvalidAddress)?;
        let has_user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(Error::InvalidAddress)?;
        if uri.scheme_str() != Some("mqtt") || has_user {
            return Err(Error::InvalidAddress);
        }
        let to = Destination::new("mqtt", host, uri.port_u16().unwrap_or(PORT));
        let mut address = Self { to, client_id: String::new(), clean_session: true };
        for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
            match &*name {
                "client_id" => address.client_id = value.into_owned(),
                "clean_session" => address.clean_session = value.parse().map_err(|_| Error::InvalidAddress)?,
                name if IGNORED.contains(&name) => {}
                _ => return Err(Error::InvalidAddress),
            }
        }
        // A session that stays belongs to an identity.
        if address.client_id.is_empty() && !address.clean_session {
            return Err(Error::InvalidAddress);
        }
        Ok(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_nonsense_is_refused() {
        let address = Address::parse("mqtt://Broker.example:1884?client_id=a%20b&inflight_num=0").unwrap();
        assert_eq!(address.to, Destination::new("mqtt", "broker.example", 1884));
        assert_eq!((address.client_id.as_str(), address.clean_session), ("a b", true));
        assert_eq!(Address::parse("mqtt://[::1]").unwrap().to, Destination::new("mqtt", "::1", PORT));
        for bad in [
            "",
            "broker",
            "mqtts://broker",
            "http://broker",
            "mqtt://user:secret@broker",
            "mqtt://broker?clean_session=false",
            "mqtt://broker?clean_session=maybe",
            "mqtt://broker?other=1",
        ] {
            assert_eq!(Address::parse(bad), Err(Error::InvalidAddress), "{bad}");
        }
    }
}
