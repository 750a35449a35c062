//! What the manifest says of the edge, worked out beforehand into the form in which requests are held against it. A
//! request sees one policy from beginning to end; a new one replaces it whole.

mod browser;
mod classes;
mod cors;
mod encoding;
mod proxies;

use std::time::Duration;

use http::{HeaderName, HeaderValue};
use weft_core::answers::AnswerBounds;
use weft_core::manifest::{self, Component, Manifest};

pub(crate) use browser::Https;
use classes::Classes;
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
    /// How much requests matter by who makes them.
    pub(crate) classes: Classes,
    /// Whether headers that say who a user or a service is (`x-user-*`, `x-service-*`) are a client's to send: in an application
    /// that asks nobody who they are, and knows nothing of Weft, they mean whatever it likes. Otherwise they are dropped.
    pub(crate) clients_identity: bool,
}

impl Policy {
    /// The rules of a manifest.
    #[must_use]
    pub fn of(manifest: &Manifest) -> Self {
        let knows_us = manifest.components.values().any(Component::is_weft);
        Self { clients_identity: manifest.auth.is_none() && !knows_us, ..Self::from(&manifest.gateway) }
    }
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
            classes: Classes::new(gateway),
            clients_identity: false,
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn who_a_client_is_is_its_own_to_say_where_nobody_asks() {
        let clients = |rest: &str| {
            let text = format!(
                "spin_manifest_version = 2\n[application]\nname = \"x\"\n[variables]\nkey = {{ default = \"\" }}\n\
                 [[trigger.http]]\nroute = \"/a\"\ncomponent = \"a\"\n[component.a]\nsource = \"a.wasm\"\n{rest}"
            );
            Policy::of(&Manifest::parse(Path::new("spin.toml"), &text).unwrap()).clients_identity
        };
        assert!(clients(""));
        assert!(!clients("[component.a.tool.weft]\n"));
        let auth = "issuer = \"i\"\naudience = \"a\"\nkeys = [{ variable = \"key\" }]\n";
        assert!(!clients(&format!("[application.tool.weft.auth]\n{auth}")));
    }
}
