//! `push-idle`, `push-one`, `push-all`: what connections that are held open cost, and how long a message takes from a
//! request to the function that pushes it until each client has it; by Server-Sent Events and by WebSocket.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use weft_tests::platform::{Options, Platform};
use weft_tests::repository;
use weft_tests::tokens::Token;

use crate::process::Process;
use crate::report::{Label, Row, Run, Settings};

/// Connections that are held open.
const CONNECTIONS: usize = 10_000;
/// How many are opened at a time.
const OPENING: usize = 64;
/// Users that they are of, which is what a room of a platform has, several devices each.
const USERS: usize = 2_500;
/// Messages to one client, and to all.
const TO_ONE: usize = 300;
const TO_ALL: usize = 20;
/// One heartbeat and some: what a connection keeps for it is there by then.
const SETTLE: Duration = Duration::from_secs(25);
/// The longest that a message may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// What stands before the time that a message was sent at.
const MARK: &[u8] = br#""data":{"data":"#;
const SETTINGS: Settings =
    Settings { reuse: "128x16", flush: "none", limits: "manifest", how: "the clients share the cores" };

#[derive(Clone, Copy, Debug)]
struct Transport {
    name: &'static str,
    path: &'static str,
    headers: &'static str,
    benches: [&'static str; 3],
}

const TRANSPORTS: [Transport; 2] = [
    Transport {
        name: "sse",
        path: "/push/events",
        headers: "accept: text/event-stream\r\n",
        benches: ["push-idle-sse", "push-one-sse", "push-all-sse"],
    },
    Transport {
        name: "ws",
        path: "/push/ws",
        headers: "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                  sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        benches: ["push-idle-ws", "push-one-ws", "push-all-ws"],
    },
];

/// Measures both transports, or those whose benches' names begin with `only`.
///
/// # Errors
/// If a connection is refused, or a message does not come.
pub fn measure(only: &str) -> anyhow::Result<Vec<Row>> {
    let runtime = tokio::runtime::Runtime::new()?;
    let mut rows = Vec::new();
    for transport in TRANSPORTS {
        if transport.benches.iter().any(|bench| bench.starts_with(only)) {
            rows.extend(runtime.block_on(measure_one(transport))?);
        }
    }
    Ok(rows)
}

async fn measure_one(transport: Transport) -> anyhow::Result<Vec<Row>> {
    let manifest = repository::root().join("tests/bench/push.toml");
    let platform = Platform::start_with(&Options { manifest, ..Options::default() });
    let bench = Arc::new(Bench::new(&platform, transport)?);
    let process = Process(platform.pid());
    // The function is compiled, and an instance of it there.
    bench.push("bench:nobody").await?;
    let resident_before = process.resident_bytes()?;
    let (heard, mut hearing) = mpsc::unbounded_channel();
    let began = Instant::now();
    let tokens: Vec<Arc<str>> = (0..USERS)
        .map(|user| {
            platform.token(&Token { sub: format!("user-{user}"), expires_in_s: 3_600, ..Token::default() }).into()
        })
        .collect();
    let places = Arc::new(Semaphore::new(OPENING));
    let mut opening = JoinSet::new();
    for number in 0..CONNECTIONS {
        let (bench, heard, places) = (bench.clone(), heard.clone(), places.clone());
        let token = tokens.get(number % USERS).cloned().context("a token")?;
        let channels = if number == 0 { "bench:all,bench:one" } else { "bench:all" };
        opening.spawn(async move {
            let _place = places.acquire_owned().await?;
            let socket = bench.connect(&token, channels).await?;
            tokio::spawn(listen(socket, bench.base, heard));
            anyhow::Ok(())
        });
    }
    while let Some(opened) = opening.join_next().await {
        opened??;
    }
    let elapsed = began.elapsed();
    tokio::time::sleep(SETTLE).await;
    let resident = process.resident_bytes()?;
    let [idle, one, all] = transport.benches;
    let label = |bench, concurrency| Label { bench, system: "weft", concurrency, settings: SETTINGS };
    let run = Run {
        elapsed,
        count: CONNECTIONS as u64,
        cpu: process.cpu()?,
        resident_bytes: Some(resident),
        resident_before: Some([resident_before, resident_before]),
        ..Run::default()
    };
    let mut rows = vec![Row { label: label(idle, CONNECTIONS), run }];
    for (bench_name, channel, times, clients) in
        [(one, "bench:one", TO_ONE, 1), (all, "bench:all", TO_ALL, CONNECTIONS)]
    {
        let (cpu, began) = (process.cpu()?, Instant::now());
        let mut latencies = Vec::with_capacity(times * clients);
        for _ in 0..times {
            bench.push(channel).await?;
            for _ in 0..clients {
                let latency = tokio::time::timeout(PATIENCE, hearing.recv()).await;
                latencies.push(latency.context("a message does not come")?.context("a client is gone")?);
            }
        }
        latencies.sort_unstable();
        let run = Run {
            elapsed: began.elapsed(),
            count: latencies.len() as u64,
            latencies,
            cpu: process.cpu()?.saturating_sub(cpu),
            resident_bytes: Some(process.resident_bytes()?),
            ..Run::default()
        };
        rows.push(Row { label: label(bench_name, clients), run });
    }
    Ok(rows)
}

struct Bench {
    address: SocketAddr,
    transport: Transport,
    base: Instant,
}

impl Bench {
    fn new(platform: &Platform, transport: Transport) -> anyhow::Result<Self> {
        let address = platform.url().strip_prefix("http://").context("the host said no address")?.parse()?;
        Ok(Self { address, transport, base: Instant::now() })
    }

    /// Has the function push the time.
    async fn push(&self, channel: &str) -> anyhow::Result<()> {
        let now = u64::try_from(self.base.elapsed().as_nanos())?;
        let body = json!({ "channel": channel, "kind": "told", "data": now }).to_string();
        let mut socket = TcpStream::connect(self.address).await?;
        let head = format!(
            "POST /pushes HTTP/1.1\r\nhost: bench\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        socket.write_all(head.as_bytes()).await?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await?;
        if !answer.starts_with("HTTP/1.1 200 ") {
            bail!("a push was refused: {answer}");
        }
        Ok(())
    }

    /// A connection that has been welcomed.
    async fn connect(&self, token: &str, channels: &str) -> anyhow::Result<TcpStream> {
        let Transport { path, headers, name, .. } = self.transport;
        let mut socket = TcpStream::connect(self.address).await?;
        let head = format!(
            "GET {path}?channels={channels} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\n{headers}\r\n"
        );
        socket.write_all(head.as_bytes()).await?;
        let (mut seen, mut buffer) = (Vec::new(), [0; 1024]);
        while !seen.windows(16).any(|window| window == br#""type":"welcome""#) {
            let read = socket.read(&mut buffer).await?;
            seen.extend_from_slice(buffer.get(..read).unwrap_or_default());
            if read == 0 || seen.len() > 16 * 1024 {
                bail!("no {name} connection: {}", String::from_utf8_lossy(&seen));
            }
        }
        Ok(socket)
    }
}

/// Tells of each message how long it took.
async fn listen(mut socket: TcpStream, base: Instant, heard: mpsc::UnboundedSender<Duration>) {
    let (mut seen, mut buffer) = (Vec::new(), [0; 2048]);
    loop {
        match socket.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(read) => seen.extend_from_slice(buffer.get(..read).unwrap_or_default()),
        }
        let now = base.elapsed();
        while let Some(place) = seen.windows(MARK.len()).position(|window| window == MARK) {
            let digits = seen.get(place + MARK.len()..).unwrap_or_default();
            let Some(end) = digits.iter().position(|byte| !byte.is_ascii_digit()) else { break };
            let text = String::from_utf8_lossy(digits.get(..end).unwrap_or_default()).into_owned();
            seen.drain(..place + MARK.len() + end);
            let Ok(sent) = text.parse() else { return };
            // The bench may have ended.
            if heard.send(now.saturating_sub(Duration::from_nanos(sent))).is_err() {
                return;
            }
        }
        // What is left may be the beginning of a mark.
        let keep = seen.len().saturating_sub(MARK.len() + 32);
        if !seen.windows(MARK.len()).any(|window| window == MARK) {
            seen.drain(..keep);
        }
    }
}
