//! Sagas of a running host as they are asked about: lists, one, a timeline, queries, and transitions as they happen. What
//! is done to them is in `hands`.

use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt as _, StreamExt as _};
use hyper::StatusCode;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use weft_durable::{SagaError, SagaEvent, SagaFilter, Sagas};

use super::super::api::{Begun, Ordered, Problem, Saga, SagaList, Start, Timeline, Transition};
use super::super::server::{Done, SagaOperations, problem};
use super::Running;
use super::hands::Hands;

/// The most sagas of one timeline.
const MAX_TIMELINE: usize = 100;
/// What a saga's last transition is called.
const ENDS: [&str; 3] = ["saga.completed", "saga.compensated", "saga.failed"];

impl SagaOperations for Running {
    fn list(&self, filter: &SagaFilter, limit: usize, cursor: Option<u64>) -> SagaList {
        SagaList::from(&self.sagas.list(filter, limit, cursor))
    }

    fn show(&self, id: &str) -> Result<Saga, Problem> {
        Ok(Saga::from(&self.sagas.show(id).map_err(|error| explained(id, &error))?))
    }

    fn timeline(&self, id: &str) -> Result<Timeline, Problem> {
        let now_ms = self.sagas.clock().now_ms();
        match self.sagas.show(id) {
            Ok(saga) => return Ok(Timeline { now_ms, sagas: vec![Saga::from(&saga)], more: false }),
            Err(SagaError::NotFound) => {}
            Err(error) => return Err(explained(id, &error)),
        }
        let filter = SagaFilter { correlation_id: Some(id.to_owned()), ..SagaFilter::default() };
        let page = self.sagas.list(&filter, MAX_TIMELINE, None);
        let mut sagas = page.items.iter().rev().map(|saga| self.show(&saga.key)).collect::<Result<Vec<_>, _>>()?;
        if sagas.is_empty() {
            let text = format!("there is no saga {id:?}, and none with that correlation id");
            return Err(problem(StatusCode::NOT_FOUND, text));
        }
        sagas.sort_by_key(|saga| saga.entry.started_at_ms);
        Ok(Timeline { now_ms, sagas, more: page.next_cursor.is_some() })
    }

    fn query(&self, id: &str, name: &str) -> Result<serde_json::Value, Problem> {
        let exposed = self.sagas.query(id, name).map_err(|error| explained(id, &error))?;
        let Some(value) = exposed else {
            let text = format!("saga {id:?} has exposed nothing under {name:?}");
            return Err(problem(StatusCode::NOT_FOUND, text));
        };
        // What is no JSON was not written by our library; it is shown as text.
        let as_text = || serde_json::Value::String(String::from_utf8_lossy(&value).into_owned());
        Ok(serde_json::from_slice(&value).unwrap_or_else(|_| as_text()))
    }

    fn events(&self, id: Option<&str>) -> Result<BoxStream<'static, Transition>, Problem> {
        // Before it is looked at, so that its end is not missed between the two.
        let receiver = self.sagas.follow();
        let Some(id) = id else { return Ok(all_to_come(receiver).boxed()) };
        self.sagas.summary(id).map_err(|error| explained(id, &error))?;
        Ok(until_its_end(receiver, self.sagas.clone(), id.to_owned()).boxed())
    }

    fn start(&self, start: Start) -> BoxFuture<'_, Result<Begun, Problem>> {
        self.hands().start(start)
    }

    fn order(&self, id: String, ordered: Ordered) -> BoxFuture<'_, Result<Done, Problem>> {
        self.hands().order(id, ordered)
    }
}

impl Running {
    fn hands(&self) -> Hands {
        Hands { host: Arc::clone(&self.host), sagas: self.sagas.clone(), audit: self.audit.clone() }
    }
}

fn all_to_come(receiver: Receiver<Arc<SagaEvent>>) -> impl futures::Stream<Item = Transition> + Send {
    stream::unfold(receiver, |mut receiver| async {
        loop {
            match receiver.recv().await {
                Ok(event) => return Some((Transition::from(&*event), receiver)),
                Err(RecvError::Lagged(missed)) => tracing::debug!(missed, "a reader of transitions was too slow"),
                Err(RecvError::Closed) => return None,
            }
        }
    })
}

/// Transitions of one saga; the last is its end, unless that was missed.
fn until_its_end(
    receiver: Receiver<Arc<SagaEvent>>,
    sagas: Sagas,
    id: String,
) -> impl futures::Stream<Item = Transition> + Send {
    let has_ended = move |sagas: &Sagas, id: &str| sagas.summary(id).map_or(true, |saga| saga.status.is_final());
    let ended = has_ended(&sagas, &id);
    stream::unfold((receiver, sagas, id, ended), move |(mut receiver, sagas, id, ended)| {
        async move {
            if ended {
                return None;
            }
            loop {
                match receiver.recv().await {
                    Ok(event) if *event.saga == *id => {
                        let ends = ENDS.contains(&event.name);
                        return Some((Transition::from(&*event), (receiver, sagas, id, ends)));
                    }
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) if has_ended(&sagas, &id) => return None,
                    Err(RecvError::Lagged(missed)) => tracing::debug!(missed, "a reader of transitions was too slow"),
                    Err(RecvError::Closed) => return None,
                }
            }
        }
        .boxed()
    })
}

/// A refusal of the engine, with its status.
pub(super) fn explained(id: &str, error: &SagaError) -> Problem {
    let status = match error {
        SagaError::NotFound => return problem(StatusCode::NOT_FOUND, format!("there is no saga {id:?}")),
        SagaError::KeyReused | SagaError::Conflict(_) | SagaError::Mismatch(_) => StatusCode::CONFLICT,
        SagaError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        SagaError::LeaseLost | SagaError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    problem(status, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_have_their_status() {
        let status = |error: SagaError| explained("s", &error).status;
        assert_eq!(status(SagaError::NotFound), 404);
        assert_eq!(status(SagaError::KeyReused), 409);
        assert_eq!(status(SagaError::Conflict("it has ended".into())), 409);
        assert_eq!(status(SagaError::Mismatch("other steps".into())), 409);
        assert_eq!(status(SagaError::TooLarge("1,000 signals".into())), 413);
        assert_eq!(status(SagaError::Unavailable("the disk is full".into())), 503);
    }
}
