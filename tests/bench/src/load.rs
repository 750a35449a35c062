//! A load generator: a number of connections that are kept alive, each with one request after another for a fixed time.
//! Owns sending, timing and the check of each answer; one thread of this process does it all.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use futures::future::try_join_all;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::process::{Process, Usage};
use crate::report::Run;

/// Before what counts: connections open, instances and caches are made.
const WARM_UP: Duration = Duration::from_millis(500);
const MEASURED: Duration = Duration::from_secs(3);

/// Whether an answer is the right one.
pub type Check = Box<dyn Fn(StatusCode, &[u8]) -> bool>;

/// What is sent and what has to come back.
pub struct Exchange {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// Header fields besides `Host`.
    pub headers: Vec<(&'static str, String)>,
    /// The body; empty for none.
    pub body: Bytes,
    /// Tells whether the answer is the right one.
    pub is_right: Check,
}

/// Where requests go.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its address.
    pub address: SocketAddr,
    /// The processes whose processor time and memory count.
    pub processes: Vec<Process>,
    /// Whether what they write counts.
    pub writes: bool,
}

impl Server {
    fn usage(&self) -> anyhow::Result<Usage> {
        Usage::of(&self.processes)
    }
}

/// Loads a server with what `exchange` makes of the number of each request, after a warm-up.
///
/// # Errors
/// If an answer is wrong or does not come.
pub fn drive(server: &Server, concurrency: usize, exchange: impl Fn(u64) -> Exchange) -> anyhow::Result<Run> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut connections = try_join_all((0..concurrency).map(|_| connect(server.address))).await?;
        let numbers = std::cell::Cell::new(0);
        let next = || exchange(numbers.replace(numbers.get() + 1));
        load(&mut connections, WARM_UP, &next).await?;
        let before = server.usage()?;
        let start = Instant::now();
        let mut latencies = load(&mut connections, MEASURED, &next).await?;
        let elapsed = start.elapsed();
        latencies.sort_unstable();
        let run = Run { elapsed, count: latencies.len() as u64, latencies, ..Run::default() };
        Ok(run.with_usage(&before, &server.usage()?, server.writes))
    })
}

type Connection = SendRequest<Full<Bytes>>;

async fn connect(address: SocketAddr) -> anyhow::Result<Connection> {
    let stream = TcpStream::connect(address).await.with_context(|| format!("no connection to {address}"))?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Its errors come out of the requests as well.
    tokio::spawn(connection);
    Ok(sender)
}

async fn load(
    connections: &mut [Connection],
    duration: Duration,
    next: &impl Fn() -> Exchange,
) -> anyhow::Result<Vec<Duration>> {
    let until = Instant::now() + duration;
    let each = connections.iter_mut().map(async |connection| {
        let mut latencies = Vec::new();
        while Instant::now() < until {
            latencies.push(once(connection, next()).await?);
        }
        anyhow::Ok(latencies)
    });
    Ok(try_join_all(each).await?.concat())
}

async fn once(connection: &mut Connection, exchange: Exchange) -> anyhow::Result<Duration> {
    let Exchange { method, path, headers, body, is_right } = exchange;
    let mut request = Request::builder().method(&method).uri(&path).header(hyper::header::HOST, "127.0.0.1");
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request.body(Full::new(body))?;
    let start = Instant::now();
    connection.ready().await?;
    let response = connection.send_request(request).await.with_context(|| format!("{method} {path}"))?;
    let (head, body) = response.into_parts();
    let body = body.collect().await.with_context(|| format!("{method} {path}"))?.to_bytes();
    let took = start.elapsed();
    if !is_right(head.status, &body) {
        bail!("{method} {path} was answered wrongly: {} {}", head.status, String::from_utf8_lossy(&body));
    }
    Ok(took)
}
