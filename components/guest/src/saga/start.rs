//! Starting a saga from a request: the call goes on after the answer, and is never dropped.

use std::future::Future;
use std::pin::pin;

use futures::channel::oneshot;
use futures::future::{Either, select};

use serde::Serialize;

use super::{Status, failure_of, handles};
use crate::http::{Problem, Request};
use crate::{Failure, Fallible, clock, json};

/// Where a saga stands when the wait for it ends.
#[derive(Debug)]
pub enum Started<T> {
    /// Durably started, and on its way.
    Running,
    /// It has answered.
    Answered(T),
}

/// 422 if the request's `Idempotency-Key`, of which `key` was made, has started a saga with another input. A request
/// without that header starts a saga of its own and is never refused.
pub async fn check_idempotency<I: Serialize>(request: &Request, key: &str, input: &I) -> Result<(), Problem> {
    if request.header("idempotency-key").is_none() {
        return Ok(());
    }
    let input = json::canonical(input).map_err(|error| Problem::internal(&error))?;
    match handles::status(key.to_string()).await {
        Ok(saga) if saga.input != input => Err(Problem::key_reused()),
        Ok(_) | Err(handles::Error::NotFound) => Ok(()),
        Err(error) => Err(failure_of(&error).into()),
    }
}

/// Starts a saga by its typed call and answers once the start is durable (or the call has answered).
pub async fn start<T: 'static, E: Fallible + 'static>(
    key: &str,
    call: impl Future<Output = Result<T, E>> + 'static,
) -> Result<Started<Result<T, E>>, Failure> {
    start_and_wait(key, 0, call).await
}

/// Starts a saga and waits up to `seconds` for its answer; past them, it is durably started and goes on.
pub async fn start_and_wait<T: 'static, E: Fallible + 'static>(
    key: &str,
    seconds: u32,
    call: impl Future<Output = Result<T, E>> + 'static,
) -> Result<Started<Result<T, E>>, Failure> {
    let (sender, answer) = oneshot::channel();
    wit_bindgen::spawn_local(async move {
        // Nobody listens once the wait is over; the saga's journal keeps the answer.
        let _ = sender.send(call.await);
    });
    let mut answer = pin!(answer);
    if seconds > 0 {
        let wait = pin!(clock::sleep_ms(u64::from(seconds) * 1000));
        if let Either::Left((answered, _)) = select(answer.as_mut(), wait).await {
            return settle(key, answered).await;
        }
    }
    // The call may end first: an answer at once, or a refusal before anything was started.
    match select(answer, pin!(handles::started(key.to_string()))).await {
        Either::Left((answered, _)) => settle(key, answered).await,
        Either::Right((Ok(()), _)) => Ok(Started::Running),
        Either::Right((Err(error), _)) => Err(failure_of(&error)),
    }
}

/// What the end of the call says of the saga: a call may end without an answer (a long wait suspends the run) while
/// the saga goes on.
async fn settle<T, E: Fallible>(
    key: &str,
    answered: Result<Result<T, E>, oneshot::Canceled>,
) -> Result<Started<Result<T, E>>, Failure> {
    let answered = answered.map_err(|_| Failure::unknown("the call ended without an answer"))?;
    let unanswered = answered.as_ref().err().is_some_and(|error| error.failure().is_some());
    if unanswered
        && let Ok(saga) = handles::status(key.to_string()).await
        && matches!(saga.status, Status::Running | Status::Paused | Status::Compensating)
    {
        return Ok(Started::Running);
    }
    Ok(Started::Answered(answered))
}
