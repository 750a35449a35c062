//! What commands print: tables for people, JSON for programs, and text of others made harmless. A closed pipe is an
//! ordinary error here, which [`crate::exit`] passes over in silence.

use std::fmt::Write as _;
use std::io::{self, Write};

use serde::Serialize;

/// Prints a line on stdout.
///
/// # Errors
/// If stdout cannot be written.
pub fn line(text: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}

/// Tells people something beside the command's own output: a line on stderr.
pub fn note(text: &str) {
    // There is nobody left to tell if stderr is closed.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Prints `value` as JSON on stdout, on several lines.
///
/// # Errors
/// If stdout cannot be written.
pub fn json(value: &impl Serialize) -> io::Result<()> {
    line(&serde_json::to_string_pretty(value)?)
}

/// Prints rows under a header on stdout, columns aligned.
///
/// # Errors
/// If stdout cannot be written.
pub fn table<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> io::Result<()> {
    io::stdout().lock().write_all(render(header, rows).as_bytes())
}

fn render<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> String {
    let cell = |text: &str| printable(text).chars().count();
    let mut widths = header.map(cell);
    for row in rows {
        for (width, text) in widths.iter_mut().zip(row) {
            *width = cell(text).max(*width);
        }
    }
    let mut out = String::new();
    for row in std::iter::once(&header.map(ToOwned::to_owned)).chain(rows) {
        let mut line = String::new();
        for (width, text) in widths.iter().zip(row) {
            // Writing to a String cannot fail.
            let _ = write!(line, "{:<width$}  ", printable(text));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// `text` with its control characters escaped: what functions write must not steer the terminal.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() && character != '\t' {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    out
}

/// A time as RFC 3339 in UTC, to the second; `-` for none.
#[must_use]
pub fn time(ms: Option<u64>) -> String {
    formatted(ms, "%Y-%m-%dT%H:%M:%SZ")
}

/// A time as RFC 3339 in UTC, to the millisecond.
#[must_use]
pub fn time_ms(ms: u64) -> String {
    formatted(Some(ms), "%Y-%m-%dT%H:%M:%S.%3fZ")
}

fn formatted(ms: Option<u64>, format: &str) -> String {
    let timestamp = ms.and_then(|ms| i64::try_from(ms).ok()).and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    timestamp.map_or_else(|| "-".to_owned(), |time| time.strftime(format).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = [["GET".to_owned(), "/ä".to_owned()], ["PATCH".to_owned(), "/\u{1b}[31mx".to_owned()]];
        assert_eq!(render(["METHOD", "PATH"], &rows), "METHOD  PATH\nGET     /ä\nPATCH   /\\u{1b}[31mx\n");
    }

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(time(Some(1_700_000_000_123)), "2023-11-14T22:13:20Z");
        assert_eq!(time_ms(1_700_000_000_120), "2023-11-14T22:13:20.120Z");
        assert_eq!(time(None), "-");
        assert_eq!(time(Some(u64::MAX)), "-");
    }
}
