//! W3C Trace Context (Level 1): reading the `traceparent` header and starting a span. Carrying the context along belongs
//! to whoever makes the call; nothing here exports spans.

use weft_core::Trace;
use weft_core::id::{new_span_id, new_trace_id};

/// Length of a version 00 `traceparent`: `00-<32 hex>-<16 hex>-<2 hex>`, in bytes.
const TRACEPARENT_LENGTH: usize = 55;

/// The trace and the parent span that a `traceparent` header names; `None` if it is not valid, which by the standard
/// means that a new trace starts.
#[must_use]
pub fn parse_traceparent(header: &str) -> Option<Trace> {
    let version = header.get(..2)?;
    // A later version may append fields after a dash; 00 has exactly these.
    let well_formed = match version {
        "ff" => false,
        "00" => header.len() == TRACEPARENT_LENGTH,
        _ => is_hex(version) && (header.len() == TRACEPARENT_LENGTH || header.get(55..56) == Some("-")),
    };
    let dashes = [2, 35, 52].into_iter().all(|at| header.get(at..=at) == Some("-"));
    let (trace_id, span_id, flags) = (header.get(3..35)?, header.get(36..52)?, header.get(53..55)?);
    let ids = is_hex(trace_id) && is_hex(span_id) && is_hex(flags) && !is_zero(trace_id) && !is_zero(span_id);
    (well_formed && dashes && ids).then(|| Trace { trace_id: trace_id.into(), span_id: span_id.into() })
}

/// A new span: in the trace of `parent`, or in a new trace.
#[must_use]
pub fn start_span(parent: Option<Trace>) -> Trace {
    let trace_id = parent.map_or_else(new_trace_id, |parent| parent.trace_id);
    Trace { trace_id, span_id: new_span_id() }
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_zero(text: &str) -> bool {
    text.bytes().all(|byte| byte == b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn reads_the_example_of_the_standard() {
        let trace = parse_traceparent(VALID).expect("valid");
        assert_eq!(&*trace.trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(&*trace.span_id, "00f067aa0ba902b7");
    }

    #[test]
    fn reads_a_later_version_with_more_fields() {
        let later = format!("01{}-extra", &VALID[2..]);
        assert!(parse_traceparent(&later).is_some());
    }

    #[test]
    fn refuses_what_the_standard_calls_invalid() {
        for bad in [
            "",
            "00",
            &VALID[..54],
            &format!("{VALID}-extra"),
            &format!("ff{}", &VALID[2..]),
            &VALID.to_uppercase(),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
            "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-0",
        ] {
            assert_eq!(parse_traceparent(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_span_stays_in_its_parents_trace() {
        let parent = parse_traceparent(VALID).expect("valid");
        let span = start_span(Some(parent.clone()));
        assert_eq!(span.trace_id, parent.trace_id);
        assert_ne!(span.span_id, parent.span_id);
        assert!(parse_traceparent(&span.traceparent()).is_some());
        assert!(parse_traceparent(&start_span(None).traceparent()).is_some());
    }
}
