//! Times that come again: a cron expression of five fields (minute, hour, day of month, month, day of week), with a time
//! zone after them, UTC where there is none. What is done at those times belongs to the saga engine.

use std::fmt;
use std::str::FromStr;

use cronexpr::{Crontab, FallbackTimezoneOption, MakeTimestamp, ParseOptions};

/// A cron expression, such as `30 3 * * 1-5` or `0 9 1 * * Europe/Berlin`.
#[derive(Clone, Debug)]
pub struct Cron {
    text: String,
    crontab: Crontab,
}

/// A text that is no cron expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadCron(String);

impl Cron {
    /// The first time after `after_ms`, both in milliseconds since the Unix epoch; none if it never comes.
    #[must_use]
    pub fn next_after_ms(&self, after_ms: u64) -> Option<u64> {
        let after = MakeTimestamp::from_millisecond(i64::try_from(after_ms).ok()?).ok()?;
        let next = self.crontab.find_next(after).ok()?;
        u64::try_from(next.timestamp().as_millisecond()).ok()
    }
}

impl FromStr for Cron {
    type Err = BadCron;

    fn from_str(text: &str) -> Result<Self, BadCron> {
        let mut options = ParseOptions::default();
        options.fallback_timezone_option = FallbackTimezoneOption::UTC;
        let crontab = cronexpr::parse_crontab_with(text, options).map_err(|error| {
            // The library draws a picture of several lines; its last one says what is wrong.
            let said = error.to_string();
            BadCron(said.lines().last().unwrap_or_default().trim().trim_start_matches("^ ").to_owned())
        })?;
        Ok(Self { text: text.to_owned(), crontab })
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Cron {}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(cron: &str, after: &str) -> Option<String> {
        let after: jiff::Timestamp = after.parse().unwrap();
        let next_ms = cron.parse::<Cron>().unwrap().next_after_ms(after.as_millisecond().try_into().unwrap())?;
        Some(jiff::Timestamp::from_millisecond(next_ms.try_into().unwrap()).unwrap().to_string())
    }

    #[test]
    fn times_come_in_utc_or_in_the_zone_that_is_named() {
        assert_eq!(next("*/15 * * * *", "2026-11-20T10:15:00Z").unwrap(), "2026-11-20T10:30:00Z");
        assert_eq!(next("0 9 1 1 *", "2026-11-20T10:15:00Z").unwrap(), "2027-01-01T09:00:00Z");
        assert_eq!(next("0 9 * * * Europe/Berlin", "2026-07-01T08:00:00Z").unwrap(), "2026-07-02T07:00:00Z");
        // The hour that is left out in spring.
        assert!(next("30 2 29 3 * Europe/Berlin", "2026-03-01T00:00:00Z").is_some());
    }

    #[test]
    fn what_is_no_expression_is_refused_in_one_line() {
        for text in ["", "every day", "61 * * * *", "* * * *", "* * * * * Nowhere/City"] {
            let said = text.parse::<Cron>().unwrap_err().to_string();
            assert!(!said.is_empty() && !said.contains('\n'), "{text}: {said}");
        }
    }
}
