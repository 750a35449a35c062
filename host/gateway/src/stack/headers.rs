//! Headers that mean something only if we set them: a client's own are taken off before anyone could believe them.
//!
//! Taken off are all `x-user-*` and `x-service-*` (but in applications that know nothing of us) and `spin-*`, what proxies say (unless the
//! peer is a trusted proxy), and what belongs to the connection. `_` counts as `-`, because some frameworks read them as
//! one.

use std::task::{Context, Poll};

use http::{HeaderMap, HeaderName, Response};
use tower::Service;

use super::{Exchange, always_ready};
use crate::body::ResponseBody;
use crate::problem::Problem;

/// Who the user or the service is: for us to say.
const IDENTITY: [&str; 2] = ["x-user-", "x-service-"];
/// How a request came to a function: for us to say.
const OURS: &str = "spin-";
/// For a trusted proxy to say.
const FORWARDED: [&str; 6] =
    ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x-real-ip"];
/// Of this connection alone (RFC 9110 section 7.6.1).
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "expect",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

#[derive(Clone, Debug)]
pub(crate) struct Strip<S> {
    pub inner: S,
}

impl<S> Service<Exchange> for Strip<S>
where
    S: Service<Exchange, Response = Response<ResponseBody>, Error = Problem>,
{
    type Response = Response<ResponseBody>;
    type Error = Problem;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Problem>> {
        always_ready(context)
    }

    fn call(&mut self, mut exchange: Exchange) -> Self::Future {
        let record = &exchange.record;
        let trust = Trust { peer: record.peer.trusted, identity: record.policy.clients_identity };
        strip(&mut exchange.head.headers, trust);
        self.inner.call(exchange)
    }
}

/// Whose word counts.
#[derive(Clone, Copy)]
pub(crate) struct Trust {
    /// The peer's, on where a request comes from.
    pub peer: bool,
    /// Anybody's, on who the user or the service is.
    pub identity: bool,
}

/// Takes off what only we may set.
pub(crate) fn strip(headers: &mut HeaderMap, trust: Trust) {
    // Nearly no request has any, so nothing is allocated for it.
    let unwanted: Vec<HeaderName> = headers.keys().filter(|name| !is_kept(name.as_str(), trust)).cloned().collect();
    for name in unwanted {
        headers.remove(name);
    }
}

fn is_kept(name: &str, trust: Trust) -> bool {
    // Only these letters begin any of the names.
    if !name.starts_with(['c', 'e', 'f', 'k', 'p', 's', 't', 'u', 'x']) {
        return true;
    }
    let ours = begins_with(name, OURS) || (!trust.identity && IDENTITY.iter().any(|prefix| begins_with(name, prefix)));
    let forwarded = FORWARDED.iter().any(|other| is_same(name, other));
    let hop_by_hop = HOP_BY_HOP.iter().any(|other| is_same(name, other));
    !(ours || hop_by_hop || (forwarded && !trust.peer))
}

fn begins_with(name: &str, prefix: &str) -> bool {
    name.as_bytes().get(..prefix.len()).is_some_and(|start| is_same_bytes(start, prefix.as_bytes()))
}

fn is_same(name: &str, other: &str) -> bool {
    is_same_bytes(name.as_bytes(), other.as_bytes())
}

fn is_same_bytes(name: &[u8], other: &[u8]) -> bool {
    let dashed = |byte: &u8| if *byte == b'_' { b'-' } else { *byte };
    name.len() == other.len() && name.iter().map(dashed).eq(other.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_off_what_only_we_may_say() {
        for forged in
            ["X-User-ID", "x-USER-role", "x_user_id", "x-user-anything", "X_Service-Id", "Spin-Path-Info", "spin_x"]
        {
            let name: HeaderName = forged.parse().unwrap();
            assert!(!is_kept(name.as_str(), Trust { peer: true, identity: false }), "{forged}");
        }
        let nobody = Trust { peer: false, identity: false };
        for own in [OURS].iter().chain(&IDENTITY).chain(&FORWARDED).chain(&HOP_BY_HOP) {
            assert!(!is_kept(own, nobody), "{own}");
        }
        for kept in ["x-user", "x-users-count", "accept", "content-type", "spinning", "cookie", "x-request-id", "te2"] {
            assert!(is_kept(kept, nobody), "{kept}");
        }
        assert!(is_kept("x-forwarded-for", Trust { peer: true, identity: false }));
        // In an application of Spin's the headers are anybody's.
        assert!(is_kept("x-user-id", Trust { peer: false, identity: true }));
        assert!(!is_kept("spin-path-info", Trust { peer: false, identity: true }));
    }
}
