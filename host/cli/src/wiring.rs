//! The small pieces that join crates which do not know each other: recovery and deliveries run functions through the
//! mesh, the gateway asks the key-value store for void tokens, functions' output goes to the log of their output, and
//! the state engines answer for their health.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use weft_capability::kv::Store;
use weft_capability::messaging::glue::{HANDLE, HANDLER, handle_answer, handle_arguments};
use weft_capability::messaging::{Broker, Deliver, Delivery, DeliveryError};
use weft_core::{Call as _, CallContext, Clock, Failure, Invocation, Target};
use weft_durable::{Resume, Sagas};
use weft_engine::{Engine, LogSink, OutputStream, OutputWriter, Value};
use weft_gateway::{HealthCheck, Revocations};
use weft_mesh::Mesh;
use weft_telemetry::{GuestLogs, Stream};

/// How long a handler may take for one event; the callee's own deadline may be shorter.
const DELIVERY_DEADLINE: Duration = Duration::from_secs(30);

/// Recovery goes on with sagas in the engine.
pub struct Resuming(pub Engine);

impl Resume for Resuming {
    fn resume(&self, component: &str, digest: &str, key: &str) -> BoxFuture<'static, Result<(), Failure>> {
        self.0.resume(component, digest, key)
    }
}

/// Events are handled by functions, called through the mesh.
pub struct Delivering {
    /// Where calls go.
    pub mesh: Mesh<Value>,
    /// The time that deadlines are on.
    pub clock: Arc<dyn Clock>,
}

impl Deliver for Delivering {
    fn deliver(&self, component: &str, delivery: Delivery) -> BoxFuture<'static, Result<(), DeliveryError>> {
        let target = Target { component: component.into(), interface: HANDLER.into(), function: HANDLE.into() };
        let deadline = self.clock.monotonic() + DELIVERY_DEADLINE;
        let trace = Some(delivery.trace.clone());
        let context = CallContext { caller: None, deadline, trace, depth: 0, step: None };
        let call = self.mesh.call(Invocation { target, arguments: handle_arguments(&delivery), context });
        Box::pin(async move { handle_answer(&call.await.map_err(DeliveryError::Failed)?) })
    }
}

/// Void tokens are kept in a key-value store: by user id, the epoch second up to which tokens are void.
pub struct VoidTokens {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Its label in the manifest.
    pub label: Arc<str>,
}

impl Revocations for VoidTokens {
    fn not_before(&self, subject: &str) -> Option<u64> {
        match self.store.get_cached(&self.label, subject) {
            Ok(None) => None,
            Ok(Some(value)) => {
                let second = std::str::from_utf8(&value).ok().and_then(|text| text.trim().parse::<i64>().ok());
                if second.is_none() {
                    tracing::error!(store = %self.label, subject, "not a second; refusing this user's tokens");
                }
                // Before the epoch nothing was issued.
                second.map_or(Some(u64::MAX), |second| u64::try_from(second).ok())
            }
            Err(error) => {
                // A token that may be void is refused: this errs on the side of safety.
                tracing::error!(%error, "cannot tell which tokens are void; refusing all");
                Some(u64::MAX)
            }
        }
    }
}

/// What functions write goes to the log of their output.
pub struct Outputs(pub GuestLogs);

impl LogSink for Outputs {
    fn writer(&self, component: &Arc<str>, stream: OutputStream, trace_id: Option<Arc<str>>) -> OutputWriter {
        let stream = match stream {
            OutputStream::Stdout => Stream::Stdout,
            OutputStream::Stderr => Stream::Stderr,
        };
        let mut writer = self.0.writer(component, stream, trace_id);
        Box::new(move |bytes| writer.write(bytes))
    }
}

/// Whether the saga journal takes records.
pub struct JournalHealth(pub Sagas);

impl HealthCheck for JournalHealth {
    fn name(&self) -> &str {
        "sagas"
    }

    fn check(&self) -> BoxFuture<'_, Result<(), String>> {
        let stopped = self.0.stopped();
        Box::pin(async move { stopped.map_or(Ok(()), |error| Err(error.to_string())) })
    }
}

/// Whether the message log takes events.
pub struct BrokerHealth(pub Arc<dyn Broker>);

impl HealthCheck for BrokerHealth {
    fn name(&self) -> &str {
        "messaging"
    }

    fn check(&self) -> BoxFuture<'_, Result<(), String>> {
        let unhealthy = self.0.unhealthy();
        Box::pin(async move { unhealthy.map_or(Ok(()), Err) })
    }
}
