//! The header of the PROXY protocol, version 1 or 2, with which a load balancer begins a connection to tell whose it is.
//! It is read byte for byte, so that nothing of what follows is touched, and within bounds.

use std::io;
use std::net::SocketAddr;

use ppp::{v1, v2};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Longest header of version 1, its line's end included: what the protocol says.
const V1_BYTES: usize = 107;
/// How version 2 begins, and where its length stands.
const V2_START: usize = 16;
/// Longest header of version 2: addresses take up to 232 bytes, the rest are notes of the load balancer.
const V2_BYTES: usize = 4096;
/// Both versions are told apart by their first bytes.
const V1_PREFIX: &[u8; 6] = b"PROXY ";

/// Why a connection has no readable header.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HeaderError {
    #[error("it broke off: {0}")]
    Io(#[from] io::Error),
    #[error("it does not begin with a header of the PROXY protocol")]
    Missing,
    #[error("its PROXY header is longer than {0} bytes")]
    TooLong(usize),
    #[error("its PROXY header cannot be read: {0}")]
    Invalid(String),
}

/// Reads the header. `None` if it says that the connection is the load balancer's own, or of another kind than TCP.
pub(crate) async fn read(socket: &mut (impl AsyncRead + Unpin)) -> Result<Option<SocketAddr>, HeaderError> {
    let mut header = vec![0; V1_PREFIX.len()];
    socket.read_exact(&mut header).await?;
    if header == V1_PREFIX { read_v1(socket, header).await } else { read_v2(socket, header).await }
}

async fn read_v1(
    socket: &mut (impl AsyncRead + Unpin),
    mut header: Vec<u8>,
) -> Result<Option<SocketAddr>, HeaderError> {
    while !header.ends_with(b"\r\n") {
        if header.len() == V1_BYTES {
            return Err(HeaderError::TooLong(V1_BYTES));
        }
        header.push(socket.read_u8().await?);
    }
    let parsed = v1::Header::try_from(header.as_slice()).map_err(|error| HeaderError::Invalid(error.to_string()))?;
    Ok(match parsed.addresses {
        v1::Addresses::Unknown => None,
        v1::Addresses::Tcp4(v4) => Some((v4.source_address, v4.source_port).into()),
        v1::Addresses::Tcp6(v6) => Some((v6.source_address, v6.source_port).into()),
    })
}

async fn read_v2(
    socket: &mut (impl AsyncRead + Unpin),
    mut header: Vec<u8>,
) -> Result<Option<SocketAddr>, HeaderError> {
    if !v2::PROTOCOL_PREFIX.starts_with(&header) {
        return Err(HeaderError::Missing);
    }
    let begun = header.len();
    header.resize(V2_START, 0);
    socket.read_exact(header.get_mut(begun..).unwrap_or_default()).await?;
    if !header.starts_with(v2::PROTOCOL_PREFIX) {
        return Err(HeaderError::Missing);
    }
    let length = header.last_chunk::<2>().map_or(0, |bytes| usize::from(u16::from_be_bytes(*bytes)));
    if V2_START + length > V2_BYTES {
        return Err(HeaderError::TooLong(V2_BYTES));
    }
    header.resize(V2_START + length, 0);
    socket.read_exact(header.get_mut(V2_START..).unwrap_or_default()).await?;
    let parsed = v2::Header::try_from(header.as_slice()).map_err(|error| HeaderError::Invalid(error.to_string()))?;
    Ok(match (parsed.command, parsed.protocol, parsed.addresses) {
        (v2::Command::Proxy, v2::Protocol::Stream, v2::Addresses::IPv4(v4)) => {
            Some((v4.source_address, v4.source_port).into())
        }
        (v2::Command::Proxy, v2::Protocol::Stream, v2::Addresses::IPv6(v6)) => {
            Some((v6.source_address, v6.source_port).into())
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read of these bytes, and what is left.
    async fn of(bytes: &[u8]) -> (Result<Option<SocketAddr>, HeaderError>, Vec<u8>) {
        let mut socket = bytes;
        (read(&mut socket).await, socket.to_vec())
    }

    fn v2(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        [v2::PROTOCOL_PREFIX, &[command, family], &length, payload].concat()
    }

    #[tokio::test]
    async fn both_versions_tell_the_client_and_leave_the_rest() {
        let addresses = [203, 0, 113, 7, 10, 0, 0, 1, 0x12, 0x67, 0x01, 0xbb];
        let tlv = [&addresses[..], &[0x02, 0, 1, b'a']].concat();
        for (header, expected) in [
            (b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 443\r\n".to_vec(), Some("203.0.113.7:4711")),
            (b"PROXY TCP6 2001:db8::1 ::1 4711 443\r\n".to_vec(), Some("[2001:db8::1]:4711")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (v2(0x21, 0x11, &addresses), Some("203.0.113.7:4711")),
            (v2(0x21, 0x11, &tlv), Some("203.0.113.7:4711")),
            (v2(0x20, 0x00, &[]), None),
            (v2(0x20, 0x11, &addresses), None),
            (v2(0x21, 0x12, &addresses), None),
        ] {
            let (got, rest) = of(&[&header[..], b"GET /"].concat()).await;
            assert_eq!(got.unwrap().map(|address| address.to_string()).as_deref(), expected);
            assert_eq!(rest, b"GET /");
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused_within_bounds() {
        let endless = [b"PROXY ", &[b'1'; 500][..]].concat();
        assert!(matches!(of(&endless).await, (Err(HeaderError::TooLong(107)), rest) if rest.len() == 506 - 107));
        let huge = v2(0x21, 0x11, &[0; 5000]);
        assert!(matches!(of(&huge).await, (Err(HeaderError::TooLong(4096)), rest) if rest.len() == 5000));
        for other in [&b"GET / HTTP/1.1\r\n"[..], b"\r\n\r\n\0\r\nQUIX\nxxxx", b"proxy TCP4 1.1.1.1 1.1.1.1 1 1\r\n"] {
            assert!(matches!(of(other).await.0, Err(HeaderError::Missing)), "{other:?}");
        }
        for bad in [
            b"PROXY TCP4 203.0.113.7\r\n".to_vec(),
            b"PROXY TCP4 ::1 ::1 1 1\r\n".to_vec(),
            b"PROXY TCP4 203.0.113.7 10.0.0.1 70000 443\r\n".to_vec(),
            v2(0x31, 0x11, &[0; 12]),
            v2(0x21, 0x11, &[0; 4]),
        ] {
            assert!(matches!(of(&bad).await.0, Err(HeaderError::Invalid(_))), "{bad:?}");
        }
        for short in [&b"PRO"[..], b"PROXY TCP4", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"] {
            assert!(matches!(of(short).await.0, Err(HeaderError::Io(_))), "{short:?}");
        }
    }
}
