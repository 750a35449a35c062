//! The service outside that steps of a saga call over HTTP, as a process of its own: `weft-bench --serve-steps`. It
//! answers at once and writes nothing.

use std::convert::Infallible;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::process::Process;

/// The option that makes this program the service.
pub const OPTION: &str = "--serve-steps";

/// The service, until the value is dropped.
pub struct Steps {
    /// Where it listens.
    pub address: SocketAddr,
    child: Child,
}

impl Steps {
    /// Starts it and waits until it listens.
    ///
    /// # Errors
    /// If it does not.
    pub fn start() -> anyhow::Result<Self> {
        let program = std::env::current_exe()?;
        let mut child = Command::new(program).arg(OPTION).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take();
        let mut steps = Self { address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), child };
        let mut line = String::new();
        BufReader::new(stdout.context("its stdout is a pipe")?).read_line(&mut line)?;
        steps.address = line.trim().parse().context("the service of the steps said no address")?;
        Ok(steps)
    }

    /// For counting what it uses.
    #[must_use]
    pub fn process(&self) -> Process {
        Process(self.child.id())
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves until the process is ended, or what started it has.
///
/// # Errors
/// If no address is free.
pub fn serve() -> anyhow::Result<()> {
    // Its stdin is a pipe from the bench, which closes however the bench ends.
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        println!("{}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            // A connection that fails is the client's to report.
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(step)));
        }
    })
}

/// 204 for a step or its compensation under a key.
#[allow(clippy::unused_async)]
async fn step(request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    let known = matches!(request.uri().path(), "/run" | "/undo") && *request.method() == Method::POST;
    let right = known && request.headers().contains_key("idempotency-key");
    let mut response = Response::new(Empty::new());
    *response.status_mut() = if right { StatusCode::NO_CONTENT } else { StatusCode::BAD_REQUEST };
    Ok(response)
}
