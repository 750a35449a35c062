//! One line of output, as JSON in the files and as text for people.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Where a line comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A span that the function has told of, as JSON.
    Span,
    /// A log record that it has told, as JSON.
    Log,
    /// A data point of a metric that it has told, as JSON.
    Metric,
}

impl Stream {
    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Span => "span",
            Self::Log => "log",
            Self::Metric => "metric",
        }
    }
}

/// A line that a function wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When, in milliseconds since the Unix epoch; RFC 3339 in JSON.
    #[serde(rename = "time", serialize_with = "to_rfc3339", deserialize_with = "from_rfc3339")]
    pub time_ms: u64,
    /// Which component.
    pub component: Arc<str>,
    /// Where to.
    pub stream: Stream,
    /// In which trace, if it was in one: 32 hex digits.
    pub trace_id: Option<Arc<str>>,
    /// What, without its line end. Bytes that are no UTF-8 are replaced.
    pub text: String,
}

fn timestamp(time_ms: u64) -> Timestamp {
    i64::try_from(time_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or(Timestamp::MAX)
}

pub(crate) fn to_rfc3339<S: Serializer>(time_ms: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&timestamp(*time_ms))
}

pub(crate) fn from_rfc3339<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let time: Timestamp = String::deserialize(deserializer)?.parse().map_err(de::Error::custom)?;
    u64::try_from(time.as_millisecond()).map_err(de::Error::custom)
}

/// For a terminal: control characters are shown, not obeyed, since anyone may have had them logged.
impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stream = match self.stream {
            Stream::Stdout => "|",
            Stream::Stderr => "!",
            told => told.as_str(),
        };
        write!(f, "{:.3} {} {stream} ", timestamp(self.time_ms), self.component)?;
        for character in self.text.chars() {
            match character {
                '\t' => f.write_char('\t')?,
                control if control.is_control() => write!(f, "{}", control.escape_default())?,
                other => f.write_char(other)?,
            }
        }
        match &self.trace_id {
            Some(trace_id) => write!(f, "  trace={trace_id}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_not_commanded() {
        let text = "red \u{1b}[31m\tbell\u{7}".to_owned();
        let line = LogLine { time_ms: 1500, component: "a".into(), stream: Stream::Stderr, trace_id: None, text };
        assert_eq!(line.to_string(), "1970-01-01T00:00:01.500Z a ! red \\u{1b}[31m\tbell\\u{7}");
    }
}
