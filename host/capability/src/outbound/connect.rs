//! Connections: resolve, check, connect to what was checked, TLS with the host's name.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

use weft_core::Clock;

use super::{DEFAULT_TIMEOUT, Destination, OutboundError, Policy, Resolve};

/// Connects for one component.
#[derive(Clone)]
pub(super) struct Connector {
    pub(super) policy: Policy,
    pub(super) resolver: Arc<dyn Resolve>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) tls: Arc<ClientConfig>,
}

/// TLS 1.2 and 1.3 with the certificate authorities of Mozilla.
pub(super) fn tls_config() -> Result<Arc<ClientConfig>, rustls::Error> {
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.into() };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

impl tower::Service<Uri> for Connector {
    type Response = Wire;
    type Error = OutboundError;
    type Future = BoxFuture<'static, Result<Wire, OutboundError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), OutboundError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            let timeout = connector.clock.sleep(DEFAULT_TIMEOUT);
            tokio::select! {
                wire = connector.connect(&uri) => wire,
                () = timeout => Err(OutboundError::ConnectTimeout),
            }
        })
    }
}

impl Connector {
    async fn connect(&self, uri: &Uri) -> Result<Wire, OutboundError> {
        let to = self.policy.check_url(uri)?;
        let resolved = self.resolver.resolve(&to.host).await;
        let dns = |message: String| OutboundError::Dns { host: to.host.clone(), message };
        let addresses = resolved.map_err(|error| dns(error.to_string()))?;
        if addresses.is_empty() {
            return Err(dns("it has no address".to_owned()));
        }
        let addresses = self.policy.check_addresses(&to, addresses)?;
        let mut last = None;
        for address in addresses {
            match TcpStream::connect(SocketAddr::new(address, to.port)).await {
                Ok(stream) => return self.secure(&to, stream).await,
                Err(error) => last = Some(error),
            }
        }
        let message = last.map_or_else(String::new, |error| error.to_string());
        Err(OutboundError::Connect { host: to.host, message })
    }

    async fn secure(&self, to: &Destination, stream: TcpStream) -> Result<Wire, OutboundError> {
        // A request is written whole; waiting to fill a packet only delays it. Without it all still works.
        let _ = stream.set_nodelay(true);
        if to.scheme != "https" {
            return Ok(Wire::Plain(TokioIo::new(stream)));
        }
        let failed = |message: String| OutboundError::Tls { host: to.host.clone(), message };
        let name = ServerName::try_from(to.host.clone()).map_err(|error| failed(error.to_string()))?;
        let connected = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await;
        let stream = connected.map_err(|error| failed(error.to_string()))?;
        Ok(Wire::Tls(Box::new(TokioIo::new(stream))))
    }
}

/// A connection, with or without TLS.
pub(super) enum Wire {
    Plain(TokioIo<TcpStream>),
    Tls(Box<TokioIo<TlsStream<TcpStream>>>),
}

impl Connection for Wire {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl Write for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
