//! What a running host answers on its control socket.

mod audited;
mod gateway;
mod hands;
mod mesh;
mod messaging;
mod projections;
mod reload;
mod sagas;
mod schemas;
mod services;
mod versions;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use hyper::StatusCode;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use weft_core::Fault;
use weft_durable::Sagas;
use weft_telemetry::guest::files;
use weft_telemetry::{AuditLog, GuestLogs, LogLine};

use super::api::{Act, Answer, Call, Info, Problem, Ran, Reloaded, RouteEntry, Run, routes};
use super::server::{
    GatewayOperations, LogFilter, MeshOperations, MessagingOperations, Operations, ProjectionOperations,
    SagaOperations, SchemaOperations, ServiceOperations, VersionOperations, problem,
};
use crate::api_keys::Keyring;
use crate::edge::Edge;
use crate::host::Host;
use crate::invoker::{invoke_in, run_in};
use crate::reload::Reloader;

/// A host that serves.
pub struct Running {
    /// The host itself.
    pub host: Arc<Host>,
    /// What it serves HTTP by.
    pub edge: Arc<Edge>,
    /// What takes up a changed manifest.
    pub reloader: Arc<Reloader>,
    /// The API keys that it takes; none if it takes no keys.
    pub api_keys: Arc<ArcSwapOption<Keyring>>,
    /// Its sagas.
    pub sagas: Sagas,
    /// What its functions write.
    pub logs: GuestLogs,
    /// What is done to it by hand.
    pub audit: AuditLog,
    /// Its data directory.
    pub data: PathBuf,
    /// Where it listens.
    pub address: Option<SocketAddr>,
    /// When it began to serve.
    pub since: Instant,
}

impl Operations for Running {
    fn info(&self) -> Info {
        let engine = &self.host.parts().engine;
        let (ids, (memory_bytes, max_memory_bytes)) = (engine.function_ids(), engine.memory_bytes());
        let mut components: Vec<String> = ids.iter().map(ToString::to_string).collect();
        components.sort_unstable();
        Info {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            address: self.address.map(|address| address.to_string()),
            uptime_ms: u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX),
            memory_bytes,
            max_memory_bytes,
            application: self.host.manifest().application.name.to_string(),
            components,
            manifest: self.reloader.status(),
        }
    }

    fn reload(&self, act: Act) -> BoxFuture<'_, Result<Reloaded, Problem>> {
        reload::reload(self.reloader.clone(), self.audit.clone(), act)
    }

    fn routes(&self) -> Vec<RouteEntry> {
        routes(&self.host.manifest())
    }

    fn sagas(&self) -> &dyn SagaOperations {
        self
    }

    fn projections(&self) -> &dyn ProjectionOperations {
        self
    }

    fn messaging(&self) -> &dyn MessagingOperations {
        self
    }

    fn mesh(&self) -> &dyn MeshOperations {
        self
    }

    fn services(&self) -> &dyn ServiceOperations {
        self
    }

    fn versions(&self) -> &dyn VersionOperations {
        self
    }

    fn schemas(&self) -> &dyn SchemaOperations {
        self
    }

    fn gateway(&self) -> &dyn GatewayOperations {
        self
    }

    fn logs(&self, filter: LogFilter) -> BoxStream<'static, LogLine> {
        // Before the past is read, so that nothing is lost between the two; a line may come twice.
        let following = filter.follow.then(|| self.logs.follow());
        let past = past(self.logs.clone(), self.data.clone(), filter.component.clone(), filter.lines);
        let past = stream::once(past).flat_map(stream::iter);
        match following {
            Some(receiver) => past.chain(to_come(receiver, filter.component)).boxed(),
            None => past.boxed(),
        }
    }

    fn run(&self, run: Run) -> BoxFuture<'_, Result<Ran, Problem>> {
        Box::pin(async move {
            run_in(&self.host, run).await.map_err(|failure| {
                let is_usage = failure.fault == Fault::Client;
                let status = if is_usage { StatusCode::BAD_REQUEST } else { StatusCode::BAD_GATEWAY };
                problem(status, failure.message)
            })
        })
    }

    fn invoke(&self, call: Call) -> BoxFuture<'_, Result<Answer, Problem>> {
        Box::pin(async move {
            let timeout = Duration::from_millis(call.timeout_ms);
            let answer = invoke_in(&self.host, &call.component, &call.function, &call.arguments, timeout).await;
            answer.map(Answer::from).map_err(|error| {
                let status = if error.is_usage() { StatusCode::BAD_REQUEST } else { StatusCode::BAD_GATEWAY };
                problem(status, error.to_string())
            })
        })
    }
}

/// The last lines from the files, which have those of earlier runs as well.
async fn past(logs: GuestLogs, data: PathBuf, component: Option<String>, lines: usize) -> Vec<LogLine> {
    let read = tokio::task::spawn_blocking(move || {
        logs.flush();
        files::last(&data, component.as_deref(), lines)
    });
    match read.await {
        Ok(Ok(lines)) => lines,
        Ok(Err(error)) => {
            tracing::warn!(%error, "the functions' output cannot be read");
            Vec::new()
        }
        // The host is going down.
        Err(_) => Vec::new(),
    }
}

/// Lines as they are written. A reader that is too slow misses some.
fn to_come(receiver: Receiver<Arc<LogLine>>, component: Option<String>) -> impl futures::Stream<Item = LogLine> {
    stream::unfold((receiver, component), |(mut receiver, component)| async {
        loop {
            match receiver.recv().await {
                Ok(line) if component.as_deref().is_none_or(|wanted| *line.component == *wanted) => {
                    return Some(((*line).clone(), (receiver, component)));
                }
                Ok(_) => {}
                Err(RecvError::Lagged(missed)) => tracing::debug!(missed, "a reader of the output was too slow"),
                Err(RecvError::Closed) => return None,
            }
        }
    })
}
