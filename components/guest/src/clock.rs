//! Time from the host's clocks, which a durable function sees journaled. Never `std::time`. Owns the RFC 3339 text of
//! an instant; knows no time zones but UTC.

use crate::bindings::wasi::clocks::{monotonic_clock, system_clock};

/// Milliseconds since the Unix epoch.
pub fn now_ms() -> u64 {
    let now = system_clock::now();
    u64::try_from(now.seconds).unwrap_or(0).saturating_mul(1000).saturating_add(u64::from(now.nanoseconds / 1_000_000))
}

/// Now, as RFC 3339 UTC with milliseconds.
pub fn now_rfc3339() -> String {
    rfc3339(now_ms())
}

/// Waits. Not for code between the steps of a saga: that is [`Saga::sleep`](crate::saga::Saga::sleep).
pub async fn sleep_ms(duration_ms: u64) {
    monotonic_clock::wait_for(duration_ms.saturating_mul(1_000_000)).await;
}

/// An instant as RFC 3339 UTC with milliseconds, such as `2026-11-20T08:15:00.000Z`.
pub fn rfc3339(epoch_ms: u64) -> String {
    let (days, day_ms) = (epoch_ms / 86_400_000, epoch_ms % 86_400_000);
    let (year, month, day) = civil_from_days(days);
    let (seconds, milliseconds) = (day_ms / 1000, day_ms % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milliseconds:03}Z")
}

/// The proleptic Gregorian date of a day number since 1970-01-01 (Hinnant's algorithm, for days not before the epoch).
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn instants_have_their_known_dates() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(rfc3339(1_709_251_199_999), "2024-02-29T23:59:59.999Z");
        assert_eq!(rfc3339(4_102_444_800_001), "2100-01-01T00:00:00.001Z");
        assert_eq!(rfc3339(4_107_542_400_000), "2100-03-01T00:00:00.000Z");
    }

    proptest::proptest! {
        #[test]
        fn text_orders_as_time_does(a in 0_u64..253_402_300_800_000, b in 0_u64..253_402_300_800_000) {
            proptest::prop_assert_eq!(a.cmp(&b), rfc3339(a).cmp(&rfc3339(b)));
        }
    }
}
