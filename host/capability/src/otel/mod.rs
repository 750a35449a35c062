//! What components tell of themselves by `wasi:otel`: spans, log records and metrics. They become records in JSON that
//! carry the trace of the request, and go to whoever keeps the host's telemetry. Here is what bounds them; the WIT
//! interfaces are in [`glue`].

pub mod glue;

use std::sync::Arc;

use serde_json::{Map, Value};

/// Records that one instance may tell while it serves one call; the rest is dropped, with one record that says so.
pub const MAX_RECORDS: usize = 1_000;
/// The longest record, in bytes of JSON: what keeps it cuts lines at 8 KiB. A longer one loses its attributes, events
/// and links.
pub const MAX_RECORD_BYTES: usize = 7 * 1024;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// A span that has ended.
    Span,
    /// A log record.
    Log,
    /// A data point of a metric.
    Metric,
}

/// Keeps what components tell.
pub trait Telemetry: Send + Sync + 'static {
    /// Takes one record, a JSON object in one line. Must not block.
    fn record(&self, component: &Arc<str>, signal: Signal, trace_id: Option<&Arc<str>>, record: String);
}

/// Bounds what one instance tells.
pub(crate) struct Teller {
    telemetry: Arc<dyn Telemetry>,
    component: Arc<str>,
    trace_id: Option<Arc<str>>,
    told: usize,
}

impl Teller {
    pub(crate) fn new(telemetry: Arc<dyn Telemetry>, component: Arc<str>) -> Self {
        Self { telemetry, component, trace_id: None, told: 0 }
    }

    /// Another call begins.
    pub(crate) fn set_trace(&mut self, trace_id: Option<Arc<str>>) {
        self.trace_id = trace_id;
        self.told = 0;
    }

    pub(crate) fn tell(&mut self, signal: Signal, mut record: Map<String, Value>) {
        self.told += 1;
        if self.told > MAX_RECORDS {
            if self.told == MAX_RECORDS + 1 {
                let note = format!(r#"{{"dropped":"more than {MAX_RECORDS} records in one call"}}"#);
                self.telemetry.record(&self.component, Signal::Log, self.trace_id.as_ref(), note);
            }
            return;
        }
        let mut text = Value::Object(record.clone()).to_string();
        if text.len() > MAX_RECORD_BYTES {
            record.retain(|_, value| !(value.is_object() || value.is_array()));
            record.insert("cut".to_owned(), Value::Bool(true));
            text = Value::Object(record).to_string();
        }
        if text.len() > MAX_RECORD_BYTES {
            text = format!(r#"{{"cut":true,"bytes":{}}}"#, text.len());
        }
        self.telemetry.record(&self.component, signal, self.trace_id.as_ref(), text);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::json;

    use super::*;

    /// What was told, with its trace.
    type Record = (Signal, Option<Arc<str>>, String);

    #[derive(Default)]
    struct Kept(Mutex<Vec<Record>>);

    impl Telemetry for Kept {
        fn record(&self, _: &Arc<str>, signal: Signal, trace_id: Option<&Arc<str>>, record: String) {
            self.0.lock().unwrap().push((signal, trace_id.cloned(), record));
        }
    }

    fn object(value: Value) -> Map<String, Value> {
        let Value::Object(map) = value else { panic!("no object") };
        map
    }

    #[test]
    fn records_carry_the_trace_and_are_bounded_in_length_and_number() {
        let kept = Arc::new(Kept::default());
        let mut teller = Teller::new(kept.clone(), "c".into());
        teller.set_trace(Some("t".into()));
        teller.tell(Signal::Span, object(json!({ "name": "a", "attributes": { "k": "x".repeat(MAX_RECORD_BYTES) } })));
        teller.tell(Signal::Log, object(json!({ "body": "x".repeat(MAX_RECORD_BYTES) })));
        for _ in 0..2 * MAX_RECORDS {
            teller.tell(Signal::Metric, Map::new());
        }
        let told = std::mem::take(&mut *kept.0.lock().unwrap());
        assert_eq!(told.len(), MAX_RECORDS + 1);
        assert_eq!(told[0], (Signal::Span, Some("t".into()), r#"{"name":"a","cut":true}"#.to_owned()));
        assert!(told[1].2.contains("\"cut\":true") && told[1].2.len() < 100, "{}", told[1].2);
        assert!(told[MAX_RECORDS].2.contains("dropped"));
        teller.set_trace(None);
        teller.tell(Signal::Metric, Map::new());
        assert_eq!(*kept.0.lock().unwrap(), [(Signal::Metric, None, "{}".to_owned())]);
    }
}
