//! What is known of one request while it is worked on: shared by its stages, its body and its answer. At the end it
//! becomes one line of the access log.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering::{AcqRel, Relaxed};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::header::TRANSFER_ENCODING;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};
use weft_core::Trace;
use weft_core::id::new_id;
use weft_telemetry::trace::{parse_traceparent, start_span};

use crate::auth::Identity;
use crate::connection::{Busy, Peer};
use crate::deadline::Deadline;
use crate::deployment::Served;
use crate::limit::{Admission, Shown};
use crate::overload::{End, Slot};
use crate::policy::{Forwarded, Policy};
use crate::problem::Problem;
use crate::push::{self, Endpoint};
use crate::route::Route;
use crate::settings::Limits;
use crate::shared::Shared;

/// Longest request id that is taken from a client, in characters.
const REQUEST_ID_LENGTH: usize = 128;

const UNKNOWN: HeaderValue = HeaderValue::from_static("unknown");
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The life of one request.
#[derive(Debug)]
pub(crate) struct Record {
    pub shared: Arc<Shared>,
    pub peer: Arc<Peer>,
    /// The rules under which it came in.
    pub policy: Arc<Policy>,
    /// The bounds under which it came in.
    pub limits: Arc<Limits>,
    /// What a trusted proxy says of it.
    pub forwarded: Option<Forwarded>,
    /// What lets a page of another origin see the answer; set by the stage for that.
    pub permission: OnceLock<HeaderValue>,
    /// Keeps the connection from counting as idle.
    pub busy: Busy,
    pub method: Method,
    pub uri: Uri,
    pub request_id: HeaderValue,
    pub trace: Trace,
    /// The same for the function and for the client.
    pub traceparent: HeaderValue,
    /// The connection must end with this answer. RFC 9112 section 6.1 asks for it where a request has both
    /// Content-Length and Transfer-Encoding; hyper takes the former away unseen, so it is done for all of the latter.
    pub is_last: bool,
    /// Whether the connection is to become a WebSocket.
    pub asks_for_websocket: bool,
    /// Of HTTP.
    pub version: Version,
    /// On the clock's monotonic time.
    pub started: Duration,
    /// Set by the router.
    pub route: OnceLock<Arc<Route>>,
    /// Set by authentication.
    pub identity: OnceLock<Arc<Identity>>,
    /// What its rate limits say of it: those that ask nobody's name, those that do, and those that refused it.
    pub admitted: [OnceLock<Admission>; 2],
    pub refused: OnceLock<Shown>,
    /// Those who want it to hold its places.
    holds: AtomicUsize,
    /// Whether this request holds one of the places for requests in work.
    pub holds_place: AtomicBool,
    /// Its place among the requests that run, once it has one.
    pub slot: OnceLock<Slot>,
    pub bytes_in: AtomicU64,
    /// What was wrong with the body when it was read. Whatever the function answers then, it is the client's fault.
    pub body_fault: OnceLock<Problem>,
    /// Somebody waits for the client to send more of the body.
    pub awaits_body: AtomicBool,
}

impl Record {
    pub fn new(shared: Arc<Shared>, served: &Served, peer: Arc<Peer>, busy: Busy, head: &http::request::Parts) -> Self {
        let trace = start_span(parent(&head.headers));
        let policy = Arc::clone(&served.policy);
        // A stream keeps it, and shall not keep all that was read with it.
        let uri =
            if push::is_below(policy.push.as_ref(), head.uri.path()) { detached(&head.uri) } else { head.uri.clone() };
        Self {
            forwarded: peer.trusted.then(|| policy.proxies.forwarded(peer.host, &head.headers)),
            policy,
            limits: Arc::clone(&served.limits),
            permission: OnceLock::new(),
            started: shared.clock.monotonic(),
            request_id: request_id(&head.headers),
            // Hex digits always make a header value.
            traceparent: HeaderValue::try_from(trace.traceparent()).unwrap_or(UNKNOWN),
            trace,
            is_last: head.headers.contains_key(TRANSFER_ENCODING),
            asks_for_websocket: push::is_asked_for(&head.headers),
            version: head.version,
            method: head.method.clone(),
            uri,
            shared,
            peer,
            busy,
            route: OnceLock::new(),
            identity: OnceLock::new(),
            admitted: [const { OnceLock::new() }; 2],
            refused: OnceLock::new(),
            holds: AtomicUsize::new(0),
            holds_place: AtomicBool::new(false),
            slot: OnceLock::new(),
            bytes_in: AtomicU64::new(0),
            body_fault: OnceLock::new(),
            awaits_body: AtomicBool::new(false),
        }
    }

    /// The id, which is visible ASCII.
    pub fn request_id(&self) -> &str {
        self.request_id.to_str().unwrap_or_default()
    }

    /// Who sent it, as far as those say whose word counts.
    pub fn client_ip(&self) -> IpAddr {
        self.forwarded.as_ref().map_or(self.peer.host, |forwarded| forwarded.address)
    }

    /// The same with its port, which is 0 if nobody says.
    pub fn client_address(&self) -> HeaderValue {
        if self.client_ip() == self.peer.host {
            return self.peer.address.clone();
        }
        HeaderValue::try_from(SocketAddr::new(self.client_ip(), 0).to_string()).unwrap_or(UNKNOWN)
    }

    /// How the client speaks with us, or with the proxy before us.
    pub fn scheme(&self) -> &'static str {
        let said = self.forwarded.as_ref().and_then(|forwarded| forwarded.is_https);
        if said.unwrap_or(self.peer.is_secure) { "https" } else { "http" }
    }

    /// The time now, on the clock's monotonic time.
    pub fn now(&self) -> Duration {
        self.shared.clock.monotonic()
    }

    pub fn elapsed(&self) -> Duration {
        self.now().saturating_sub(self.started)
    }

    /// Notes whether somebody waits for the client to send more.
    pub fn note_client(&self, awaits_body: bool) {
        self.awaits_body.store(awaits_body, Relaxed);
        match self.slot.get() {
            Some(slot) if awaits_body => slot.wait(),
            Some(slot) => slot.go_on(),
            None => {}
        }
    }

    /// The rate limit to tell the client of.
    pub fn limit(&self) -> Option<&Shown> {
        let admitted = self.admitted.iter().filter_map(|admission| admission.get()?.nearest());
        self.refused.get().or_else(|| admitted.reduce(Shown::nearer))
    }

    /// Frees its place among the requests in work, if it has one.
    pub fn give_place_back(&self) {
        if self.holds_place.swap(false, Relaxed) {
            self.shared.in_flight.fetch_sub(1, Relaxed);
        }
    }

    /// When the answer must be complete; `None` until a route is found, and for an answer without an end.
    pub fn deadline(&self) -> Option<Deadline> {
        let route = self.route.get().filter(|route| !route.push.is_some_and(Endpoint::is_stream))?;
        Some(Deadline::at(Arc::clone(&self.shared.clock), self.started + route.deadline))
    }
}

/// The same with memory of its own.
fn detached(uri: &Uri) -> Uri {
    uri.to_string().parse().unwrap_or_else(|_| uri.clone())
}

/// The client's id if it is sane, else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let sent = headers
        .get(REQUEST_ID)
        .filter(|id| (1..=REQUEST_ID_LENGTH).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic));
    // A UUID is a header value.
    let made = || HeaderValue::try_from(new_id()).unwrap_or(UNKNOWN);
    // A copy, for a stream keeps it.
    sent.and_then(|id| HeaderValue::from_bytes(id.as_bytes()).ok()).unwrap_or_else(made)
}

fn parent(headers: &HeaderMap) -> Option<Trace> {
    parse_traceparent(headers.get(TRACEPARENT)?.to_str().ok()?)
}

/// While it or another one lives, the request has its places: among those in work, among those that run, and in limits of how many run
/// at a time. Its client has one, and so has who goes on when the client is gone.
#[derive(Debug)]
pub(crate) struct Hold(Arc<Record>);

impl Hold {
    pub fn new(record: &Arc<Record>) -> Self {
        record.holds.fetch_add(1, Relaxed);
        Self(Arc::clone(record))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        // The last one sees all that the others did.
        if self.0.holds.fetch_sub(1, AcqRel) > 1 {
            return;
        }
        self.0.give_place_back();
        self.0.admitted.iter().filter_map(OnceLock::get).for_each(Admission::end);
        if let Some(slot) = self.0.slot.get() {
            // The client went away, or the function panicked; after an answer it means nothing.
            slot.end(End::GivenUp);
        }
    }
}

/// Ends the request when it is dropped, however that comes about: frees its places and writes the access log.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub record: Arc<Record>,
    hold: Option<Hold>,
    /// `None` while there is no answer.
    pub status: Option<u16>,
    pub bytes_out: u64,
    /// The length of the body that the answer announces: once so much is written, nobody asks for its end.
    pub length: Option<u64>,
    /// Whether the answer was written to its end, no byte more or less than it announces.
    pub complete: bool,
}

impl Ticket {
    pub fn new(record: Arc<Record>) -> Self {
        let hold = Some(Hold::new(&record));
        Self { record, hold, status: None, bytes_out: 0, length: None, complete: false }
    }

    /// Notes how far the answer is; `ended` if its body has said so.
    pub fn note_progress(&mut self, ended: bool) {
        self.complete = match self.length {
            Some(length) => length == self.bytes_out,
            None => ended,
        };
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.hold = None;
        let record = &*self.record;
        let route = record.route.get();
        tracing::info!(
            target: "weft::access",
            method = record.method.as_str(),
            path = record.uri.path(),
            route = route.map_or("-", |route| &*route.pattern),
            // As nginx logs it: the client went away before there was an answer.
            status = self.status.unwrap_or(499),
            duration_us = u64::try_from(record.elapsed().as_micros()).unwrap_or(u64::MAX),
            bytes_in = record.bytes_in.load(Relaxed),
            bytes_out = self.bytes_out,
            complete = self.complete,
            component = route.map_or("-", |route| &*route.config.component),
            user = record.identity.get().map_or("-", |identity| identity.subject()),
            api_key = record.identity.get().and_then(|identity| identity.api_key()).map_or("-", |id| &**id),
            client = record.client_address().to_str().unwrap_or_default(),
            trace_id = &*record.trace.trace_id,
            request_id = record.request_id(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_a_sane_request_id_and_replaces_others() {
        let with = |id: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert("x-request-id", HeaderValue::from_bytes(id).unwrap());
            request_id(&headers)
        };
        assert_eq!(with(b"abc-123_{}\"~"), "abc-123_{}\"~");
        assert_eq!(with(&[b'a'; 128]).len(), 128);
        for bad in [&b""[..], b"a b", b"a\tb", "é".as_bytes(), &[b'a'; 129]] {
            assert_eq!(with(bad).len(), 36, "{bad:?}");
        }
        assert_ne!(request_id(&HeaderMap::new()), request_id(&HeaderMap::new()));
    }
}
