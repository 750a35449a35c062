//! The small pieces that join crates which do not know each other: recovery and deliveries run functions through the
//! mesh, the gateway asks the key-value store for void tokens, functions' output goes to the log of their output, and
//! the state engines answer for their health.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use weft_capability::kv::Store;
use weft_capability::messaging::glue::{
    BATCH_HANDLER, HANDLE, HANDLE_BATCH, HANDLER, handle_answer, handle_arguments, handle_batch_answers,
    handle_batch_arguments,
};
use weft_capability::messaging::{Broker, Deliver, Delivery, DeliveryError};
use weft_capability::otel::{Signal, Telemetry};
use weft_capability::projection::{Project, ProjectError, SourceEvent};
use weft_capability::sql::Statement;
use weft_core::{Call as _, CallContext, Clock, Failure, Fault, Invocation, Reason, Target};
use weft_durable::{BeginScheduled, Resume, Sagas};
use weft_engine::{Engine, LogSink, OutputStream, OutputWriter, Value};
use weft_gateway::{HealthCheck, Revocations};
use weft_mesh::Mesh;
use weft_telemetry::{GuestLogs, Stream};

use crate::choreographing::Choreographing;
use crate::specs::HOST;

/// How long a handler may take for one event; the callee's own deadline may be shorter.
const DELIVERY_DEADLINE: Duration = Duration::from_secs(30);

/// Recovery goes on with sagas in the engine.
pub struct Resuming(pub Engine);

impl Resume for Resuming {
    fn resume(&self, component: &str, digest: &str, key: &str) -> BoxFuture<'static, Result<(), Failure>> {
        self.0.resume(component, digest, key)
    }
}

/// Sagas that begin by a schedule are called as an operator calls a function.
pub struct Scheduling {
    /// Runs functions.
    pub engine: Engine,
    /// Where calls go.
    pub mesh: Mesh<Value>,
    /// Who begins.
    pub sagas: Sagas,
    /// By the name of the schedule: component, function, and the arguments after the key as a JSON array.
    pub functions: BTreeMap<Arc<str>, ScheduledFunction>,
}

/// What a schedule begins.
#[derive(Clone, Debug)]
pub struct ScheduledFunction {
    /// The durable component.
    pub component: Arc<str>,
    /// `interface#function`.
    pub function: Arc<str>,
    /// A JSON array: what follows the key.
    pub arguments: Arc<str>,
}

impl BeginScheduled for Scheduling {
    fn begin(&self, schedule: &str, key: &str) -> BoxFuture<'static, Result<(), Failure>> {
        let Some(ScheduledFunction { component, function, arguments }) = self.functions.get(schedule).cloned() else {
            let message = format!("there is no schedule {schedule}");
            return Box::pin(async { Err(Failure::not_attempted(Fault::Host, Reason::Unavailable, message)) });
        };
        let (engine, mesh, sagas, key) = (self.engine.clone(), self.mesh.clone(), self.sagas.clone(), key.to_owned());
        Box::pin(async move {
            let refused = |message| Failure::not_attempted(Fault::Host, Reason::Unavailable, message);
            let mut values: Vec<serde_json::Value> =
                serde_json::from_str(&arguments).map_err(|error| refused(error.to_string()))?;
            values.insert(0, key.as_str().into());
            let arguments = serde_json::Value::Array(values).to_string();
            let call = async move {
                let answer = engine.invoke(&mesh, &component, &function, &arguments, DELIVERY_DEADLINE).await;
                answer.map(drop).map_err(|error| refused(error.to_string()))
            };
            let began = async { sagas.started(&key).await.map_err(|error| refused(error.to_string())) };
            match futures::future::select(std::pin::pin!(call), std::pin::pin!(began)).await {
                futures::future::Either::Left((answer, _)) => answer,
                futures::future::Either::Right((began, _)) => began,
            }
        })
    }
}

/// Events are handled by functions, called through the mesh; those of choreographies are written down besides.
pub struct Delivering {
    /// Knows the components.
    pub engine: Engine,
    /// Where calls go.
    pub mesh: Mesh<Value>,
    /// The time that deadlines are on.
    pub clock: Arc<dyn Clock>,
    /// Where choreographies are written down.
    pub choreographing: Arc<Choreographing>,
}

impl Deliver for Delivering {
    fn deliver(&self, component: &str, delivery: Delivery) -> BoxFuture<'static, Result<(), DeliveryError>> {
        let choreographing = Arc::clone(&self.choreographing);
        if component == HOST {
            return Box::pin(async move { choreographing.observe(&delivery).await });
        }
        let target = Target { component: component.into(), interface: HANDLER.into(), function: HANDLE.into() };
        let call = self.call(target, handle_arguments(&delivery), &delivery);
        let (component, began_ms) = (component.to_owned(), self.clock.now_ms());
        Box::pin(async move {
            let answer = call.await.map_err(DeliveryError::Failed);
            let result = answer.and_then(|answer| handle_answer(&answer));
            choreographing.reacted(&component, &delivery, began_ms, &result);
            result
        })
    }

    fn deliver_batch(
        &self,
        component: &str,
        deliveries: Vec<Delivery>,
    ) -> BoxFuture<'static, Vec<Result<(), DeliveryError>>> {
        let Some(first) = deliveries.first() else { return Box::pin(async { Vec::new() }) };
        let target =
            Target { component: component.into(), interface: BATCH_HANDLER.into(), function: HANDLE_BATCH.into() };
        // One call has one trace; that of each event is in its delivery.
        let call = self.call(target, handle_batch_arguments(&deliveries), first);
        let choreographing = Arc::clone(&self.choreographing);
        let (component, began_ms) = (component.to_owned(), self.clock.now_ms());
        Box::pin(async move {
            let results = match call.await {
                Ok(answer) => handle_batch_answers(&answer, deliveries.len()),
                Err(failure) => deliveries.iter().map(|_| Err(DeliveryError::Failed(failure.clone()))).collect(),
            };
            for (delivery, result) in deliveries.iter().zip(&results) {
                choreographing.reacted(&component, delivery, began_ms, result);
            }
            results
        })
    }

    fn digest(&self, component: &str) -> Option<Arc<str>> {
        self.engine.digest(component)
    }
}

impl Delivering {
    fn call(
        &self,
        target: Target,
        arguments: Vec<Value>,
        delivery: &Delivery,
    ) -> BoxFuture<'static, Result<Vec<Value>, Failure>> {
        let deadline = self.clock.monotonic() + DELIVERY_DEADLINE;
        let trace = Some(delivery.trace.clone());
        let context = CallContext { trace, ..CallContext::of_host(deadline) };
        self.mesh.call(Invocation { target, arguments: arguments.into(), keyed: true, context })
    }
}

/// The functions of projections run in the engine, without the mesh: nobody calls them but the host.
pub struct Projecting {
    /// Runs functions.
    pub engine: Engine,
    /// The time that deadlines are on.
    pub clock: Arc<dyn Clock>,
}

impl Project for Projecting {
    fn project(
        &self,
        component: &str,
        events: Arc<[SourceEvent]>,
    ) -> BoxFuture<'static, Result<Vec<Statement>, ProjectError>> {
        self.engine.project(component, &events, self.clock.monotonic() + DELIVERY_DEADLINE)
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

/// What functions tell by `wasi:otel` stands beside what they write.
pub struct Told(pub GuestLogs);

impl Telemetry for Told {
    fn record(&self, component: &Arc<str>, signal: Signal, trace_id: Option<&Arc<str>>, record: String) {
        let stream = match signal {
            Signal::Span => Stream::Span,
            Signal::Log => Stream::Log,
            Signal::Metric => Stream::Metric,
        };
        self.0.writer(component, stream, trace_id.cloned()).write(format!("{record}\n").as_bytes());
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
