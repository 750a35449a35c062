//! A load generator whose requests come at a given rate, whether those before are answered or not, as users do. Each has so
//! much patience; whoever has none left closes the connection. One thread does it all.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio::time::{MissedTickBehavior, interval, timeout_at};

/// How often it is looked which requests are due.
const TICK: Duration = Duration::from_millis(1);

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Where to.
    pub address: SocketAddr,
    /// Path and query.
    pub path: &'static str,
    /// Requests a second.
    pub per_s: f64,
    /// How long a client waits for the end of its answer, from when its request was due.
    pub patience: Duration,
}

/// What has become of one request.
#[derive(Clone, Debug)]
pub struct Sample {
    /// When it was due, since the start.
    pub at: Duration,
    /// How long it took from then on.
    pub took: Duration,
    /// The answer, if it came in time.
    pub answer: Option<(StatusCode, Bytes)>,
}

type Pool = Rc<RefCell<Vec<SendRequest<Empty<Bytes>>>>>;

/// Sends for so long and waits for the last answers; what happened, in the order in which requests were due.
///
/// # Errors
/// If the runtime cannot be made.
pub fn drive(load: Load, duration: Duration) -> anyhow::Result<Vec<Sample>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("a runtime")?;
    let samples = Rc::new(RefCell::new(Vec::new()));
    let local = LocalSet::new();
    let sending = Rc::clone(&samples);
    local.spawn_local(async move { send(load, duration, &sending).await });
    // Until the last of them is answered.
    runtime.block_on(local);
    let mut samples = samples.take();
    samples.sort_by_key(|sample: &Sample| sample.at);
    Ok(samples)
}

async fn send(load: Load, duration: Duration, samples: &Rc<RefCell<Vec<Sample>>>) {
    let (pool, start) = (Pool::default(), Instant::now());
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut sent = 0_u32;
    while start.elapsed() < duration {
        ticks.tick().await;
        loop {
            let at = Duration::from_secs_f64(f64::from(sent) / load.per_s);
            if at > start.elapsed() || at >= duration {
                break;
            }
            sent += 1;
            let (pool, samples) = (Rc::clone(&pool), Rc::clone(samples));
            tokio::task::spawn_local(async move {
                let due = start + at;
                let answer = timeout_at((due + load.patience).into(), once(load, &pool)).await;
                // A connection that breaks is no answer either.
                let answer = answer.ok().and_then(Result::ok);
                samples.borrow_mut().push(Sample { at, took: due.elapsed(), answer });
            });
        }
    }
}

async fn once(load: Load, pool: &Pool) -> anyhow::Result<(StatusCode, Bytes)> {
    let free = || pool.borrow_mut().pop();
    let mut connection = loop {
        match free() {
            Some(connection) if connection.is_closed() => {}
            Some(connection) => break connection,
            None => break connect(load.address).await?,
        }
    };
    connection.ready().await?;
    let request = Request::builder().uri(load.path).header(hyper::header::HOST, "127.0.0.1").body(Empty::new())?;
    let (head, body) = connection.send_request(request).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    pool.borrow_mut().push(connection);
    Ok((head.status, body))
}

async fn connect(address: SocketAddr) -> anyhow::Result<SendRequest<Empty<Bytes>>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Its errors come out of the requests as well.
    tokio::task::spawn_local(connection);
    Ok(sender)
}
