//! What a repeated request has in common with the first: its query, what its body is said to be, and the body, whose
//! bytes are taken in while they pass.

use std::sync::{Mutex, PoisonError};

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::request::Parts;
use sha2::{Digest as _, Sha256};
use weft_core::answers::Hash;

/// A body on its way.
#[derive(Debug, Default)]
pub(crate) struct BodyDigest(Mutex<Passing>);

#[derive(Debug, Default)]
struct Passing {
    digest: Sha256,
    ended: bool,
}

impl BodyDigest {
    pub fn add(&self, data: &[u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).digest.update(data);
    }

    pub fn end(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
    }

    /// `None` as long as the body has not come to its end.
    fn whole(&self) -> Option<Hash> {
        let passing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        passing.ended.then(|| passing.digest.clone().finalize().into())
    }
}

/// What is known of a request before its body has come.
#[derive(Clone, Debug)]
pub(crate) struct Fingerprint(Sha256);

impl Fingerprint {
    pub fn of(head: &Parts) -> Self {
        let mut digest = Sha256::new();
        add(&mut digest, head.uri.query().unwrap_or_default().as_bytes());
        for name in [CONTENT_TYPE, CONTENT_ENCODING] {
            let lines: Vec<&[u8]> = head.headers.get_all(name).iter().map(http::HeaderValue::as_bytes).collect();
            add(&mut digest, &lines.join(&b", "[..]));
        }
        Self(digest)
    }

    /// With the body; `None` as long as that has not come to its end.
    pub fn with(&self, body: &BodyDigest) -> Option<Hash> {
        let mut digest = self.0.clone();
        digest.update(body.whole()?);
        Some(digest.finalize().into())
    }
}

/// With its length, so that no two lists of texts are the same.
pub(super) fn add(digest: &mut Sha256, text: &[u8]) {
    digest.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
    digest.update(text);
}

#[cfg(test)]
mod tests {
    use http::Request;
    use proptest::prelude::*;

    use super::*;

    fn fingerprint(target: &str, kind: &str, pieces: &[&[u8]]) -> Hash {
        let request = Request::post(target).header("content-type", kind).header("accept", target);
        let (head, ()) = request.body(()).unwrap().into_parts();
        let body = BodyDigest::default();
        let begun = Fingerprint::of(&head);
        for piece in pieces {
            body.add(piece);
            assert_eq!(begun.with(&body), None, "it may go on");
        }
        body.end();
        begun.with(&body).unwrap()
    }

    #[test]
    fn query_type_and_body_count() {
        let same = fingerprint("/a?b=c", "text/plain", &[b"body"]);
        assert_eq!(fingerprint("/a?b=c", "text/plain", &[b"bo", b"", b"dy"]), same);
        for other in [
            fingerprint("/a?b=d", "text/plain", &[b"body"]),
            fingerprint("/a", "text/plain", &[b"body"]),
            fingerprint("/a?b=c", "text/html", &[b"body"]),
            fingerprint("/a?b=c", "text/plain", &[b"body "]),
            fingerprint("/a?b=c", "text/plain", &[]),
            fingerprint("/a?b=ctext", "/plain", &[b"body"]),
        ] {
            assert_ne!(other, same);
        }
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter_and_bytes_do(body in prop::collection::vec(any::<u8>(), 0..300), at in any::<prop::sample::Index>()) {
            let at = at.index(body.len() + 1);
            let whole = fingerprint("/", "a/b", &[&body]);
            prop_assert_eq!(fingerprint("/", "a/b", &[&body[..at], &body[at..]]), whole);
            let mut other = body.clone();
            other.insert(at, 7);
            prop_assert_ne!(fingerprint("/", "a/b", &[&other]), whole);
        }
    }
}
