//! What the manifest says of the edge, worked out beforehand into the form in which requests are held against it. A
//! request sees one policy from beginning to end; a new one replaces it whole.

mod browser;
mod cors;
mod encoding;
mod proxies;

use std::time::Duration;

use http::{HeaderName, HeaderValue};
use weft_core::answers::AnswerBounds;
use weft_core::manifest;

pub(crate) use browser::Https;
pub(crate) use cors::{Cors, add_vary};
pub(crate) use encoding::{Coding, Compression};
pub(crate) use proxies::{FORWARDED_FOR, FORWARDED_PROTO, Forwarded, Proxies};

/// The rules of the edge: whose word counts, which pages may call, how answers are dressed and compressed.
#[derive(Debug)]
pub struct Policy {
    pub(crate) proxies: Proxies,
    /// What an answer has unless the function has said it itself.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) https: Option<Https>,
    pub(crate) cors: Option<Cors>,
    pub(crate) compression: Option<Compression>,
    /// Who may join which channels, and how connections are kept.
    pub(crate) push: Option<manifest::Push>,
    pub(crate) kept: Kept,
}

/// Which answers are kept for repeated requests, and how long.
#[derive(Debug)]
pub(crate) struct Kept {
    /// The largest body, in bytes.
    pub answer_bytes: usize,
    pub bounds: AnswerBounds,
}

impl Default for Policy {
    fn default() -> Self {
        Self::from(&manifest::Gateway::default())
    }
}

impl From<&manifest::Gateway> for Policy {
    fn from(gateway: &manifest::Gateway) -> Self {
        Self {
            proxies: Proxies::new(&gateway.trusted_proxies, gateway.proxy_protocol),
            headers: browser::headers(&gateway.headers),
            https: gateway.tls.as_ref().map(Https::new),
            cors: gateway.cors.as_ref().map(Cors::new),
            compression: gateway.compression.as_ref().map(Compression::new),
            push: gateway.push.clone(),
            kept: Kept::from(&gateway.idempotency),
        }
    }
}

impl From<&manifest::Idempotency> for Kept {
    fn from(idempotency: &manifest::Idempotency) -> Self {
        Self {
            answer_bytes: usize::try_from(idempotency.max_answer_bytes).unwrap_or(usize::MAX),
            bounds: AnswerBounds {
                time: Duration::from_secs(idempotency.ttl_s.into()),
                answers: idempotency.max_answers.into(),
                bytes: idempotency.max_bytes,
                answers_of_owner: idempotency.max_caller_answers.into(),
                bytes_of_owner: idempotency.max_caller_bytes,
            },
        }
    }
}
