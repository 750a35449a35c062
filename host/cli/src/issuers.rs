//! Asks those who issue tokens for their public keys, by the rules for what functions ask for over networks: a URL opens
//! its own host and port alone, redirects are not followed, and time and size are bounded.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use http::Uri;

use weft_capability::outbound::{Outbound, Resolve};
use weft_core::Clock;
use weft_core::outbound::{AllowedHost, OutboundHosts};
use weft_gateway::FetchKeys;

/// For all of one answer.
const TIME: Duration = Duration::from_secs(5);
/// Longest set of keys, in bytes.
const MOST_BYTES: usize = 256 * 1024;

/// The issuers.
pub struct Issuers {
    /// Resolves their names.
    pub resolver: Arc<dyn Resolve>,
    /// The machine's time.
    pub clock: Arc<dyn Clock>,
}

impl FetchKeys for Issuers {
    fn fetch<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<String, String>> {
        Box::pin(async move {
            let host = allowed(url).ok_or_else(|| format!("{url} is not a URL that can be asked for"))?;
            let (resolver, clock) = (Arc::clone(&self.resolver), Arc::clone(&self.clock));
            // Asked so rarely that a connection is not worth keeping.
            let outbound = Outbound::new(OutboundHosts::new(vec![host]), resolver, clock);
            let got = outbound.map_err(|error| error.to_string())?.get(url, TIME, MOST_BYTES).await;
            let bytes = got.map_err(|error| error.to_string())?;
            String::from_utf8(bytes.into()).map_err(|_| "the answer is no text".to_owned())
        })
    }
}

/// The URL's own scheme, host and port.
fn allowed(url: &str) -> Option<AllowedHost> {
    let uri: Uri = url.parse().ok()?;
    let authority = uri.authority()?;
    format!("{}://{}", uri.scheme_str()?, authority.as_str()).parse().ok()
}
