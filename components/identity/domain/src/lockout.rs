//! When a login is locked out: after 5 failures within 15 minutes by the same e-mail and address. A failure
//! that finds the limit reached is not told as one, so that many attempts at once learn no more than one after another.

/// Failures within the window after which no more attempts are let through.
pub const FAILURES: usize = 5;
/// The window, in milliseconds.
pub const WINDOW_MS: i64 = 15 * 60 * 1000;

/// The times of the last failures, oldest first, in milliseconds since the Unix epoch; 0 stands for none.
pub type Failures = [i64; FAILURES];

/// The failures with one more, or `None` if the oldest of them is still within the window: locked out.
///
/// The statement that counts a failure does the same in one row of the database; this is its model.
#[must_use]
pub fn attempt(failures: Failures, now_ms: i64) -> Option<Failures> {
    let [oldest, second, third, fourth, fifth] = failures;
    (oldest <= now_ms - WINDOW_MS).then_some([second, third, fourth, fifth, now_ms])
}

/// Whole seconds until the oldest failure leaves the window, at least 1.
#[must_use]
pub fn retry_after_s(oldest_failure_ms: i64, now_ms: i64) -> u64 {
    let left_ms = oldest_failure_ms.saturating_add(WINDOW_MS).saturating_sub(now_ms).max(1);
    u64::try_from(left_ms).unwrap_or(1).div_ceil(1000)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_window_ever_holds_more_than_five_failures(steps in prop::collection::vec(0..WINDOW_MS / 3, 1..60)) {
            let (mut failures, mut now_ms, mut let_through) = ([0; FAILURES], WINDOW_MS * 2, Vec::new());
            for step in steps {
                now_ms += step;
                if let Some(next) = attempt(failures, now_ms) {
                    failures = next;
                    let_through.push(now_ms);
                }
            }
            for (index, start) in let_through.iter().enumerate() {
                let within = let_through[index..].iter().take_while(|at| **at < start + WINDOW_MS).count();
                prop_assert!(within <= FAILURES, "{within} from {start}");
            }
        }

        #[test]
        fn after_the_time_named_the_next_attempt_is_let_through(oldest in 1..i64::MAX / 4, waited in 0..WINDOW_MS) {
            let now_ms = oldest + waited;
            let locked = [oldest, now_ms, now_ms, now_ms, now_ms];
            prop_assert_eq!(attempt(locked, now_ms), None);
            let later = now_ms + i64::try_from(retry_after_s(oldest, now_ms)).unwrap() * 1000;
            prop_assert!(attempt(locked, later).is_some());
        }
    }
}
