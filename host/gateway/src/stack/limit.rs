//! Rate limits, asked twice: before the token those for which it does not matter who calls, so that guessing tokens is
//! limited as well, and after it the others. Who is refused by the second is not counted by the first. Where hosts count together, these are
//! asked after the host's own counts have admitted the request.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::{BoxFuture, Either};
use http::Response;
use tower::Service;
use weft_core::shared_limits::SharedLimits;

use super::{Answered, Or, Routed, always_ready, answer};
use crate::body::ResponseBody;
use crate::limit::Refusal;
use crate::problem::Problem;
use crate::record::Record;

/// When the limits are asked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum When {
    BeforeToken,
    AfterToken,
}

#[derive(Clone, Debug)]
pub(crate) struct Limited<S> {
    pub when: When,
    pub inner: S,
}

impl<S> Service<Routed> for Limited<S>
where
    S: Service<Routed, Response = Response<ResponseBody>, Error = Problem, Future: Send> + Clone + Send + 'static,
{
    type Response = Response<ResponseBody>;
    type Error = Problem;
    // A box only where others are waited for.
    type Future = Either<Or<S::Future>, BoxFuture<'static, Answered>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Problem>> {
        always_ready(context)
    }

    fn call(&mut self, routed: Routed) -> Self::Future {
        match limit(&routed, self.when) {
            Err(problem) => Either::Left(answer(Err(problem))),
            Ok(false) => Either::Left(Either::Right(self.inner.call(routed))),
            Ok(true) => match routed.exchange.served.shared_limits.clone() {
                None => Either::Left(Either::Right(self.inner.call(routed))),
                Some(shared) => Either::Right(Box::pin(together(shared, self.when, self.inner.clone(), routed))),
            },
        }
    }
}

/// Asks those who count for several hosts.
async fn together<S>(shared: Arc<dyn SharedLimits>, when: When, mut inner: S, routed: Routed) -> Answered
where
    S: Service<Routed, Response = Response<ResponseBody>, Error = Problem>,
{
    let record = &routed.exchange.record;
    let [before, after] = &record.admitted;
    let place = match when {
        When::BeforeToken => before,
        When::AfterToken => after,
    };
    if let Some(admission) = place.get()
        && let Err(refusal) = admission.share(&*shared).await
    {
        for admitted in [before, after].into_iter().filter_map(|place| place.get()) {
            admitted.give_back();
            admitted.unshare(&shared);
        }
        return Err(refused(record, refusal));
    }
    inner.call(routed).await
}

/// Asks the host's own counts; answers whether there were any.
fn limit(routed: &Routed, when: When) -> Result<bool, Problem> {
    let Some(limits) = routed.route.limits.get() else { return Ok(false) };
    let record = &routed.exchange.record;
    let clock = &record.shared.clock;
    let now_ns = || u64::try_from(clock.monotonic().as_nanos()).unwrap_or(u64::MAX);
    let address = record.client_ip();
    let [before, after] = &record.admitted;
    let (asked, place) = match when {
        When::BeforeToken => (limits.admit_address(address, now_ns), before),
        When::AfterToken => (limits.admit_caller(routed.identity.as_deref(), address, now_ns), after),
    };
    match asked {
        Ok(Some(admission)) => {
            // Each is asked once in the life of a request.
            drop(place.set(admission));
            Ok(true)
        }
        Ok(None) => Ok(false),
        Err(refusal) => {
            if let Some(admitted) = before.get() {
                admitted.give_back();
                routed.exchange.served.shared_limits.iter().for_each(|shared| admitted.unshare(shared));
            }
            Err(refused(record, refusal))
        }
    }
}

fn refused(record: &Record, refusal: Refusal) -> Problem {
    let _ = record.refused.set(refusal.longest.clone());
    Problem::rate_limited(refusal)
}
