//! The one way out: resolve, check, connect to what was checked, TLS with the host's name. HTTP's pool and the clients
//! of Redis, MQTT and PostgreSQL connect through it, so that one rule holds for all.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

use weft_core::Clock;
use weft_core::outbound::OutboundHosts;

use super::{Destination, OutboundError, Policy, Resolve};

/// Connects for one component, to what it is allowed. Cheap to clone.
#[derive(Clone)]
pub struct Dialer {
    policy: Policy,
    resolver: Arc<dyn Resolve>,
    clock: Arc<dyn Clock>,
    tls: Arc<ClientConfig>,
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer").field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// TLS 1.2 and 1.3 with the certificate authorities of Mozilla and `more`.
fn tls_config(more: Vec<CertificateDer<'static>>) -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.into() };
    for certificate in more {
        roots.add(certificate)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

impl Dialer {
    /// The dialer of a component that may reach `hosts`.
    ///
    /// # Errors
    /// If TLS cannot be set up, which is a broken build.
    pub fn new(hosts: OutboundHosts, resolver: Arc<dyn Resolve>, clock: Arc<dyn Clock>) -> Result<Self, OutboundError> {
        let tls = tls_config(Vec::new()).map_err(|error| OutboundError::Protocol(error.to_string()))?;
        Ok(Self { policy: Policy(Arc::new(hosts)), resolver, clock, tls })
    }

    /// The same, trusting the certificate authorities in `pem` as well.
    ///
    /// # Errors
    /// [`OutboundError::Tls`] if there is no certificate in it, or a bad one.
    pub fn trusting(&self, host: &str, pem: &str) -> Result<Self, OutboundError> {
        let bad = |message: String| OutboundError::Tls { host: host.to_owned(), message };
        let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
        let certificates = parsed.map_err(|error| bad(error.to_string()))?;
        if certificates.is_empty() {
            return Err(bad("there is no certificate in the PEM text".to_owned()));
        }
        let tls = tls_config(certificates).map_err(|error| bad(error.to_string()))?;
        Ok(Self { tls, ..self.clone() })
    }

    /// Whether the manifest allows the destination. Its addresses are looked at when it is connected to.
    ///
    /// # Errors
    /// [`OutboundError::Denied`].
    pub fn check(&self, to: &Destination) -> Result<(), OutboundError> {
        self.policy.check(to)
    }

    /// Whether the manifest allows the destination by its name, and not just by a wildcard.
    ///
    /// # Errors
    /// [`OutboundError::Denied`].
    pub fn check_named(&self, to: &Destination) -> Result<(), OutboundError> {
        self.policy.check_named(to)
    }

    /// Whether the component may ask the application itself by `scheme`.
    #[must_use]
    pub fn allows_self(&self, scheme: &str) -> bool {
        self.policy.0.allows_self(scheme)
    }

    /// The clock that timeouts are on.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Sleeps on the clock.
    #[must_use]
    pub fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.clock.sleep(duration)
    }

    /// The addresses of the destination that may be connected to, best first; not empty.
    ///
    /// # Errors
    /// [`OutboundError`]: denied, private, or without an address.
    pub async fn addresses(&self, to: &Destination) -> Result<Vec<IpAddr>, OutboundError> {
        self.policy.check(to)?;
        let dns = |message: String| OutboundError::Dns { host: to.host.clone(), message };
        let addresses = self.resolver.resolve(&to.host).await.map_err(|error| dns(error.to_string()))?;
        if addresses.is_empty() {
            return Err(dns("it has no address".to_owned()));
        }
        self.policy.check_addresses(to, addresses)
    }

    /// A connection to the destination, at an address that was checked. Takes the time that it takes.
    ///
    /// # Errors
    /// [`OutboundError`]: denied, private, without an address, or nobody answers.
    pub async fn tcp(&self, to: &Destination) -> Result<TcpStream, OutboundError> {
        let mut last = None;
        for address in self.addresses(to).await? {
            match TcpStream::connect(SocketAddr::new(address, to.port)).await {
                Ok(stream) => {
                    // What is sent is written whole; waiting to fill a packet only delays it. Without it all still works.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Err(error) => last = Some(error),
            }
        }
        let message = last.map_or_else(String::new, |error| error.to_string());
        Err(OutboundError::Connect { host: to.host.clone(), message })
    }

    /// TLS on a connection, if the other side proves to be `host`.
    ///
    /// # Errors
    /// [`OutboundError::Tls`].
    pub async fn tls<S>(&self, host: &str, stream: S) -> Result<TlsStream<S>, OutboundError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let failed = |message: String| OutboundError::Tls { host: host.to_owned(), message };
        let name = ServerName::try_from(host.to_owned()).map_err(|error| failed(error.to_string()))?;
        let connected = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await;
        connected.map_err(|error| failed(error.to_string()))
    }
}
