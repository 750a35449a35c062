//! Connections of HTTP's pool, on what [`Dialer`] connects.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::{DEFAULT_TIMEOUT, Destination, Dialer, OutboundError};

/// Connects for one component.
#[derive(Clone)]
pub(super) struct Connector(pub(super) Dialer);

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
            let timeout = connector.0.sleep(DEFAULT_TIMEOUT);
            tokio::select! {
                wire = connector.connect(&uri) => wire,
                () = timeout => Err(OutboundError::ConnectTimeout),
            }
        })
    }
}

impl Connector {
    async fn connect(&self, uri: &Uri) -> Result<Wire, OutboundError> {
        let to = Destination::of(uri)?;
        let stream = self.0.tcp(&to).await?;
        if to.scheme != "https" {
            return Ok(Wire::Plain(TokioIo::new(stream)));
        }
        Ok(Wire::Tls(Box::new(TokioIo::new(self.0.tls(&to.host, stream).await?))))
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
