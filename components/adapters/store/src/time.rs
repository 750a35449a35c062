//! Instants as text.

/// RFC 3339 in UTC with milliseconds, such as `2026-11-20T08:15:00.000Z`.
pub(crate) fn rfc3339(epoch_ms: u64) -> String {
    let (days, day_ms) = (epoch_ms / 86_400_000, epoch_ms % 86_400_000);
    let (seconds, milliseconds) = (day_ms / 1000, day_ms % 1000);
    // Hinnant's algorithm, for days not before the epoch.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milliseconds:03}Z")
}

#[cfg(test)]
mod tests {
    #[test]
    fn instants_have_their_known_dates() {
        assert_eq!(super::rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(super::rfc3339(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(super::rfc3339(1_709_251_199_999), "2024-02-29T23:59:59.999Z");
    }
}
