//! Liveness, readiness and health. Checks belong to whoever they check; here they are run together, bounded in time,
//! and not more often than once a second however often anyone asks.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, Either, join_all, select};
use serde::Serialize;
use weft_core::Clock;

/// One check gets this long.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);
/// Answers are reused for this long: asking is free of charge and needs no token.
const FRESH: Duration = Duration::from_secs(1);

/// Something whose state decides whether the host is healthy.
pub trait HealthCheck: Send + Sync + 'static {
    /// A short name, such as `sql`.
    fn name(&self) -> &str;
    /// Checks once.
    ///
    /// # Errors
    /// What is wrong. The text is shown to anyone who asks, so it must not hold secrets.
    fn check(&self) -> BoxFuture<'_, Result<(), String>>;
}

/// All checks and their last results.
pub(crate) struct HealthBoard {
    checks: Vec<Arc<dyn HealthCheck>>,
    last: tokio::sync::Mutex<Option<(Duration, Report)>>,
}

impl fmt::Debug for HealthBoard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.checks.iter().map(|check| check.name())).finish()
    }
}

/// What `/health` answers.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub status: Status,
    checks: Vec<CheckReport>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Ok,
    Degraded,
}

#[derive(Clone, Debug, Serialize)]
struct CheckReport {
    name: String,
    status: Status,
    error: Option<String>,
    /// When it was last run, RFC 3339 in UTC.
    checked_at: String,
}

impl HealthBoard {
    pub fn new(checks: Vec<Arc<dyn HealthCheck>>) -> Self {
        Self { checks, last: tokio::sync::Mutex::new(None) }
    }

    /// The report of the last second, or a new one. Those who ask at once share one run.
    pub async fn report(&self, clock: &dyn Clock) -> Report {
        let mut last = self.last.lock().await;
        match &*last {
            Some((at, report)) if clock.monotonic().saturating_sub(*at) < FRESH => report.clone(),
            _ => {
                let checks = join_all(self.checks.iter().map(|check| run(&**check, clock))).await;
                let ok = checks.iter().all(|check| check.status == Status::Ok);
                let report = Report { status: if ok { Status::Ok } else { Status::Degraded }, checks };
                *last = Some((clock.monotonic(), report.clone()));
                report
            }
        }
    }
}

async fn run(check: &dyn HealthCheck, clock: &dyn Clock) -> CheckReport {
    let result = match select(check.check(), clock.sleep(CHECK_TIMEOUT)).await {
        Either::Left((result, _)) => result,
        Either::Right(_) => Err(format!("no answer within {} s", CHECK_TIMEOUT.as_secs())),
    };
    let milliseconds = i64::try_from(clock.now_ms()).unwrap_or(i64::MAX);
    let checked_at = jiff::Timestamp::from_millisecond(milliseconds).unwrap_or(jiff::Timestamp::MAX).to_string();
    let status = if result.is_ok() { Status::Ok } else { Status::Degraded };
    CheckReport { name: check.name().to_owned(), status, error: result.err(), checked_at }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use weft_core::clock::ManualClock;

    struct Counting(AtomicUsize);

    impl HealthCheck for Counting {
        fn name(&self) -> &str {
            "counting"
        }
        fn check(&self) -> BoxFuture<'_, Result<(), String>> {
            let run = self.0.fetch_add(1, SeqCst);
            Box::pin(async move { if run == 0 { Ok(()) } else { Err("worn out".into()) } })
        }
    }

    struct Hanging;

    impl HealthCheck for Hanging {
        fn name(&self) -> &str {
            "hanging"
        }
        fn check(&self) -> BoxFuture<'_, Result<(), String>> {
            Box::pin(std::future::pending())
        }
    }

    #[tokio::test]
    async fn a_report_is_reused_for_a_second() {
        let clock = ManualClock::at_ms(0);
        let board = HealthBoard::new(vec![Arc::new(Counting(AtomicUsize::new(0)))]);
        assert_eq!(board.report(&clock).await.status, Status::Ok);
        clock.advance(Duration::from_millis(999));
        assert_eq!(board.report(&clock).await.status, Status::Ok);
        clock.advance(Duration::from_millis(1));
        let report = board.report(&clock).await;
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["status"], "degraded");
        assert_eq!(json["checks"][0]["error"], "worn out");
        assert_eq!(json["checks"][0]["checked_at"], "1970-01-01T00:00:01Z");
    }

    #[tokio::test]
    async fn a_check_that_hangs_is_degraded() {
        let clock = Arc::new(ManualClock::at_ms(0));
        let board = Arc::new(HealthBoard::new(vec![Arc::new(Hanging)]));
        let asked = tokio::spawn({
            let (board, clock) = (Arc::clone(&board), Arc::clone(&clock));
            async move { board.report(&*clock).await }
        });
        while clock.advance_to_next().is_none() {
            tokio::task::yield_now().await;
        }
        let json = serde_json::to_value(asked.await.unwrap()).unwrap();
        assert_eq!(json["checks"][0]["error"], "no answer within 2 s");
    }
}
