//! What checks say of one instance: a pure state machine, told what time it is. Asking is up to whoever has a network.

use std::time::Duration;

use weft_core::manifest::service::HealthCheck;

/// Whether an instance is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthState {
    /// It has not been asked yet. It gets requests.
    Unknown,
    /// It answered as it should.
    Passing,
    /// It did not, or was not renewed in time.
    Critical,
}

impl HealthState {
    /// As it is shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Passing => "passing",
            Self::Critical => "critical",
        }
    }
}

/// What is known of one instance.
#[derive(Clone, Debug)]
pub(crate) struct Health {
    state: HealthState,
    /// Since when it is in that state.
    since: Duration,
    /// When it is to be asked again; never while it is being asked.
    next: Option<Duration>,
    /// What was wrong the last time.
    problem: Option<String>,
    /// When it has to be renewed.
    expires: Option<Duration>,
}

/// Said of an instance that was not renewed.
const NOT_RENEWED: &str = "it was not renewed in time";

impl Health {
    pub fn new(policy: &HealthCheck, ttl: Option<Duration>, now: Duration) -> Self {
        let expires = ttl.map(|ttl| now + ttl);
        Self { state: HealthState::Unknown, since: now, next: policy.enabled.then_some(now), problem: None, expires }
    }

    /// Whether it is to be asked now; if so, that it is being asked.
    pub fn begin(&mut self, now: Duration) -> bool {
        let is_due = self.next.is_some_and(|next| next <= now);
        if is_due {
            self.next = None;
        }
        is_due
    }

    /// Takes in what a check that began at `began` found. Answers whether the state is another.
    pub fn checked(&mut self, found: Result<(), String>, policy: &HealthCheck, began: Duration, now: Duration) -> bool {
        self.next = policy.enabled.then(|| (began + Duration::from_millis(policy.interval_ms.into())).max(now));
        match found {
            Err(problem) => self.turn_critical(problem, now),
            Ok(()) if self.is_expired(now) => self.turn_critical(NOT_RENEWED.to_owned(), now),
            Ok(()) => self.turn(HealthState::Passing, None, now),
        }
    }

    /// Says that it is there still. Answers whether the state is another.
    pub fn renew(&mut self, ttl: Duration, now: Duration) -> bool {
        // What a check has found is another's to say.
        let was_given_up = self.problem.as_deref() == Some(NOT_RENEWED);
        self.expires = Some(now + ttl);
        was_given_up && self.turn(HealthState::Passing, None, now)
    }

    /// Looks whether it was renewed. Answers whether the state is another.
    pub fn look(&mut self, now: Duration) -> bool {
        self.is_expired(now) && !self.is_critical() && self.turn_critical(NOT_RENEWED.to_owned(), now)
    }

    pub fn state(&self) -> HealthState {
        self.state
    }

    pub fn is_critical(&self) -> bool {
        self.state == HealthState::Critical
    }

    /// Since when it is as it is.
    pub fn since(&self) -> Duration {
        self.since
    }

    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// Whether it has been critical for so long that it is given up.
    pub fn is_lost(&self, policy: &HealthCheck, now: Duration) -> bool {
        let patience = Duration::from_millis(policy.remove_after_ms.into());
        self.is_critical() && now.saturating_sub(self.since) >= patience
    }

    /// When there is something to be done again: to ask, to see that it was not renewed, or to give it up, if it `may_be_lost`.
    pub fn next(&self, policy: &HealthCheck, may_be_lost: bool) -> Option<Duration> {
        let lost = (may_be_lost && self.is_critical())
            .then(|| self.since + Duration::from_millis(policy.remove_after_ms.into()));
        let expires = self.expires.filter(|_| !self.is_critical());
        [self.next, lost, expires].into_iter().flatten().min()
    }

    fn is_expired(&self, now: Duration) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    fn turn_critical(&mut self, problem: String, now: Duration) -> bool {
        self.turn(HealthState::Critical, Some(problem), now)
    }

    fn turn(&mut self, state: HealthState, problem: Option<String>, now: Duration) -> bool {
        self.problem = problem;
        let is_another = self.state != state;
        if is_another {
            (self.state, self.since) = (state, now);
        }
        is_another
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_instance_is_asked_every_ten_seconds_and_given_up_after_a_minute() {
        let policy = HealthCheck::default();
        let mut health = Health::new(&policy, None, seconds(0));
        assert!(health.begin(seconds(0)) && !health.begin(seconds(0)), "once at a time");
        assert!(health.checked(Ok(()), &policy, seconds(0), seconds(1)));
        assert_eq!((health.state(), health.next(&policy, true)), (HealthState::Passing, Some(seconds(10))));
        assert!(!health.begin(seconds(9)) && health.begin(seconds(10)));
        assert!(health.checked(Err("503".to_owned()), &policy, seconds(10), seconds(12)));
        assert!(
            !health.checked(Err("refused".to_owned()), &policy, seconds(20), seconds(21)),
            "it was critical before"
        );
        assert_eq!((health.problem(), health.since()), (Some("refused"), seconds(12)));
        assert!(!health.is_lost(&policy, seconds(71)) && health.is_lost(&policy, seconds(72)));
        assert!(health.checked(Ok(()), &policy, seconds(70), seconds(72)));
        assert!(!health.is_lost(&policy, seconds(999)));
    }

    #[test]
    fn an_instance_that_has_to_be_renewed_is_critical_until_it_is() {
        let policy = HealthCheck { enabled: false, ..HealthCheck::default() };
        let mut health = Health::new(&policy, Some(seconds(5)), seconds(0));
        assert!(!health.begin(seconds(1)));
        assert_eq!(health.next(&policy, true), Some(seconds(5)));
        assert!(!health.renew(seconds(5), seconds(3)) && !health.look(seconds(7)));
        assert!(health.look(seconds(8)) && health.is_critical());
        assert_eq!(health.next(&policy, true), Some(seconds(68)));
        assert!(health.renew(seconds(5), seconds(9)));
        assert_eq!(health.state(), HealthState::Passing);
        // A good answer does not stand for a renewal, nor a renewal for a good answer.
        let asked = HealthCheck::default();
        assert!(health.checked(Ok(()), &asked, seconds(20), seconds(20)) && health.is_critical());
        assert!(health.renew(seconds(60), seconds(21)));
        assert!(health.checked(Err("refused".to_owned()), &asked, seconds(22), seconds(22)));
        assert!(!health.renew(seconds(60), seconds(23)) && health.is_critical());
    }
}
