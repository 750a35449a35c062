//! The hook through which `wasi:http` of both generations sends requests: to other hosts by the component's client, to
//! components of the same application (`<component>.spin.internal`) and to the application itself without leaving it, and to external
//! services (`<service>.weft.internal`) by the mesh.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Either, select};
use http::header::HOST;
use http::{HeaderName, HeaderValue, Request, Response, Uri};
use http_body_util::BodyExt;
use wasmtime_wasi_http::{DEFAULT_FORBIDDEN_HEADERS, Error, RequestOptions, WasiBody, WasiHttpHooks};

use weft_core::{CallContext, MAX_DEPTH, StepScope, hops};

use super::client::{BodyError, Timeouts};
use super::{Outbound, OutboundError};
use crate::gate::Gate;

/// What the names of components end in where they are asked for by HTTP.
const CHAINED: &str = ".spin.internal";
/// What the names of external services end in.
const SERVED: &str = ".weft.internal";
/// A host for those who need one to ask the application itself.
const ITSELF: &str = "self.alt";

/// What comes of a request inside the application.
pub type Answered = BoxFuture<'static, Result<Response<WasiBody>, Error>>;

/// Serves requests that do not leave the application. Whether a component may send them has been checked.
pub trait Inside: Send + Sync + 'static {
    /// A request to a component; `context` is that of the call which it makes.
    fn to_component(&self, component: &str, request: Request<WasiBody>, context: CallContext) -> Answered;

    /// A request to an external service; `context` is that of the request, with the step that is open.
    fn to_service(&self, service: &str, request: Request<WasiBody>, context: CallContext) -> Answered;

    /// A request to whatever the application serves under its path.
    fn to_itself(&self, request: Request<WasiBody>) -> Answered;
}

/// Outbound HTTP of one instance.
pub struct OutboundHooks {
    outbound: Outbound,
    gate: Gate,
    component: Arc<str>,
    inside: Option<Arc<dyn Inside>>,
    /// The call that runs now.
    context: Option<CallContext>,
}

impl OutboundHooks {
    /// The hooks of an instance of `component`, whose client is `outbound`; `inside` serves what stays inside.
    #[must_use]
    pub fn new(outbound: Outbound, gate: Gate, component: Arc<str>, inside: Option<Arc<dyn Inside>>) -> Self {
        Self { outbound, gate, component, inside, context: None }
    }

    /// Says which call runs now: its W3C trace context goes with requests that have none, its deadline and depth with
    /// those that stay inside.
    pub fn set_call(&mut self, context: &CallContext) {
        self.context = Some(context.clone());
    }

    /// Where a request goes, if it may.
    fn way(&self, uri: &Uri) -> Result<Way, OutboundError> {
        let host = uri.host().unwrap_or_default().to_ascii_lowercase();
        if host.is_empty() || host == ITSELF {
            return self.outbound.check_self().map(|()| Way::Itself);
        }
        if let Some(component) = host.strip_suffix(CHAINED) {
            return self.outbound.check(uri).map(|()| Way::Component(component.to_owned()));
        }
        let Some(service) = host.strip_suffix(SERVED) else { return Ok(Way::Out) };
        // As with private addresses: who lets a component ask whom it likes does not mean what stands behind the host.
        self.outbound.check_named(uri)?;
        if uri.scheme_str() == Some("http") {
            Ok(Way::Service(service.to_owned()))
        } else {
            // Whether there is TLS is said by the instances' addresses.
            Err(OutboundError::BadUrl(uri.to_string()))
        }
    }

    /// What comes of a request that the host answers for the application, if the head of the answer is wanted within `time`.
    fn stay(&self, way: Way, mut request: Request<WasiBody>, time: Duration) -> Answered {
        let refused = |error| -> Answered { Box::pin(std::future::ready(Err(error))) };
        let Some((inside, context)) = self.inside.as_ref().zip(self.context.as_ref()) else {
            return refused(Error::InternalError(Some("the application takes no requests now".to_owned())));
        };
        let depth = context.depth.saturating_add(1);
        let context = CallContext { caller: Some(Arc::clone(&self.component)), depth, ..context.clone() };
        match way {
            Way::Itself => inside.to_itself(request),
            Way::Component(component) => {
                request.headers_mut().remove(HOST);
                inside.to_component(&component, request, CallContext { step: None, ..context })
            }
            Way::Service(service) => {
                request.headers_mut().remove(HOST);
                let step = self.gate.step(None);
                let deadline = step.as_ref().map_or(context.deadline, |step| step.deadline);
                let deadline = deadline.min(self.outbound.dialer().clock().monotonic().saturating_add(time));
                let step = step.map(|step| StepScope { key: step.key });
                inside.to_service(&service, request, CallContext { deadline, step, ..context })
            }
            // There is no such way here.
            Way::Out => refused(Error::HttpRequestUriInvalid),
        }
    }
}

/// Where a request goes.
enum Way {
    Out,
    Component(String),
    Service(String),
    Itself,
}

impl std::fmt::Debug for OutboundHooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OutboundHooks").field("component", &self.component).finish_non_exhaustive()
    }
}

/// What ends after the response's head; here nothing, since the client's pool drives its connections by itself.
type Driver = Box<dyn Future<Output = Result<(), Error>> + Send>;

/// So much of each body that a component sends waits in the host for whoever reads it, in bytes, up to twice: with
/// wasmtime's own size an instance with many bodies would hold hundreds of MiB.
const BODY_CHUNK_BYTES: usize = 64 * 1024;

/// Fields that components neither see nor set, by wasmtime's own rule.
static FORBIDDEN: [HeaderName; 9] = DEFAULT_FORBIDDEN_HEADERS;

impl WasiHttpHooks for OutboundHooks {
    /// As wasmtime's own, which makes a filter anew for each field of each request.
    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        FORBIDDEN.contains(name)
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK_BYTES
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK_BYTES
    }

    fn send_request(
        &mut self,
        mut request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _response_processed: Driver,
    ) -> Box<dyn Future<Output = Result<(Response<WasiBody>, Driver), Error>> + Send> {
        // A mirrored call may ask, since asking has no effect by the method's own definition (RFC 9110, 9.2.1).
        // What another component does of it is that one's matter: it is told that the call is mirrored.
        // By the listener the application would not know it any more.
        let host = request.uri().host().unwrap_or_default();
        let is_read = host.ends_with(CHAINED) || (request.method().is_safe() && !matches!(host, "" | ITSELF));
        if let Err(closed) = if is_read { self.gate.check_read() } else { self.gate.check() } {
            return Box::new(std::future::ready(Err(Error::InternalError(Some(closed.to_string())))));
        }
        // Hex digits always make a header value.
        let trace = self.context.as_ref().and_then(|context| context.trace.as_ref());
        if let Some(traceparent) = trace.and_then(|trace| HeaderValue::try_from(trace.traceparent()).ok()) {
            request.headers_mut().entry("traceparent").or_insert(traceparent);
        }
        let depth = self.context.as_ref().map_or(0, |context| context.depth).saturating_add(1);
        if depth > MAX_DEPTH {
            tracing::warn!(component = %self.component, "outbound request refused: requests are nested more than {MAX_DEPTH} deep");
            return Box::new(std::future::ready(Err(Error::LoopDetected)));
        }
        if let Ok(entry) = HeaderValue::from_str(&hops::entry(depth)) {
            request.headers_mut().append(hops::HEADER, entry);
        }
        let RequestOptions { connect_timeout, first_byte_timeout, between_bytes_timeout } = options.unwrap_or_default();
        let rest = self.outbound.timeout();
        let timeouts = Timeouts::new(connect_timeout, first_byte_timeout, between_bytes_timeout, rest);
        let inside = match self.way(request.uri()) {
            Ok(Way::Out) => None,
            Ok(way) => Some(way),
            Err(error) => {
                tracing::warn!(component = %self.component, %error, "outbound request refused");
                return Box::new(std::future::ready(Err(to_wasi(error))));
            }
        };
        if let Some(way) = inside {
            let (answered, late) = (self.stay(way, request, timeouts.head), self.outbound.sleep(timeouts.head));
            return Box::new(async move {
                match select(answered, late).await {
                    Either::Left((response, _)) => {
                        let driver: Driver = Box::new(std::future::ready(Ok(())));
                        response.map(|response| (response, driver))
                    }
                    Either::Right(_) => Err(Error::ConnectionReadTimeout),
                }
            });
        }
        let request = request.map(|body| body.map_err(|error| BodyError::from(error.to_string())).boxed_unsync());
        let (outbound, component) = (self.outbound.clone(), Arc::clone(&self.component));
        let sent = async move { outbound.send(request, timeouts).await };
        Box::new(sent.map(move |sent| match sent {
            Ok(response) => {
                let driver: Driver = Box::new(std::future::ready(Ok(())));
                Ok((response.map(|body| body.map_err(to_wasi).boxed_unsync()), driver))
            }
            Err(error) => {
                if matches!(error, OutboundError::Denied(_) | OutboundError::Private(_)) {
                    tracing::warn!(%component, %error, "outbound request refused");
                }
                Err(to_wasi(error))
            }
        }))
    }
}

/// What a component is told.
#[must_use]
pub fn to_wasi(error: OutboundError) -> Error {
    match error {
        OutboundError::Denied(_) => Error::HttpRequestDenied,
        OutboundError::Private(_) => Error::DestinationIpProhibited,
        OutboundError::BadUrl(_) => Error::HttpRequestUriInvalid,
        OutboundError::Dns { message, .. } => Error::DnsError { rcode: Some(message), info_code: None },
        OutboundError::Connect { .. } => Error::ConnectionRefused,
        OutboundError::Tls { .. } => Error::TlsProtocolError,
        OutboundError::ConnectTimeout => Error::ConnectionTimeout,
        OutboundError::ReadTimeout => Error::ConnectionReadTimeout,
        OutboundError::Terminated(_) => Error::ConnectionTerminated,
        OutboundError::Protocol(_) => Error::HttpProtocolError,
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use bytes::Bytes;
    use http_body_util::Empty;
    use weft_core::clock::ManualClock;
    use weft_core::outbound::OutboundHosts;

    use super::*;
    use crate::outbound::SystemResolver;

    async fn send(hooks: &mut OutboundHooks, url: &str) -> Error {
        let body: WasiBody = Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync();
        let request = Request::get(url).body(body).unwrap();
        let sent = hooks.send_request(request, None, Box::new(std::future::ready(Ok(()))));
        Pin::from(sent).await.map(|_| ()).unwrap_err()
    }

    #[tokio::test]
    async fn a_service_is_reached_by_a_grant_that_names_it_and_by_no_wildcard() {
        for (allowed, url, may) in [
            ("http://pay.weft.internal", "http://pay.weft.internal/x", true),
            ("http://pay.weft.internal", "http://PAY.weft.internal/x", true),
            ("http://pay.weft.internal", "http://other.weft.internal/", false),
            ("http://pay.weft.internal", "http://pay.weft.internal:81/", false),
            ("https://pay.weft.internal", "https://pay.weft.internal/", false),
            ("*://*:*", "http://pay.weft.internal/", false),
            ("http://*.weft.internal", "http://pay.weft.internal/", false),
        ] {
            let hosts = OutboundHosts::new(vec![allowed.parse().unwrap()]);
            let outbound = Outbound::new(hosts, Arc::new(SystemResolver), Arc::new(ManualClock::default())).unwrap();
            let hooks = OutboundHooks::new(outbound, Gate::new(false), "c".into(), None);
            let way = hooks.way(&url.parse().unwrap());
            assert_eq!(matches!(&way, Ok(Way::Service(name)) if name == "pay"), may, "{allowed} {url}");
            assert!(may || way.is_err(), "{allowed} {url}");
        }
    }

    #[tokio::test]
    async fn refusals_have_their_own_errors() {
        let any = "*://*:*".parse().unwrap();
        let outbound = |allowed| {
            let clock = Arc::new(ManualClock::default());
            Outbound::new(OutboundHosts::new(allowed), Arc::new(SystemResolver), clock).unwrap()
        };
        let hooks = |allowed, durable| OutboundHooks::new(outbound(allowed), Gate::new(durable), "c".into(), None);
        let url = "http://127.0.0.1:1/";
        assert!(matches!(send(&mut hooks(vec![], false), url).await, Error::HttpRequestDenied));
        assert!(matches!(send(&mut hooks(vec![any], false), url).await, Error::DestinationIpProhibited));
        let named = vec!["http://127.0.0.1:1".parse().unwrap()];
        assert!(matches!(send(&mut hooks(named.clone(), false), url).await, Error::ConnectionRefused));
        let outside = send(&mut hooks(named, true), url).await;
        assert!(matches!(outside, Error::InternalError(Some(text)) if text.contains("outside-step")));
    }
}
