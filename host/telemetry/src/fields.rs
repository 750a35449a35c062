//! The fields of the host's log lines, as people read them. They look as `tracing-subscriber` writes them; numbers and
//! plain text, of which a line of the access log has a dozen, go without its general way of formatting.

use std::error::Error;
use std::fmt::{self, Debug};

use tracing::field::{Field, Visit};
use tracing_subscriber::field::{RecordFields, VisitOutput as _};
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{DefaultVisitor, Writer};

/// `name=value name="text"`, without colours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlainFields;

impl<'writer> FormatFields<'writer> for PlainFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut visitor = Fields { writer, is_empty: true, result: Ok(()) };
        fields.record(&mut visitor);
        visitor.result
    }
}

struct Fields<'writer> {
    writer: Writer<'writer>,
    is_empty: bool,
    result: fmt::Result,
}

impl Fields<'_> {
    /// What is not written here, `tracing-subscriber` writes.
    fn by_default(&mut self, record: impl FnOnce(&mut DefaultVisitor<'_>)) {
        if self.result.is_ok() {
            let mut visitor = DefaultVisitor::new(self.writer.by_ref(), self.is_empty);
            record(&mut visitor);
            self.result = visitor.finish();
            self.is_empty = false;
        }
    }

    fn pair(&mut self, field: &Field, write: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        if self.result.is_ok() {
            let space = if std::mem::take(&mut self.is_empty) { "" } else { " " };
            let writer = &mut self.writer;
            self.result = [space, field.name(), "="].into_iter().try_for_each(|text| writer.write_str(text));
            self.result = self.result.and_then(|()| write(&mut self.writer));
        }
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.by_default(|visitor| visitor.record_debug(field, value));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.by_default(|visitor| visitor.record_error(field, value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if is_odd(field) || !value.bytes().all(is_plain) {
            self.by_default(|visitor| visitor.record_str(field, value));
        } else {
            self.pair(field, |writer| ["\"", value, "\""].into_iter().try_for_each(|text| writer.write_str(text)));
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if is_odd(field) {
            self.by_default(|visitor| visitor.record_u64(field, value));
        } else {
            self.pair(field, |writer| write!(writer, "{value}"));
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        if is_odd(field) {
            self.by_default(|visitor| visitor.record_bool(field, value));
        } else {
            self.pair(field, |writer| writer.write_str(if value { "true" } else { "false" }));
        }
    }
}

/// Whether a field is no plain `name=value`.
fn is_odd(field: &Field) -> bool {
    let name = field.name();
    name == "message" || name.starts_with("r#") || name.starts_with("log.")
}

/// Whether a character in quotes stands for itself.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::{Registry, fmt};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged, as it looks with these fields.
    fn logged<F>(fields: F) -> String
    where
        F: for<'writer> FormatFields<'writer> + Send + Sync + 'static,
    {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = fmt::layer().fmt_fields(fields).without_time().with_writer(move || writer.clone());
        tracing::subscriber::with_default(Registry::default().with(layer), || {
            let error = io::Error::other(io::Error::other("the cause\u{1b}[31m"));
            let (error, nothing): (&(dyn Error + 'static), _) = (&error, None::<u8>);
            tracing::info!(
                method = "GET",
                path = "/a b",
                odd = "\"\\\n\u{e4}\u{1b}[31m",
                status = 200,
                done = false,
                "said {}",
                1
            );
            tracing::info!(error, status = 0_u16, minus = -1, ratio = 0.5, ?nothing, text = %"as it is");
            tracing::info!("alone \u{1b}[31m");
            tracing::info!(log.target = "a library", log.line = 7_u64, "what a library logs");
            tracing::info!(r#type = "odd name", r#in = 1);
            let span = tracing::info_span!("span", of = "the span", number = 1);
            span.in_scope(|| tracing::warn!("inside"));
        });
        String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn lines_look_as_they_do_by_default() {
        let ours = logged(PlainFields);
        assert_eq!(ours, logged(fmt::format::DefaultFields::new()));
        let first = " INFO weft_telemetry::fields::tests: said 1 method=\"GET\" path=\"/a b\"";
        assert!(ours.starts_with(first), "{ours}");
    }
}
