//! From an answer to what is kept of it, and back.

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use weft_core::answers::{Hash, KeptAnswer};

use crate::body::{ResponseBody, full};

/// Says that an answer is that of an earlier request, in the word that clients know.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// Of one connection and one moment alone.
const NOT_KEPT: [HeaderName; 6] = [CONNECTION, TRANSFER_ENCODING, UPGRADE, TRAILER, DATE, CONTENT_LENGTH];

/// Whether an answer is one that a repetition gets as well. Not where trying again is right: what went wrong on our side,
/// and what came too early or too often. Nor what goes on without an end, nor what its function says nobody may keep.
pub(crate) fn is_kept(head: &Parts) -> bool {
    let again =
        matches!(head.status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS);
    let kind = head.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let events = kind.get(..17).is_some_and(|kind| kind.eq_ignore_ascii_case(b"text/event-stream"));
    let cached = head.headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let secret = cached.flat_map(|value| value.split(',')).any(|word| word.trim().eq_ignore_ascii_case("no-store"));
    !(again || events || secret || head.status.is_server_error() || head.status.is_informational())
}

/// Whether a body of so many bytes is as long as the head says, if it says it.
pub(crate) fn is_whole(head: &Parts, length: usize) -> bool {
    let said = |said: &HeaderValue| said.to_str().ok().and_then(|said| said.parse().ok()) == Some(length);
    head.headers.get(CONTENT_LENGTH).is_none_or(said)
}

/// What is kept of an answer.
pub(crate) fn kept(head: &Parts, body: &Bytes, fingerprint: Hash) -> KeptAnswer {
    let lines = head.headers.iter().filter(|(name, _)| !NOT_KEPT.contains(name));
    let headers = lines.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect();
    KeptAnswer { fingerprint, status: head.status.as_u16(), headers, body: body.to_vec() }
}

/// The answer once more. `None` if it is damaged.
pub(crate) fn replayed(kept: KeptAnswer) -> Option<Response<ResponseBody>> {
    let mut headers = HeaderMap::with_capacity(kept.headers.len() + 1);
    for (name, value) in kept.headers {
        headers.append(HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?);
    }
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    let mut response = Response::new(full(kept.body));
    *response.status_mut() = StatusCode::from_u16(kept.status).ok()?;
    *response.headers_mut() = headers;
    Some(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(status: u16, headers: &[(&str, &str)]) -> Parts {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        response.body(()).unwrap().into_parts().0
    }

    #[test]
    fn what_a_client_may_try_again_is_not_kept() {
        for (status, wanted) in
            [(200, true), (201, true), (202, true), (204, true), (303, true), (400, true), (404, true), (409, true)]
                .into_iter()
                .chain([100, 408, 425, 429, 500, 502, 503, 504].map(|status| (status, false)))
        {
            assert_eq!(is_kept(&head(status, &[])), wanted, "{status}");
        }
        assert!(!is_kept(&head(200, &[("content-type", "Text/Event-Stream; charset=utf-8")])));
        assert!(is_kept(&head(200, &[("content-type", "text/plain")])));
    }

    #[test]
    fn an_answer_comes_back_as_it_was() {
        let lines = [
            ("location", "/a/1"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
            ("content-type", "text/plain"),
            ("date", "yesterday"),
            ("content-length", "4"),
            ("connection", "close"),
        ];
        let body = Bytes::from_static(b"body");
        let again = replayed(kept(&head(201, &lines), &body, [1; 32])).unwrap();
        assert_eq!(again.status(), 201);
        let shown: Vec<_> = again.headers().iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
        let wanted = [
            "location: \"/a/1\"",
            "set-cookie: \"a=1\"",
            "set-cookie: \"b=2\"",
            "content-type: \"text/plain\"",
            "idempotent-replayed: \"true\"",
        ];
        assert_eq!(shown, wanted);
    }

    #[test]
    fn an_answer_that_broke_off_is_not_whole() {
        assert!(is_whole(&head(200, &[]), 4) && is_whole(&head(200, &[("content-length", "4")]), 4));
        for length in ["5", "3", "-4", "x"] {
            assert!(!is_whole(&head(200, &[("content-length", length)]), 4), "{length}");
        }
    }
}
