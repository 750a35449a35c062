//! Values of the command line that several commands take: times, places in the log, JSON, attributes, and who asks.

use std::os::unix::fs::MetadataExt as _;

use anyhow::Context as _;
use clap::Args;
use jiff::Timestamp;

use crate::exit::UsageError;

/// Why something is done by hand.
#[derive(Debug, Args)]
pub(crate) struct Why {
    /// Why, for the audit log
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) reason: String,
}

/// A time as RFC 3339, or how long ago: a number and `s`, `m`, `h`, `d` or `w`. In milliseconds since the Unix epoch.
pub(crate) fn time(text: &str) -> Result<u64, String> {
    time_at(text, Timestamp::now().as_millisecond())
}

fn time_at(text: &str, now_ms: i64) -> Result<u64, String> {
    let wrong =
        || format!("{text:?} is neither RFC 3339, such as 2026-03-01T08:00:00Z, nor how long ago, such as 2h or 3d");
    let ms = match ago_ms(text) {
        Some(ago_ms) => now_ms.saturating_sub(ago_ms),
        None => text.parse::<Timestamp>().map_err(|_| wrong())?.as_millisecond(),
    };
    Ok(u64::try_from(ms).unwrap_or(0))
}

fn ago_ms(text: &str) -> Option<i64> {
    const SECOND: i64 = 1000;
    let unit = text.chars().last()?;
    let number: i64 = text.strip_suffix(unit)?.parse().ok().filter(|number| *number >= 0)?;
    let unit_ms = match unit {
        's' => SECOND,
        'm' => 60 * SECOND,
        'h' => 60 * 60 * SECOND,
        'd' => 24 * 60 * 60 * SECOND,
        'w' => 7 * 24 * 60 * 60 * SECOND,
        _ => return None,
    };
    number.checked_mul(unit_ms)
}

/// How long: a number and `ms`, or one of the units of [`time`]. In milliseconds.
pub(crate) fn duration(text: &str) -> Result<u64, String> {
    let ms = match text.strip_suffix("ms") {
        Some(number) => number.parse().ok(),
        None => ago_ms(text).and_then(|ms| u64::try_from(ms).ok()),
    };
    ms.ok_or_else(|| format!("{text:?} is no duration, such as 500ms, 30s or 2h"))
}

/// A place in the log of events: `earliest`, `latest`, a position, or a time as [`time`] takes it. As the control socket
/// takes it.
pub(crate) fn position(text: &str) -> Result<String, String> {
    if matches!(text, "earliest" | "latest") || text.parse::<u64>().is_ok() {
        return Ok(text.to_owned());
    }
    let ms = time(text).map_err(|error| format!("{error}, nor earliest, latest or a position"))?;
    Ok(crate::output::time_ms(ms))
}

/// JSON as it is given: itself, `@FILE`, or `-` for stdin.
pub(crate) fn json_given(text: &str) -> anyhow::Result<serde_json::Value> {
    let (what, bytes) = match text.strip_prefix('@') {
        Some(file) => (file, std::fs::read(file).with_context(|| format!("cannot read {file}"))?),
        None if text == "-" => {
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut std::io::stdin(), &mut bytes).context("cannot read stdin")?;
            ("stdin", bytes)
        }
        None => (text, text.as_bytes().to_vec()),
    };
    Ok(serde_json::from_slice(&bytes).map_err(|error| UsageError(format!("{what} is not JSON: {error}")))?)
}

/// An attribute as `name=value`.
pub(crate) fn attribute(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((name, _)) if !name.is_empty() => Ok(text.to_owned()),
        _ => Err(format!("{text:?} is no attribute; write name=value")),
    }
}

/// Who runs this command, for the audit log: the name of the operating system's user, as `name@local`.
pub(crate) fn actor() -> String {
    // The owner of the process's own entry is its effective user.
    let user = std::fs::metadata("/proc/self").map(|entry| entry.uid()).ok();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    match user {
        Some(user) => format!("{}@local", user_name(&passwd, user).unwrap_or_else(|| user.to_string())),
        None => "unknown@local".to_owned(),
    }
}

fn user_name(passwd: &str, user: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, id) = (fields.next()?, fields.nth(1)?);
        (id.parse() == Ok(user) && !name.is_empty()).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_absolute_or_ago() {
        let now_ms = 1_700_000_000_000;
        assert_eq!(time_at("2023-11-14T22:13:20Z", 0), Ok(1_700_000_000_000));
        assert_eq!(time_at("2023-11-14T23:13:20.5+01:00", 0), Ok(1_700_000_000_500));
        assert_eq!(time_at("90s", now_ms), Ok(1_699_999_910_000));
        assert_eq!(time_at("2h", now_ms), Ok(1_699_992_800_000));
        assert_eq!(time_at("3d", now_ms), Ok(1_699_740_800_000));
        assert_eq!(time_at("1w", now_ms), Ok(1_699_395_200_000));
        assert_eq!(time_at("99999w", now_ms), Ok(0));
        for wrong in ["", "h", "2", "-2h", "yesterday", "2 h", "9999999999999999999d", "2ä"] {
            assert!(time_at(wrong, now_ms).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_and_places_are_read() {
        assert_eq!((duration("500ms"), duration("2m")), (Ok(500), Ok(120_000)));
        for wrong in ["", "ms", "-1s", "1", "1.5s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert_eq!((position("earliest"), position("17")), (Ok("earliest".to_owned()), Ok("17".to_owned())));
        assert_eq!(position("2023-11-14T23:13:20.5+01:00"), Ok("2023-11-14T22:13:20.500Z".to_owned()));
        assert!(position("soon").unwrap_err().contains("earliest"));
    }

    #[test]
    fn json_is_given_or_in_a_file() {
        assert_eq!(json_given("[1]").unwrap(), serde_json::json!([1]));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "{\"a\": 1}").unwrap();
        assert_eq!(json_given(&format!("@{}", file.path().display())).unwrap()["a"], 1);
        assert!(json_given("{").unwrap_err().is::<UsageError>());
        assert!(json_given("@/nowhere").unwrap_err().to_string().contains("cannot read /nowhere"));
    }

    #[test]
    fn attributes_have_a_name_and_a_value() {
        assert_eq!(attribute("a=b=c"), Ok("a=b=c".to_owned()));
        assert_eq!(attribute("a="), Ok("a=".to_owned()));
        assert!(attribute("a").is_err() && attribute("=b").is_err());
    }

    #[test]
    fn users_are_found_by_their_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\n# a comment\nada:x:1000:1000::/home/ada:/bin/sh\n";
        assert_eq!(user_name(passwd, 1000).as_deref(), Some("ada"));
        assert_eq!(user_name(passwd, 7), None);
        assert!(actor().ends_with("@local"));
    }
}
