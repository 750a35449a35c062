//! The endpoints of push: who asks for what, and whether it may be.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ORIGIN};
use http::{HeaderName, HeaderValue, Method, Response};
use http_body_util::{BodyExt as _, Limited};
use weft_core::manifest;
use weft_core::push::{Cursor, NewConnection};

use super::client::{MAX_SAID_BYTES, marks};
use super::events::Events;
use super::session::Session;
use super::text::Told;
use super::tickets::TICKET_LIFE;
use super::{Endpoint, Push, may_join, socket};
use crate::auth::Caller;
use crate::body::{RequestBody, ResponseBody, full};
use crate::connection::Successor;
use crate::problem::Problem;
use crate::record::Record;
use crate::route::host::authority;
use crate::stack::{Answered, Routed};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// Marks an answer that goes on until somebody ends it, and does not fail by itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Endless;

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Answers a request to an endpoint. Its caller is known.
pub(crate) async fn answer(endpoint: Endpoint, routed: Routed) -> Answered {
    let Routed { exchange, identity, api_key, .. } = routed;
    let caller = identity.map(|identity| Caller { identity, api_key });
    let (mut head, body, record) = (exchange.head, exchange.body, exchange.record);
    let shared = record.shared.clone();
    let policy = record.policy.clone();
    let (Some(push), Some(rules), Some(caller)) = (&shared.push, &policy.push, caller) else {
        return Err(Problem::no_route());
    };
    match endpoint {
        Endpoint::Tickets => ticket(push, caller, &record),
        Endpoint::Read => read(push, &caller, body).await,
        Endpoint::Events => {
            let new = connection(&head, rules, &caller, "events")?;
            if record.method == Method::HEAD {
                return Ok(event_stream(full("")));
            }
            let (session, welcome) = open(push, rules, caller, new, &record).await?;
            Ok(endless(event_stream(Events::new(session, welcome).boxed_unsync())))
        }
        Endpoint::Socket => {
            check_origin(&head, &record)?;
            let (upgrade, accept) = socket::handshake(&mut head, &record)?;
            let new = connection(&head, rules, &caller, "websocket")?;
            let (session, welcome) = open(push, rules, caller, new, &record).await?;
            let serving = socket::serve(upgrade, session, welcome, shared.clock.clone(), record.busy.clone());
            record.busy.hand_over(Successor::Upgraded(Box::pin(serving)));
            Ok(socket::switching(accept))
        }
    }
}

async fn open(
    push: &Push,
    rules: &manifest::Push,
    caller: Caller,
    new: NewConnection,
    record: &Record,
) -> Result<(Session, Told), Problem> {
    // It is no request in work from here on: there may be many more connections than those.
    record.give_place_back();
    Ok(Session::open(&record.shared, push, rules, caller, new).await?)
}

/// What a client wants to be told.
fn connection(
    head: &http::request::Parts,
    rules: &manifest::Push,
    caller: &Caller,
    transport: &'static str,
) -> Result<NewConnection, Problem> {
    let (mut channels, mut resume): (Vec<Arc<str>>, Option<String>) = (Vec::new(), None);
    for (name, value) in form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes()) {
        match &*name {
            "channels" => channels.extend(value.split(',').filter(|name| !name.is_empty()).map(Arc::from)),
            "last_event_id" => resume = Some(value.into_owned()),
            "ticket" => {}
            _ => return Err(Problem::invalid("The query has channels, last_event_id and ticket, and nothing else.")),
        }
    }
    // What a browser says by itself when it comes back is newer than what the page has said at first.
    if let Some(last) = head.headers.get(LAST_EVENT_ID).and_then(|value| value.to_str().ok()) {
        resume = Some(last.to_owned());
    }
    let resume = resume.filter(|text| !text.is_empty()).map(|text| text.parse::<Cursor>()).transpose();
    let resume = resume.map_err(|error| Problem::invalid(format!("Last-Event-ID: {error}.")))?;
    let most = usize::try_from(rules.max_channels).unwrap_or(usize::MAX);
    if channels.len() > most {
        return Err(Problem::invalid(format!("A connection is in at most {most} channels.")));
    }
    if !channels.iter().all(|channel| may_join(rules, &caller.identity, channel)) {
        return Err(Problem::forbidden("You may not join one of these channels."));
    }
    Ok(NewConnection { user: caller.identity.subject().into(), channels, resume, transport })
}

fn event_stream(body: ResponseBody) -> Response<ResponseBody> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, NO_STORE);
    // nginx would wait for more.
    headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

/// Marks an answer as one that hyper is not needed for.
fn endless(mut response: Response<ResponseBody>) -> Response<ResponseBody> {
    response.extensions_mut().insert(Endless);
    response
}

/// A browser lets every page open a WebSocket, and says which page it is: it has to be one of ours, or one that may call.
fn check_origin(head: &http::request::Parts, record: &Record) -> Result<(), Problem> {
    let Some(origin) = head.headers.get(ORIGIN) else { return Ok(()) };
    let host = authority(&head.uri, &head.headers);
    let own = format!("{}://{host}", record.scheme());
    if own.as_bytes().eq_ignore_ascii_case(origin.as_bytes()) || record.permission.get().is_some() {
        return Ok(());
    }
    Err(Problem::forbidden("Pages of this origin may not connect; gateway.cors says which may."))
}

fn ticket(push: &Push, caller: Caller, record: &Record) -> Answered {
    let now = record.shared.clock.monotonic();
    let ticket = push.tickets.issue(caller.identity, caller.api_key, now).ok_or_else(Problem::busy)?;
    Ok(json(&serde_json::json!({ "ticket": ticket, "expires_in_s": TICKET_LIFE.as_secs() })))
}

async fn read(push: &Push, caller: &Caller, body: RequestBody) -> Answered {
    let body = Limited::new(body, MAX_SAID_BYTES).collect().await;
    let body: Bytes = body
        .map_err(|_| Problem::invalid(format!("The body is broken, or has more than {MAX_SAID_BYTES} bytes.")))?
        .to_bytes();
    let which = marks(&body).map_err(Problem::invalid)?;
    let unread = push.hub.mark_read(caller.identity.subject(), which).await?;
    Ok(json(&serde_json::json!({ "unread": unread })))
}

fn json(value: &serde_json::Value) -> Response<ResponseBody> {
    let mut response = Response::new(full(value.to_string()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, NO_STORE);
    response
}
