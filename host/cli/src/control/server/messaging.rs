//! What the control socket is asked about events, subscriptions and dead letters.

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use hyper::body::Incoming;
use hyper::{Method, Request, Response};

use weft_capability::messaging::{DeadLetterFilter, EventFilter, ReadFrom};
use weft_core::topic::TopicPattern;

use super::super::api::{
    DeadLetterEntry, DeadLetterOrder, EventEntry, EventList, Problem, Publish, Published, Reached, SubscriptionEntry,
    SubscriptionOrder,
};
use super::{Body, Query, bad, body, json, lines, named, nothing_at, parsed};

/// How many entries one page has if it is not said, and the most.
const DEFAULT_PAGE: usize = 50;
const MAX_PAGE: usize = 1_000;

/// What can be done to a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscriptionAct {
    /// No more deliveries begin.
    Pause,
    /// It goes on.
    Resume,
    /// It goes on elsewhere.
    Seek(ReadFrom),
}

/// What can be done to dead letters.
#[derive(Clone, Debug, PartialEq)]
pub enum DeadLetterAct {
    /// The event says something else from now on.
    Edit(i64, serde_json::Value),
    /// They are delivered again.
    Replay(DeadLetterFilter),
    /// They are forgotten.
    Purge(DeadLetterFilter),
}

/// What a host can be asked about its events. Problems are 404 if there is no such thing, 400 if an event is refused, 409
/// if a dead letter is being replayed, 503 if the host takes nothing now.
pub trait MessagingOperations: Send + Sync + 'static {
    /// Events before a place, newest first.
    fn history(&self, before: ReadFrom, filter: EventFilter, limit: usize)
    -> BoxFuture<'_, Result<EventList, Problem>>;
    /// Events from a place on, and those to come.
    fn tail(&self, from: ReadFrom, filter: EventFilter) -> BoxStream<'static, EventEntry>;
    /// Publishes; what it answers is durable, and in the audit log.
    fn publish(&self, publish: Publish) -> BoxFuture<'_, Result<Published, Problem>>;
    /// How subscriptions stand.
    fn subscriptions(&self) -> Vec<SubscriptionEntry>;
    /// Does something to a subscription; it is in the audit log when this answers.
    fn subscription(&self, act: SubscriptionAct, order: SubscriptionOrder) -> BoxFuture<'_, Result<Reached, Problem>>;
    /// Dead letters, oldest first.
    fn dead_letters(
        &self,
        filter: DeadLetterFilter,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<DeadLetterEntry>, Problem>>;
    /// One with its data.
    fn dead_letter(&self, id: i64) -> BoxFuture<'_, Result<DeadLetterEntry, Problem>>;
    /// Does something to dead letters; it is in the audit log when this answers.
    fn dead_letter_act(
        &self,
        act: DeadLetterAct,
        actor: String,
        reason: String,
    ) -> BoxFuture<'_, Result<Reached, Problem>>;
}

/// Answers a request for `/v1/<what><rest>`, if it is about events.
pub(super) async fn route(
    messaging: &dyn MessagingOperations,
    path: &[&str],
    query: &Query,
    request: Request<Incoming>,
) -> Result<Response<Body>, Problem> {
    let (is_get, is_post) = (request.method() == Method::GET, request.method() == Method::POST);
    match path {
        ["events"] if is_get => {
            let before = query.number("before")?.map_or(ReadFrom::Latest, ReadFrom::Position);
            Ok(json(&messaging.history(before, filter(query)?, page(query)?).await?))
        }
        ["events"] if is_post => {
            let publish: Publish = parsed(&body(request).await?, "list of events")?;
            named(&publish.actor)?;
            Ok(json(&messaging.publish(publish).await?))
        }
        ["events", "tail"] if is_get => {
            let from = query.get("from").map_or(Ok(ReadFrom::Latest), |from| place(from).map_err(bad))?;
            Ok(lines(messaging.tail(from, filter(query)?)))
        }
        ["subscriptions"] if is_get => Ok(json(&messaging.subscriptions())),
        ["subscriptions", act] if is_post => {
            let act = *act;
            let order: SubscriptionOrder = parsed(&body(request).await?, "order")?;
            named(&order.actor)?;
            let act = match (act, &order.to) {
                ("pause", None) => SubscriptionAct::Pause,
                ("resume", None) => SubscriptionAct::Resume,
                ("seek", Some(to)) => SubscriptionAct::Seek(place(to).map_err(bad)?),
                ("seek", None) => return Err(bad("seek takes `to`")),
                _ => return Err(bad(format!("a subscription takes pause, resume and seek, not {act}"))),
            };
            Ok(json(&messaging.subscription(act, order).await?))
        }
        ["dead-letters"] if is_get => {
            let filter = DeadLetterFilter {
                subscription: query.get("subscription").map(ToOwned::to_owned),
                id: query.number("id")?,
            };
            Ok(json(&messaging.dead_letters(filter, page(query)?).await?))
        }
        ["dead-letters", id] if is_get => {
            let id = id.parse().map_err(|_| bad(format!("a dead letter has a number, not {id:?}")))?;
            Ok(json(&messaging.dead_letter(id).await?))
        }
        ["dead-letters", act] if is_post => {
            let act = *act;
            let order: DeadLetterOrder = parsed(&body(request).await?, "order")?;
            named(&order.actor)?;
            let (filter, data) = (DeadLetterFilter { subscription: order.subscription, id: order.id }, order.data);
            let act = match (act, filter.id, data) {
                ("edit", Some(id), Some(data)) => DeadLetterAct::Edit(id, data),
                ("edit", _, _) => return Err(bad("edit takes `id` and `data`")),
                ("replay", _, None) => DeadLetterAct::Replay(filter),
                ("purge", _, None) => DeadLetterAct::Purge(filter),
                _ => return Err(bad(format!("dead letters take edit, replay and purge, not {act}"))),
            };
            Ok(json(&messaging.dead_letter_act(act, order.actor, order.reason).await?))
        }
        _ => Err(nothing_at(request.method(), request.uri().path())),
    }
}

fn page(query: &Query) -> Result<usize, Problem> {
    let limit = query.number("limit")?.unwrap_or(DEFAULT_PAGE);
    if limit == 0 || limit > MAX_PAGE { Err(bad(format!("limit is 1 to {MAX_PAGE}, not {limit}"))) } else { Ok(limit) }
}

fn filter(query: &Query) -> Result<EventFilter, Problem> {
    let owned = |name: &str| query.get(name).map(ToOwned::to_owned);
    let pattern = |text: &str| {
        text.parse::<TopicPattern>().map_err(|error| bad(format!("{text:?} is no pattern of topics: {error}")))
    };
    Ok(EventFilter {
        topic: query.get("topic").map(pattern).transpose()?,
        kind: owned("type"),
        subject: owned("subject"),
        correlation_id: owned("correlation"),
        since_ms: query.number("since_ms")?,
        until_ms: query.number("until_ms")?,
    })
}

/// A place in the log as it is written: `earliest`, `latest`, a position, or a time in RFC 3339.
///
/// # Errors
/// If it is none of these.
pub fn place(text: &str) -> Result<ReadFrom, String> {
    let time = || text.parse::<jiff::Timestamp>().ok().and_then(|time| u64::try_from(time.as_millisecond()).ok());
    match text {
        "earliest" => Ok(ReadFrom::Earliest),
        "latest" => Ok(ReadFrom::Latest),
        _ => text
            .parse()
            .ok()
            .map(ReadFrom::Position)
            .or_else(|| time().map(ReadFrom::TimeMs))
            .ok_or_else(|| format!("{text:?} is neither earliest, latest, a position nor a time in RFC 3339")),
    }
}
