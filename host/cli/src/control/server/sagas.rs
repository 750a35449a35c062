//! What the control socket is asked about sagas: lists, one saga, its timeline and its queries, what happens as it
//! happens, starts and orders.

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};

use weft_durable::{SagaFilter, Status};

use super::super::api::{
    Begun, Migrated, Order, Ordered, Problem, Saga, SagaEntry, SagaList, Start, Timeline, Transition,
};
use super::{Body, Query, bad, body, decoded, json, lines, named, nothing_at, parsed};

/// How many sagas one page has if it is not said.
const DEFAULT_PAGE: usize = 50;

/// What a host can be asked about its sagas. Problems are 404 if there is no such saga, 409 if it stands where what is
/// asked cannot be done, 413 if a limit was passed, 503 if the host takes nothing now.
pub trait SagaOperations: Send + Sync + 'static {
    /// Sagas, newest first.
    fn list(&self, filter: &SagaFilter, limit: usize, cursor: Option<u64>) -> SagaList;
    /// One saga.
    ///
    /// # Errors
    /// If there is none, or it cannot be read.
    fn show(&self, id: &str) -> Result<Saga, Problem>;
    /// The saga of this id, or all those of this correlation id.
    ///
    /// # Errors
    /// If there is none, or one cannot be read.
    fn timeline(&self, id: &str) -> Result<Timeline, Problem>;
    /// What a saga has exposed under a name last.
    ///
    /// # Errors
    /// If there is no such saga, or it has exposed nothing under that name.
    fn query(&self, id: &str, name: &str) -> Result<serde_json::Value, Problem>;
    /// Transitions from now on: of all sagas, or of one, until it ends.
    ///
    /// # Errors
    /// If there is no such saga.
    fn events(&self, id: Option<&str>) -> Result<BoxStream<'static, Transition>, Problem>;
    /// Starts a saga.
    fn start(&self, start: Start) -> BoxFuture<'_, Result<Begun, Problem>>;
    /// Does something to a saga; it is durable, and in the audit log, when this answers.
    fn order(&self, id: String, ordered: Ordered) -> BoxFuture<'_, Result<Done, Problem>>;
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq)]
pub enum Done {
    /// The saga stands there now.
    Saga(SagaEntry),
    /// Its code was tried or changed.
    Migrated(Migrated),
}

/// Answers a request for a path below `/v1/sagas`; `rest` is empty or begins with a slash.
pub(super) async fn route(
    sagas: &dyn SagaOperations,
    rest: &str,
    query: &Query,
    request: Request<Incoming>,
) -> Result<Response<Body>, Problem> {
    let segments: Vec<&str> = rest.split('/').skip(1).collect();
    let is_get = request.method() == Method::GET;
    let is_post = request.method() == Method::POST;
    match segments.as_slice() {
        [] if is_get => {
            let limit = query.number("limit")?.unwrap_or(DEFAULT_PAGE);
            Ok(json(&sagas.list(&filter(query)?, limit, query.number("cursor")?)))
        }
        [] if is_post => {
            let begun = sagas.start(parsed::<Start>(&body(request).await?, "start")?).await?;
            let mut response = json(&begun);
            *response.status_mut() = if begun.existing { StatusCode::OK } else { StatusCode::CREATED };
            Ok(response)
        }
        ["events"] if is_get => {
            let id = query.get("saga");
            Ok(lines(sagas.events(id)?))
        }
        [id] if is_get => Ok(json(&sagas.show(&decoded(id)?)?)),
        [id, "timeline"] if is_get => Ok(json(&sagas.timeline(&decoded(id)?)?)),
        [id, "queries", name] if is_get => Ok(json(&sagas.query(&decoded(id)?, &decoded(name)?)?)),
        [id, order] if is_post => {
            let id = decoded(id)?;
            let ordered = Ordered::from_body(&decoded(order)?, &body(request).await?).map_err(bad)?;
            check(&ordered)?;
            Ok(match sagas.order(id, ordered).await? {
                Done::Saga(saga) => json(&saga),
                Done::Migrated(migrated) => json(&migrated),
            })
        }
        _ => Err(nothing_at(request.method(), &format!("/v1/sagas{rest}"))),
    }
}

fn check(ordered: &Ordered) -> Result<(), Problem> {
    named(&ordered.actor)?;
    if ordered.order.needs_reason() && ordered.reason.trim().is_empty() {
        return Err(bad("this takes a reason"));
    }
    match &ordered.order {
        Order::Signals(signal) if signal.name.is_empty() => Err(bad("the name of a signal has at least one byte")),
        _ => Ok(()),
    }
}

fn filter(query: &Query) -> Result<SagaFilter, Problem> {
    let owned = |name: &str| query.get(name).map(ToOwned::to_owned);
    let status = |name: &str| Status::parse(name).ok_or_else(|| bad(format!("there is no status {name:?}")));
    let pair = |text: &str| {
        let pair = text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        pair.ok_or_else(|| bad(format!("an attribute is written as name=value, not {text:?}")))
    };
    Ok(SagaFilter {
        status: query.get("status").map(status).transpose()?,
        name: owned("name"),
        correlation_id: owned("correlation"),
        since_ms: query.number("since_ms")?,
        until_ms: query.number("until_ms")?,
        attributes: query.all("attribute").map(pair).collect::<Result<_, _>>()?,
    })
}
