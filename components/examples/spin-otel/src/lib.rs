//! Tells a span, a log record and metrics by `wasi:otel`, as the exporters of OpenTelemetry do for components.

use anyhow::Result;
use spin_sdk::http::{IntoResponse, Request, Response};
use spin_sdk::http_service;

#[allow(missing_docs, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({
        inline: "
            package example:otel;
            world imports {
                import wasi:otel/tracing@0.2.0-rc.2;
                import wasi:otel/metrics@0.2.0-rc.2;
                import wasi:otel/logs@0.2.0-rc.2;
            }
        ",
        path: [
            "../../../wit/deps/wasi-io@0.2.0",
            "../../../wit/deps/wasi-clocks@0.2.0",
            "../../../wit/deps/wasi-otel@0.2.0-rc.2",
        ],
        world: "example:otel/imports",
        generate_all,
    });
}

use bindings::wasi::clocks::wall_clock::Datetime;
use bindings::wasi::otel::types::{InstrumentationScope, KeyValue, Resource};
use bindings::wasi::otel::{logs, metrics, tracing};

const TIME: Datetime = Datetime { seconds: 1_800_000_000, nanoseconds: 0 };

#[http_service]
async fn handle(_: Request) -> Result<impl IntoResponse> {
    let outer = tracing::outer_span_context();
    let attributes = || vec![KeyValue { key: "colour".to_owned(), value: "\"green\"".to_owned() }];
    let scope =
        || InstrumentationScope { name: "example".to_owned(), version: None, schema_url: None, attributes: Vec::new() };
    let context = tracing::SpanContext { span_id: "00f067aa0ba902b7".to_owned(), ..outer.clone() };
    tracing::on_start(&context);
    logs::on_emit(&logs::LogRecord {
        timestamp: Some(TIME),
        observed_timestamp: None,
        severity_text: Some("WARN".to_owned()),
        severity_number: Some(13),
        body: Some("\"look here\"".to_owned()),
        attributes: Some(attributes()),
        event_name: None,
        resource: None,
        instrumentation_scope: Some(scope()),
        trace_id: Some(context.trace_id.clone()),
        span_id: Some(context.span_id.clone()),
        trace_flags: None,
    });
    tracing::on_end(&tracing::SpanData {
        span_context: context,
        parent_span_id: outer.span_id.clone(),
        span_kind: tracing::SpanKind::Internal,
        name: "work".to_owned(),
        start_time: TIME,
        end_time: TIME,
        attributes: attributes(),
        events: Vec::new(),
        links: Vec::new(),
        status: tracing::Status::Ok,
        instrumentation_scope: scope(),
        dropped_attributes: 0,
        dropped_events: 0,
        dropped_links: 0,
    });
    let sum = metrics::Sum {
        data_points: vec![metrics::SumDataPoint {
            attributes: attributes(),
            value: metrics::MetricNumber::U64(3),
            exemplars: Vec::new(),
        }],
        start_time: TIME,
        time: TIME,
        temporality: metrics::Temporality::Cumulative,
        is_monotonic: true,
    };
    let metric = metrics::Metric {
        name: "things".to_owned(),
        description: String::new(),
        unit: "1".to_owned(),
        data: metrics::MetricData::U64Sum(sum),
    };
    let exported = metrics::export(&metrics::ResourceMetrics {
        resource: Resource { attributes: Vec::new(), schema_url: None },
        scope_metrics: vec![metrics::ScopeMetrics { scope: scope(), metrics: vec![metric] }],
    });
    Ok(Response::builder().body(format!("{} {} {exported:?}\n", outer.trace_id, outer.span_id))?)
}
