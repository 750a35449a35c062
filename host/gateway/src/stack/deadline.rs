//! The whole-request deadline, up to the head of the answer; its body goes on under the same deadline.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

use http::Response;
use pin_project_lite::pin_project;
use tower::Service;

use super::{Answered, Routed, always_ready};
use crate::body::ResponseBody;
use crate::deadline::Deadline;
use crate::problem::Problem;
use crate::record::Record;

#[derive(Clone, Debug)]
pub(crate) struct Within<S> {
    pub inner: S,
}

impl<S> Service<Routed> for Within<S>
where
    S: Service<Routed, Response = Response<ResponseBody>, Error = Problem>,
{
    type Response = Response<ResponseBody>;
    type Error = Problem;
    type Future = Timed<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Problem>> {
        always_ready(context)
    }

    fn call(&mut self, routed: Routed) -> Self::Future {
        let record = Arc::clone(&routed.exchange.record);
        let deadline = Deadline::at(Arc::clone(&record.shared.clock), routed.matched.deadline);
        Timed { inner: self.inner.call(routed), deadline, record }
    }
}

pin_project! {
    pub(crate) struct Timed<F> {
        #[pin]
        inner: F,
        deadline: Deadline,
        record: Arc<Record>,
    }
}

impl<F: Future<Output = Answered>> Future for Timed<F> {
    type Output = Answered;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answered> {
        let this = self.project();
        if let Poll::Ready(answered) = this.inner.poll(context) {
            return Poll::Ready(answered);
        }
        // Whoever let the time pass is told so: the client that does not send its body, or the function.
        this.deadline.poll_passed(context).map(|()| {
            let client = this.record.awaits_body.load(Relaxed);
            Err(if client { Problem::request_timeout() } else { Problem::deadline() })
        })
    }
}
