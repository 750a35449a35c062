//! Where the gateway listens: plain HTTP, and HTTPS beside it if there are certificates.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;

use crate::tls::Tls;

/// Where HTTPS is listened for, if it is.
pub(crate) type Secure = Option<(TcpListener, Arc<Tls>)>;

/// The sockets that are listened on.
#[derive(Debug)]
pub struct Listeners {
    pub(crate) plain: TcpListener,
    pub(crate) tls: Secure,
}

impl Listeners {
    /// Serves HTTPS on this socket as well.
    #[must_use]
    pub fn with_tls(mut self, listener: TcpListener, tls: Arc<Tls>) -> Self {
        self.tls = Some((listener, tls));
        self
    }
}

impl From<TcpListener> for Listeners {
    /// Plain HTTP alone.
    fn from(plain: TcpListener) -> Self {
        Self { plain, tls: None }
    }
}

/// The port cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Something else listens there.
    #[error("{address} is already in use: stop what listens on port {}, or choose another with --listen", address.port())]
    InUse {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The user may not.
    #[error("no permission to listen on {address}: ports below 1024 need root, choose another with --listen")]
    Denied {
        /// The address asked for.
        address: SocketAddr,
    },
    /// This machine has no such address.
    #[error("{address} is no address of this machine: choose another with --listen")]
    NoSuchAddress {
        /// The address asked for.
        address: SocketAddr,
    },
    /// Anything else.
    #[error("cannot listen on {address}: {source}")]
    Other {
        /// The address asked for.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

/// Listens on `address`; port 0 takes any free one.
///
/// # Errors
/// [`BindError`], which says what to do.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse { address },
        io::ErrorKind::PermissionDenied => BindError::Denied { address },
        io::ErrorKind::AddrNotAvailable => BindError::NoSuchAddress { address },
        _ => BindError::Other { address, source },
    })
}
