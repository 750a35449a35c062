//! Schedules: sagas that begin at the times of a cron expression. Each time that was decided on is recorded, so that a
//! host that was down goes on where it was: what it missed begins late, within the catch-up window. The saga of a time
//! has a key made of the schedule and the time, so that it begins once whatever happens.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, join_all};

use weft_core::Failure;
use weft_core::cron::Cron;
use weft_core::manifest::Overlap;

use crate::control::By;
use crate::engine::{Inner, Sagas};
use crate::error::SagaError;
use crate::record::{Entry, Ticked, VERSION};

/// The pause after a saga could not be begun.
const AGAIN: Duration = Duration::from_secs(5);

/// When the sagas of one function begin by themselves.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Unique among all schedules of the host.
    pub name: Arc<str>,
    /// When.
    pub cron: Cron,
    /// What happens if the saga of the time before has not ended.
    pub overlap: Overlap,
    /// How late a time that was missed may still begin, in milliseconds.
    pub catch_up_ms: u64,
}

/// Begins the saga of a schedule. Implemented by whoever calls functions.
pub trait BeginScheduled: Send + Sync + 'static {
    /// Calls the schedule's function under `key`. Resolves when the saga has durably begun, or has ended.
    fn begin(&self, schedule: &str, key: &str) -> BoxFuture<'static, Result<(), Failure>>;
}

/// How a schedule stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleView {
    /// Its name.
    pub name: Arc<str>,
    /// The last time that was decided on, in milliseconds since the Unix epoch.
    pub last_ms: Option<u64>,
    /// The next one.
    pub next_ms: Option<u64>,
}

/// The key of the saga that begins at this time.
#[must_use]
pub fn scheduled_key(schedule: &str, at_ms: u64) -> String {
    format!("schedule/{schedule}/{at_ms}")
}

impl Sagas {
    /// Begins sagas at the times of these schedules, until [`Sagas::shutdown`] or until it is dropped.
    pub async fn run_schedules(&self, schedules: Vec<Schedule>, begin: Arc<dyn BeginScheduled>) {
        join_all(schedules.iter().map(|schedule| self.run_schedule(schedule, &*begin))).await;
    }

    /// How schedules stand.
    #[must_use]
    pub fn schedules(&self, schedules: &[Schedule]) -> Vec<ScheduleView> {
        let now_ms = self.inner.clock.now_ms();
        let view = |schedule: &Schedule| {
            let (name, last_ms) = (Arc::clone(&schedule.name), self.last_tick(&schedule.name));
            ScheduleView { name, last_ms, next_ms: schedule.cron.next_after_ms(last_ms.unwrap_or(now_ms).max(now_ms)) }
        };
        schedules.iter().map(view).collect()
    }

    fn last_tick(&self, schedule: &str) -> Option<u64> {
        self.inner.index().ticks.get(schedule).map(|ticks| ticks.decided_ms)
    }

    /// The saga that began last, if it has not ended.
    fn unfinished_before(&self, schedule: &str) -> Option<String> {
        let begun_ms = self.inner.index().ticks.get(schedule)?.begun_ms?;
        let key = scheduled_key(schedule, begun_ms);
        let saga = self.inner.find(&key)?;
        let ended = saga.state().is_ended();
        (!ended).then_some(key)
    }

    async fn run_schedule(&self, schedule: &Schedule, begin: &dyn BeginScheduled) {
        while self.inner.check_open().is_ok() {
            let now_ms = self.inner.clock.now_ms();
            let Some(last_ms) = self.last_tick(&schedule.name) else {
                // A schedule that is new begins with the next time.
                if !self.inner.tick(&schedule.name, now_ms, false).await {
                    self.inner.clock.sleep(AGAIN).await;
                }
                continue;
            };
            let Some(next_ms) = schedule.cron.next_after_ms(last_ms) else { return };
            if next_ms > now_ms {
                self.inner.clock.sleep(Duration::from_millis(next_ms - now_ms)).await;
                continue;
            }
            let oldest_ms = now_ms.saturating_sub(schedule.catch_up_ms);
            if schedule.cron.next_after_ms(next_ms).is_some_and(|after_ms| after_ms < oldest_ms) {
                // What is too late for certain is passed over in one.
                if !self.inner.tick(&schedule.name, oldest_ms.saturating_sub(1), false).await {
                    self.inner.clock.sleep(AGAIN).await;
                }
                continue;
            }
            if let Err(failure) = self.decide(schedule, next_ms, begin).await {
                tracing::warn!(schedule = %schedule.name, %failure, "a scheduled saga could not be begun; trying again");
                self.inner.clock.sleep(AGAIN).await;
            }
        }
    }

    /// What becomes of the time `at_ms`, which has come.
    async fn decide(&self, schedule: &Schedule, at_ms: u64, begin: &dyn BeginScheduled) -> Result<(), Failure> {
        let late_ms = || self.inner.clock.now_ms().saturating_sub(at_ms);
        let mut begins = late_ms() <= schedule.catch_up_ms;
        if begins && let Some(before) = self.unfinished_before(&schedule.name) {
            match schedule.overlap {
                Overlap::Allow => {}
                Overlap::Skip => begins = false,
                Overlap::Queue => {
                    // Its end is all that is waited for; what it answers is its own.
                    let _ = self.wait(&before).await;
                    begins = late_ms() <= schedule.catch_up_ms;
                }
                Overlap::Cancel => {
                    let by = By { actor: "schedule".to_owned(), reason: "the next time has come".to_owned() };
                    match self.cancel(&before, &by).await {
                        Ok(()) | Err(SagaError::Conflict(_) | SagaError::NotFound) => {}
                        Err(error) => tracing::warn!(saga = before, %error, "cannot be cancelled"),
                    }
                }
            }
        }
        if begins {
            begin.begin(&schedule.name, &scheduled_key(&schedule.name, at_ms)).await?;
        } else {
            tracing::info!(schedule = %schedule.name, at_ms, "a scheduled time is left out");
        }
        // A host may have gone down after it began and before that was recorded.
        let begun = begins || self.inner.find(&scheduled_key(&schedule.name, at_ms)).is_some();
        if !self.inner.tick(&schedule.name, at_ms, begun).await {
            self.inner.clock.sleep(AGAIN).await;
        }
        Ok(())
    }
}

impl Inner {
    /// Records that a time was decided on; durable when it answers `true`.
    async fn tick(&self, schedule: &str, at_ms: u64, begun: bool) -> bool {
        let entry = Entry::Ticked(Ticked { schedule: schedule.to_owned(), at_ms, begun });
        let appended = match self.log.append(entry.kind(), VERSION, &entry.encode()) {
            Ok(appended) => appended,
            Err(error) => {
                tracing::error!(schedule, %error, "a schedule cannot be recorded");
                return false;
            }
        };
        if let Err(error) = self.log.flush(appended.end).await {
            tracing::error!(schedule, %error, "a schedule cannot be recorded");
            return false;
        }
        self.index().place(appended.position, &entry);
        true
    }
}
