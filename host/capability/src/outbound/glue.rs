//! The hook through which `wasi:http` of both generations sends requests.

use std::sync::Arc;

use futures::FutureExt;
use http::{HeaderValue, Request, Response};
use http_body_util::BodyExt;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use weft_core::{MAX_DEPTH, hops};

use super::client::{BodyError, Timeouts};
use super::{Outbound, OutboundError};
use crate::gate::Gate;

/// Outbound HTTP of one instance.
#[derive(Debug)]
pub struct OutboundHooks {
    outbound: Outbound,
    gate: Gate,
    component: Arc<str>,
    traceparent: Option<HeaderValue>,
    depth: u16,
}

impl OutboundHooks {
    /// The hooks of an instance of `component`, whose client is `outbound`.
    #[must_use]
    pub fn new(outbound: Outbound, gate: Gate, component: Arc<str>) -> Self {
        Self { outbound, gate, component, traceparent: None, depth: 0 }
    }

    /// Says which call runs now and how deep it lies: its W3C trace context goes with requests that have none, its depth
    /// with all of them, since any host may lead back here.
    pub fn set_call(&mut self, traceparent: Option<&str>, depth: u16) {
        self.depth = depth;
        self.traceparent = traceparent.and_then(|text| HeaderValue::from_str(text).ok());
    }
}

/// What ends after the response's head; here nothing, since the client's pool drives its connections by itself.
type Driver = Box<dyn Future<Output = Result<(), Error>> + Send>;

/// So much of each body that a component sends waits in the host for whoever reads it, in bytes, up to twice: with
/// wasmtime's own size an instance with many bodies would hold hundreds of MiB.
const BODY_CHUNK_BYTES: usize = 64 * 1024;

impl WasiHttpHooks for OutboundHooks {
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
        if let Err(closed) = self.gate.check() {
            return Box::new(std::future::ready(Err(Error::InternalError(Some(closed.to_string())))));
        }
        if let Some(traceparent) = &self.traceparent {
            request.headers_mut().entry("traceparent").or_insert_with(|| traceparent.clone());
        }
        let depth = self.depth.saturating_add(1);
        if depth > MAX_DEPTH {
            tracing::warn!(component = %self.component, "outbound request refused: requests are nested more than {MAX_DEPTH} deep");
            return Box::new(std::future::ready(Err(Error::LoopDetected)));
        }
        if let Ok(entry) = HeaderValue::from_str(&hops::entry(depth)) {
            request.headers_mut().append(hops::HEADER, entry);
        }
        let asked = options.unwrap_or_default();
        let timeouts = Timeouts::new(asked.connect_timeout, asked.first_byte_timeout, asked.between_bytes_timeout);
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

fn to_wasi(error: OutboundError) -> Error {
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
    async fn refusals_have_their_own_errors() {
        let any = "*://*:*".parse().unwrap();
        let outbound = |allowed| {
            let clock = Arc::new(ManualClock::default());
            Outbound::new(OutboundHosts::new(allowed), Arc::new(SystemResolver), clock).unwrap()
        };
        let hooks = |allowed, durable| OutboundHooks::new(outbound(allowed), Gate::new(durable), "c".into());
        let url = "http://127.0.0.1:1/";
        assert!(matches!(send(&mut hooks(vec![], false), url).await, Error::HttpRequestDenied));
        assert!(matches!(send(&mut hooks(vec![any], false), url).await, Error::DestinationIpProhibited));
        let named = vec!["http://127.0.0.1:1".parse().unwrap()];
        assert!(matches!(send(&mut hooks(named.clone(), false), url).await, Error::ConnectionRefused));
        let outside = send(&mut hooks(named, true), url).await;
        assert!(matches!(outside, Error::InternalError(Some(text)) if text.contains("outside-step")));
    }
}
