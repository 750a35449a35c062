//! One call to a callee and the same call made again: while that is worth it, may be done, and is within the budget. What is
//! called, and how, is up to whoever calls: a function of the engine, or an instance of a service.

use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};

use weft_core::{Clock, Failure, Outcome, Reason};

use crate::callee::Callee;
use crate::faults::Random;
use crate::retry;

/// Why a call has no good answer. It may carry more than the failure, such as the answer that was no good.
pub trait Failing: From<Failure> + Send {
    /// The failure.
    fn failure(&self) -> &Failure;
    /// The failure, to be told more of.
    fn failure_mut(&mut self) -> &mut Failure;
}

impl Failing for Failure {
    fn failure(&self) -> &Failure {
        self
    }

    fn failure_mut(&mut self) -> &mut Failure {
        self
    }
}

/// How one call may be made.
pub(crate) struct Attempts<'a> {
    pub callee: &'a Callee,
    pub clock: &'a dyn Clock,
    pub random: Random,
    /// When the answer is no longer wanted.
    pub deadline: Duration,
    /// Whether it may be made more than once at all.
    pub again: bool,
    /// Whether it may be made again though it may have had its effect.
    pub is_idempotent: &'a (dyn Fn() -> bool + Sync),
    /// Whether it costs nothing of the budget to make it again after this failure.
    pub is_free: &'a (dyn Fn(&Failure) -> bool + Sync),
}

impl Attempts<'_> {
    /// The call by `make`, and again while that is worth it.
    pub async fn run<T, E, M>(&self, make: impl Fn() -> M + Sync) -> Result<T, E>
    where
        T: Send,
        E: Failing,
        M: Future<Output = Result<T, E>> + Send,
    {
        let policy = &self.callee.policy.failures.retry;
        self.callee.earn(self.clock.monotonic());
        if !self.again {
            return make().await;
        }
        let (mut ended, mut may_have_happened) = (0, false);
        loop {
            let answer = match self.callee.policy.failures.hedge_after.filter(|_| (self.is_idempotent)()) {
                Some(after) => self.hedged(&make, after).await,
                None => self.attempt(&make).await,
            };
            ended += 1;
            let Err(error) = answer else { return answer };
            may_have_happened |= error.failure().outcome == Outcome::Unknown;
            let error = after(error, may_have_happened);
            let failure = error.failure();
            if ended > policy.max_retries || !retry::is_worth_it(failure, self.is_idempotent) {
                return Err(error);
            }
            let wait_ms = policy.backoff.wait_ms(ended, failure.retry_after_ms, (self.random)());
            let wait = Duration::from_millis(wait_ms);
            // Nobody would see what comes of it.
            let left = self.deadline.saturating_sub(self.clock.monotonic());
            if wait >= left || !self.callee.may_retry((self.is_free)(failure), self.clock.monotonic()) {
                return Err(error);
            }
            tracing::debug!(callee = %self.callee.policy.component, %failure, wait_ms, "a call is made again");
            // An answer that is no good holds on to its connection.
            drop(error);
            self.clock.sleep(wait).await;
        }
    }

    /// A call, and after a while a second beside it: the first answer counts.
    async fn hedged<T, E, M>(&self, make: &(impl Fn() -> M + Sync), wait: Duration) -> Result<T, E>
    where
        T: Send,
        E: Failing,
        M: Future<Output = Result<T, E>> + Send,
    {
        let first = Box::pin(self.attempt(make));
        let first = match select(first, self.clock.sleep(wait)).await {
            Either::Left((answer, _)) => return answer,
            Either::Right(((), first)) => first,
        };
        // It takes a place like any other call, or is not made.
        let Some(place) = self.callee.bulkhead.try_enter() else { return first.await };
        if !self.callee.may_hedge(self.clock.monotonic()) {
            return first.await;
        }
        let second = Box::pin(async {
            let answer = self.attempt(make).await;
            drop(place);
            answer
        });
        let (error, other) = match select(first, second).await {
            Either::Left((Ok(answer), _)) | Either::Right((Ok(answer), _)) => return Ok(answer),
            Either::Left((Err(error), other)) => (error, Either::Left(other)),
            Either::Right((Err(error), other)) => (error, Either::Right(other)),
        };
        let may_have_happened = error.failure().outcome == Outcome::Unknown;
        drop(error);
        other.await.map_err(|last| after(last, may_have_happened))
    }

    async fn attempt<T, E, M>(&self, make: &(impl Fn() -> M + Sync)) -> Result<T, E>
    where
        E: Failing,
        M: Future<Output = Result<T, E>> + Send,
    {
        match self.callee.policy.failures.retry.attempt_timeout {
            Some(timeout) => within(self.clock, timeout, self.callee, make()).await,
            None => make().await,
        }
    }
}

/// The error of the last of several attempts.
fn after<E: Failing>(mut error: E, may_have_happened: bool) -> E {
    if may_have_happened {
        error.failure_mut().outcome = Outcome::Unknown;
    }
    error
}

/// An answer, if it comes in time.
pub(crate) async fn within<T, E: From<Failure>>(
    clock: &dyn Clock,
    time: Duration,
    callee: &Callee,
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    match select(pin!(answer), clock.sleep(time)).await {
        Either::Left((answer, _)) => answer,
        Either::Right(_) => {
            let message = format!("{} did not answer in time", callee.policy.name());
            Err(Failure::unknown(callee.policy.fault(), Reason::Deadline, message).into())
        }
    }
}
