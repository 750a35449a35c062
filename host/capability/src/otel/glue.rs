//! The WIT interfaces `wasi:otel@0.2.0-rc.2` (tracing, metrics, logs).

mod metrics;
mod values;

use std::sync::Arc;

use serde_json::json;
use wasmtime::component::{HasData, Linker};

use weft_core::Trace;

use super::{Signal, Telemetry, Teller};
use bindings::wasi::otel::{logs, metrics as wit_metrics, tracing as wit_tracing};
use values::{attributes, object, rfc3339, scope, value};

mod bindings {
    wasmtime::component::bindgen!({
        path: [
            "../../wit/deps/wasi-io@0.2.0",
            "../../wit/deps/wasi-clocks@0.2.0",
            "../../wit/deps/wasi-otel@0.2.0-rc.2",
        ],
        inline: "
            package weft:otel-host;
            world host {
                import wasi:otel/tracing@0.2.0-rc.2;
                import wasi:otel/metrics@0.2.0-rc.2;
                import wasi:otel/logs@0.2.0-rc.2;
            }
        ",
        world: "weft:otel-host/host",
        require_store_data_send: true,
    });
}

/// What one instance has of `wasi:otel`. It tells what has happened and has no effect on anything, so no gate stands
/// before it; but a durable function and a projection, whose code runs again, tell again what they told before.
pub struct OtelState {
    teller: Teller,
    trace: Option<Trace>,
}

impl OtelState {
    /// The state of an instance of `component`, whose telemetry is kept by `telemetry`.
    #[must_use]
    pub fn new(telemetry: Arc<dyn Telemetry>, component: Arc<str>) -> Self {
        Self { teller: Teller::new(telemetry, component), trace: None }
    }

    /// Says which call runs now.
    pub fn set_call(&mut self, trace: Option<&Trace>) {
        self.trace = trace.cloned();
        self.teller.set_trace(trace.map(|trace| trace.trace_id.clone()));
    }
}

/// Links all three.
///
/// # Errors
/// If one is linked already.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    state: fn(&mut T) -> &mut OtelState,
) -> wasmtime::Result<()> {
    wit_tracing::add_to_linker::<T, Glue>(linker, state)?;
    wit_metrics::add_to_linker::<T, Glue>(linker, state)?;
    logs::add_to_linker::<T, Glue>(linker, state)
}

/// Tells wasmtime what the host functions see of a store.
struct Glue;

impl HasData for Glue {
    type Data<'a> = &'a mut OtelState;
}

impl wit_tracing::Host for OtelState {
    /// A span is kept when it has ended; nothing is to be done before.
    fn on_start(&mut self, _: wit_tracing::SpanContext) {}

    fn on_end(&mut self, span: wit_tracing::SpanData) {
        let events: Vec<_> = span.events.iter().map(event).collect();
        let links: Vec<_> = span.links.iter().map(link).collect();
        let (status, message) = match &span.status {
            wit_tracing::Status::Unset => ("unset", None),
            wit_tracing::Status::Ok => ("ok", None),
            wit_tracing::Status::Error(message) => ("error", Some(message)),
        };
        let kind = match span.span_kind {
            wit_tracing::SpanKind::Client => "client",
            wit_tracing::SpanKind::Server => "server",
            wit_tracing::SpanKind::Producer => "producer",
            wit_tracing::SpanKind::Consumer => "consumer",
            wit_tracing::SpanKind::Internal => "internal",
        };
        let record = json!({
            "name": span.name,
            "trace_id": span.span_context.trace_id,
            "span_id": span.span_context.span_id,
            "parent_span_id": span.parent_span_id,
            "kind": kind,
            "start": rfc3339(span.start_time),
            "end": rfc3339(span.end_time),
            "status": status,
            "status_message": message,
            "attributes": attributes(&span.attributes),
            "events": events,
            "links": links,
            "scope": scope(&span.instrumentation_scope),
        });
        self.teller.tell(Signal::Span, object(record));
    }

    fn outer_span_context(&mut self) -> wit_tracing::SpanContext {
        let (trace_id, span_id, trace_flags) = match &self.trace {
            Some(trace) => (trace.trace_id.to_string(), trace.span_id.to_string(), wit_tracing::TraceFlags::SAMPLED),
            // The standard's invalid context: a new trace begins with the guest.
            None => ("0".repeat(32), "0".repeat(16), wit_tracing::TraceFlags::empty()),
        };
        wit_tracing::SpanContext { trace_id, span_id, trace_flags, is_remote: false, trace_state: Vec::new() }
    }
}

fn event(event: &wit_tracing::Event) -> serde_json::Value {
    json!({ "name": event.name, "time": rfc3339(event.time), "attributes": attributes(&event.attributes) })
}

fn link(link: &wit_tracing::Link) -> serde_json::Value {
    json!({
        "trace_id": link.span_context.trace_id,
        "span_id": link.span_context.span_id,
        "attributes": attributes(&link.attributes),
    })
}

impl wit_metrics::Host for OtelState {
    fn export(&mut self, told: wit_metrics::ResourceMetrics) -> Result<(), wit_metrics::Error> {
        let resource = attributes(&told.resource.attributes);
        for of_scope in &told.scope_metrics {
            let scope = scope(&of_scope.scope);
            for metric in &of_scope.metrics {
                for point in metrics::points(&metric.data) {
                    let mut record = object(json!({
                        "name": metric.name,
                        "unit": metric.unit,
                        "resource": resource,
                        "scope": scope,
                    }));
                    record.extend(point);
                    self.teller.tell(Signal::Metric, record);
                }
            }
        }
        Ok(())
    }
}

impl logs::Host for OtelState {
    fn on_emit(&mut self, record: logs::LogRecord) {
        let record = json!({
            "time": record.timestamp.or(record.observed_timestamp).map(rfc3339),
            "severity": record.severity_text,
            "severity_number": record.severity_number,
            "body": record.body.as_deref().map(value),
            "attributes": record.attributes.as_deref().map(attributes),
            "event": record.event_name,
            "trace_id": record.trace_id,
            "span_id": record.span_id,
            "scope": record.instrumentation_scope.as_ref().map(scope),
        });
        self.teller.tell(Signal::Log, object(record));
    }
}
