//! Rate limits, asked twice: before the token those for which it does not matter who calls, so that guessing tokens is
//! limited as well, and after it the others. Who is refused by the second is not counted by the first.

use std::task::{Context, Poll};

use futures::future::Either;
use http::Response;
use tower::Service;

use super::{Or, Routed, always_ready, answer};
use crate::body::ResponseBody;
use crate::limit::{Admission, Refusal};
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
    S: Service<Routed, Response = Response<ResponseBody>, Error = Problem>,
{
    type Response = Response<ResponseBody>;
    type Error = Problem;
    type Future = Or<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Problem>> {
        always_ready(context)
    }

    fn call(&mut self, routed: Routed) -> Self::Future {
        match limit(&routed, self.when) {
            Ok(()) => Either::Right(self.inner.call(routed)),
            Err(problem) => answer(Err(problem)),
        }
    }
}

fn limit(routed: &Routed, when: When) -> Result<(), Problem> {
    let Some(limits) = routed.route.limits.get() else { return Ok(()) };
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
            Ok(())
        }
        Ok(None) => Ok(()),
        Err(refusal) => {
            before.get().into_iter().for_each(Admission::give_back);
            Err(refused(record, refusal))
        }
    }
}

fn refused(record: &Record, refusal: Refusal) -> Problem {
    let _ = record.refused.set(refusal.longest.clone());
    Problem::rate_limited(refusal)
}
