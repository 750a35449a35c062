//! The header: whether a request is under a key, and whose that is.
//!
//! A key counts for one caller, one method and one path, and one host where the route says hosts. A caller is a subject within its tenant, whether it shows a
//! token or an API key; where the route wants it of those whom nobody knows as well, their address stands for them.

use http::header::{AUTHORIZATION, COOKIE, HeaderName};
use http::{HeaderValue, Method};
use sha2::{Digest as _, Sha256};
use weft_core::answers::{AnswerKey, Hash};
use weft_core::manifest::KeyUse;

use super::Fingerprint;
use super::digest::add;
use crate::auth::API_KEY;
use crate::limit::Who;
use crate::problem::Problem;
use crate::route::host;
use crate::stack::Routed;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Longest key, in bytes.
const KEY_BYTES: usize = 255;

/// A request under a key.
#[derive(Debug)]
pub(crate) struct Asked {
    pub key: AnswerKey,
    pub fingerprint: Fingerprint,
}

/// What the request's key is; `None` if it has none that counts.
///
/// # Errors
/// 400 for a key that is none, and for none where the route needs one.
pub(crate) fn asked(routed: &Routed) -> Result<Option<Asked>, Problem> {
    let (head, record) = (&routed.exchange.head, &routed.exchange.record);
    let key_use = routed.route.config.idempotency;
    let is_unsafe = matches!(head.method, Method::POST | Method::PATCH | Method::PUT | Method::DELETE);
    if key_use == KeyUse::Ignored || !is_unsafe {
        return Ok(None);
    }
    let mut values = head.headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else {
        return if key_use == KeyUse::Required { Err(Problem::idempotency_key_missing()) } else { Ok(None) };
    };
    let text = key_of(value).filter(|_| values.next().is_none()).ok_or_else(Problem::idempotency_key_invalid)?;
    let mut owner = Sha256::new();
    match &routed.identity {
        Some(identity) => {
            add(&mut owner, b"subject");
            add(&mut owner, identity.tenant().map_or("", |tenant| tenant).as_bytes());
            add(&mut owner, identity.subject().as_bytes());
        }
        None if key_use == KeyUse::OfCallers => return Ok(None),
        None => {
            add(&mut owner, b"address");
            add(&mut owner, Who::of_address(record.client_ip()).to_string().as_bytes());
            // By these the function itself may tell callers apart.
            for name in [AUTHORIZATION, COOKIE, API_KEY] {
                add(&mut owner, name.as_str().as_bytes());
                head.headers.get_all(name).iter().for_each(|value| add(&mut owner, value.as_bytes()));
            }
        }
    }
    let owner: Hash = owner.finalize().into();
    let mut request = Sha256::new();
    for part in [&owner[..], head.method.as_str().as_bytes(), record.uri.path().as_bytes(), text] {
        add(&mut request, part);
    }
    // Another host may have another function, and one for several hosts may answer each in its way.
    if !routed.route.config.hosts.is_empty() {
        add(&mut request, host::host(head).to_ascii_lowercase().as_bytes());
    }
    let key = AnswerKey { owner, request: request.finalize().into() };
    Ok(Some(Asked { key, fingerprint: Fingerprint::of(head) }))
}

/// The draft's header is a String of RFC 9651, in quotes. Most clients leave them out, so that any visible text is
/// taken as it stands; the same key with and without quotes is one.
fn key_of(value: &HeaderValue) -> Option<&[u8]> {
    let text = value.as_bytes();
    let key = match text.strip_prefix(b"\"") {
        Some(quoted) => quoted.strip_suffix(b"\"").filter(|inner| is_quoted(inner))?,
        None => Some(text).filter(|text| text.iter().all(u8::is_ascii_graphic))?,
    };
    (1..=KEY_BYTES).contains(&key.len()).then_some(key)
}

/// What may stand between quotes: printable ASCII, with a backslash before each quote and backslash.
fn is_quoted(inner: &[u8]) -> bool {
    let mut bytes = inner.iter();
    while let Some(byte) = bytes.next() {
        let fits = match byte {
            b'\\' => matches!(bytes.next(), Some(b'\\' | b'"')),
            b'"' => false,
            other => (b' '..=b'~').contains(other),
        };
        if !fits {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_quoted_or_plain_texts() {
        let key = |text: &[u8]| HeaderValue::from_bytes(text).ok().and_then(|value| key_of(&value).map(<[u8]>::to_vec));
        let plain = b"8e03978e-40d5-43dd-bc93-6894a57f9324";
        assert_eq!(key(plain).as_deref(), Some(&plain[..]));
        assert_eq!(key(b"\"8e03978e-40d5-43dd-bc93-6894a57f9324\"").as_deref(), Some(&plain[..]));
        assert_eq!(key(b"\"a key\"").as_deref(), Some(&b"a key"[..]));
        assert_eq!(key(br#""a \" b \\""#).as_deref(), Some(&br#"a \" b \\"#[..]));
        assert_eq!(key(&[b'x'; KEY_BYTES]).map(|key| key.len()), Some(KEY_BYTES));
        for bad in [
            &b""[..],
            b"\"\"",
            b"\"",
            b"\"a",
            b"a b",
            b"\"a\"b\"",
            b"\"a\\\"",
            b"\"a\\b\"",
            b"a\tb",
            "\u{e9}".as_bytes(),
            &[b'x'; KEY_BYTES + 1],
        ] {
            assert_eq!(key(bad), None, "{bad:?}");
        }
    }
}
