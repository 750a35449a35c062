//! A request under an `Idempotency-Key` is done once: a repetition gets the answer of the first, 422 if it is another
//! request, and 409 while the first is in work.
//!
//! The order, which no two repetitions can get between: take the key into work, look for a kept answer (whoever had the key has kept
//! it before giving the key free), do the request, keep its answer, give the key free, answer. What a client has seen is
//! therefore what a repetition gets, also after a crash. What is in work is in memory alone: after a crash the key can be
//! tried again, and the function's own commit under the key sees to it that nothing is done twice.
//!
//! The request goes on when its client goes away, up to its deadline, so that the answer is there for the repetition. Until it has come to
//! its end it holds its places, as if the client still waited.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures::future::{BoxFuture, Either, select};
use futures::{StreamExt as _, stream};
use http::Response;
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, BodyStream, StreamBody};
use tower::Service;
use weft_core::answers::{Hash, KeptAnswer};

use super::{Answered, Or, Routed, always_ready, answer};
use crate::body::{BoxError, RequestBody, ResponseBody, full};
use crate::deadline::Deadline;
use crate::idempotency::{Asked, Claim, Idempotency, asked, is_kept, is_whole, kept, replayed};
use crate::problem::Problem;
use crate::record::{Hold, Record};

#[derive(Clone, Debug)]
pub(crate) struct Idempotent<S> {
    pub inner: S,
}

impl<S> Service<Routed> for Idempotent<S>
where
    S: Service<Routed, Response = Response<ResponseBody>, Error = Problem, Future: Send> + Clone + Send + 'static,
{
    type Response = Response<ResponseBody>;
    type Error = Problem;
    /// Only a request under a key is boxed.
    type Future = Either<Or<S::Future>, BoxFuture<'static, Answered>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Problem>> {
        always_ready(context)
    }

    fn call(&mut self, routed: Routed) -> Self::Future {
        if routed.exchange.record.shared.idempotency.is_none() {
            return Either::Left(Either::Right(self.inner.call(routed)));
        }
        match asked(&routed) {
            Ok(None) => Either::Left(Either::Right(self.inner.call(routed))),
            Ok(Some(asked)) => Either::Right(Box::pin(once(self.inner.clone(), routed, asked))),
            Err(problem) => Either::Left(answer(Err(problem))),
        }
    }
}

async fn once<S>(inner: S, routed: Routed, asked: Asked) -> Answered
where
    S: Service<Routed, Response = Response<ResponseBody>, Error = Problem, Future: Send> + Send + 'static,
{
    let record = Arc::clone(&routed.exchange.record);
    let Some(idempotency) = &record.shared.idempotency else { return Err(Problem::internal()) };
    let claim = idempotency.claims.claim(asked.key.request);
    if let Some(kept) = find(idempotency, &asked, &record).await? {
        drop(claim);
        let fingerprint = kept.fingerprint;
        // Not kept in memory while the client sends the rest of its body.
        drop(kept);
        is_the_same(fingerprint, &asked, routed.exchange.body).await?;
        let kept = find(idempotency, &asked, &record).await?.ok_or_else(Problem::idempotency_in_flight)?;
        return replayed(kept).ok_or_else(Problem::internal);
    }
    let claim = claim.ok_or_else(Problem::idempotency_in_flight)?;
    match idempotency.in_work.spawn(first(inner, routed, asked, claim)).await {
        Ok(answered) => answered,
        // Told of where panics are told of.
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Problem::internal()),
        },
    }
}

async fn find(idempotency: &Idempotency, asked: &Asked, record: &Record) -> Result<Option<KeptAnswer>, Problem> {
    idempotency.answers.find(asked.key).await.map_err(|failure| {
        tracing::error!(%failure, request_id = record.request_id(), "kept answers cannot be read");
        Problem::answers_unavailable()
    })
}

/// Whether this is the request that was done before.
///
/// # Errors
/// 422 if it is another.
async fn is_the_same(fingerprint: Hash, asked: &Asked, mut body: RequestBody) -> Result<(), Problem> {
    let digest = body.digested();
    while let Some(frame) = body.frame().await {
        if frame.is_err() {
            // The body has noted what is wrong with it, and that is what the client gets.
            return Err(Problem::bad_request("The request body broke off."));
        }
    }
    if asked.fingerprint.with(&digest) == Some(fingerprint) { Ok(()) } else { Err(Problem::idempotency_key_reused()) }
}

/// Does the request, and keeps its answer if a repetition may get it.
async fn first<S>(mut inner: S, mut routed: Routed, asked: Asked, claim: Claim) -> Answered
where
    S: Service<Routed, Response = Response<ResponseBody>, Error = Problem>,
{
    let record = Arc::clone(&routed.exchange.record);
    let _hold = Hold::new(&record);
    let deadline = Deadline::at(Arc::clone(&record.shared.clock), routed.matched.deadline);
    let digest = routed.exchange.body.digested();
    let (head, body) = inner.call(routed).await?.into_parts();
    if !is_kept(&head) || record.body_fault.get().is_some() {
        return Ok(Response::from_parts(head, held(body, claim)));
    }
    let body = match collected(body, record.policy.kept.answer_bytes, deadline).await? {
        Collected::Whole(body) if is_whole(&head, body.len()) => body,
        // The client shall see that it broke off, for which its length must not be known here.
        Collected::Whole(body) => return Ok(Response::from_parts(head, held(of_unknown_length(body), claim))),
        Collected::Part(body) => return Ok(Response::from_parts(head, held(body, claim))),
    };
    // Of a body that the function has not read to its end one cannot tell whether another is the same.
    let fingerprint = asked.fingerprint.with(&digest).filter(|_| record.body_fault.get().is_none());
    let answer = fingerprint.map(|fingerprint| kept(&head, &body, fingerprint));
    if let (Some(answer), Some(idempotency)) = (answer, &record.shared.idempotency)
        && let Err(failure) = idempotency.answers.keep(asked.key, answer, record.policy.kept.bounds).await
    {
        tracing::error!(%failure, request_id = record.request_id(), "an answer is not kept for a repeated request");
    }
    drop(claim);
    Ok(Response::from_parts(head, full(body)))
}

enum Collected {
    Whole(Bytes),
    /// It is too long, or broke off: what has come of it, and the rest.
    Part(ResponseBody),
}

/// The body once it has come, if that is no more than `most` bytes.
///
/// # Errors
/// 504 if it does not come to its end in time.
async fn collected(mut body: ResponseBody, most: usize, mut deadline: Deadline) -> Result<Collected, Problem> {
    let mut bytes = BytesMut::new();
    loop {
        let frame = {
            let passed = std::future::poll_fn(|context| deadline.poll_passed(context));
            match select(body.frame(), passed).await {
                Either::Left((frame, _)) => frame,
                Either::Right(_) => return Err(Problem::deadline()),
            }
        };
        let Some(frame) = frame else { return Ok(Collected::Whole(bytes.freeze())) };
        let fits = |data: &Bytes| bytes.len() + data.len() <= most;
        match frame.map(Frame::into_data) {
            Ok(Ok(data)) if fits(&data) => bytes.extend_from_slice(&data),
            Ok(Ok(data)) => return Ok(part(bytes, Ok(Frame::data(data)), body)),
            // Trailers are not kept, and neither is what has some.
            Ok(Err(frame)) => return Ok(part(bytes, Ok(frame), body)),
            Err(error) => return Ok(part(bytes, Err(error), body)),
        }
    }
}

fn part(bytes: BytesMut, next: Result<Frame<Bytes>, BoxError>, rest: ResponseBody) -> Collected {
    let begun = stream::iter([Ok(Frame::data(bytes.freeze())), next]);
    Collected::Part(StreamBody::new(begun.chain(BodyStream::new(rest))).boxed_unsync())
}

fn of_unknown_length(body: Bytes) -> ResponseBody {
    StreamBody::new(stream::iter([Ok(Frame::data(body))])).boxed_unsync()
}

/// The key is in work until the body has come to its end, or is given up.
fn held(body: ResponseBody, claim: Claim) -> ResponseBody {
    Held { body, _claim: claim }.boxed_unsync()
}

struct Held {
    body: ResponseBody,
    _claim: Claim,
}

impl Body for Held {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        std::pin::Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}
