//! Which answers are compressed, and in which of the ways that the client accepts (RFC 9110 sections 8.4 and 12.5.3).

use std::sync::Arc;

use http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, HeaderName};
use http::response::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use weft_core::manifest;

/// Digests of a body that is no longer sent (RFC 9530 and what was before it).
const DIGESTS: [HeaderName; 4] = [
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("repr-digest"),
];
/// A reader of it waits for every event, and there may be no end.
const EVENT_STREAM: &[u8] = b"text/event-stream";
/// The q-value of 1.
const FULL: u16 = 1000;

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Zstd,
    Brotli,
    Gzip,
}

impl Coding {
    fn named(name: &[u8]) -> Option<Self> {
        match name.to_ascii_lowercase().as_slice() {
            b"zstd" => Some(Self::Zstd),
            b"br" => Some(Self::Brotli),
            b"gzip" | b"x-gzip" => Some(Self::Gzip),
            _ => None,
        }
    }

    /// What `Content-Encoding` says.
    pub fn header(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        })
    }
}

#[derive(Debug)]
pub(crate) struct Compression {
    /// In the order in which they are preferred.
    codings: Vec<Coding>,
    /// The smallest body that is compressed.
    pub min_bytes: u64,
    types: Vec<Arc<str>>,
}

impl Compression {
    pub fn new(settings: &manifest::Compression) -> Self {
        Self {
            codings: settings.algorithms.iter().filter_map(|name| Coding::named(name.as_bytes())).collect(),
            min_bytes: settings.min_bytes.into(),
            types: settings.types.clone(),
        }
    }

    /// The coding that the client likes best, and of those the one that we do; `None` for the body as it is.
    pub fn choose(&self, headers: &HeaderMap) -> Option<Coding> {
        let mut weights = [None; 3];
        let (mut others, mut plain) = (None, 0);
        let values = headers.get_all(ACCEPT_ENCODING).iter().flat_map(|value| value.as_bytes().split(|b| *b == b','));
        for (name, weight) in values.filter_map(weighted) {
            if name == b"*" {
                others = Some(weight);
            } else if name.eq_ignore_ascii_case(b"identity") {
                plain = weight;
            } else if let Some(slot) = Coding::named(name).and_then(|coding| weights.get_mut(coding as usize)) {
                *slot = Some(weight);
            }
        }
        let weight = |coding: Coding| weights.get(coding as usize).copied().flatten().or(others).unwrap_or(0);
        let wanted = self.codings.iter().copied().filter(|coding| weight(*coding) > 0 && weight(*coding) >= plain);
        // Of several with the same weight, `max_by_key` takes the last.
        wanted.rev().max_by_key(|coding| weight(*coding))
    }

    /// Whether this answer may be sent in another form than the function gave it.
    pub fn fits(&self, head: &Parts) -> bool {
        let has_body = !matches!(
            head.status,
            StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::PARTIAL_CONTENT | StatusCode::NOT_MODIFIED
        );
        let headers = &head.headers;
        let is_free = !headers.contains_key(CONTENT_ENCODING)
            && !headers.contains_key(CONTENT_RANGE)
            && !DIGESTS.iter().any(|digest| headers.contains_key(digest))
            && !headers.get_all(CACHE_CONTROL).iter().any(forbids_transforming);
        has_body && is_free && headers.get(CONTENT_TYPE).is_some_and(|kind| self.is_compressible(kind))
    }

    fn is_compressible(&self, kind: &HeaderValue) -> bool {
        let kind = kind.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        !kind.eq_ignore_ascii_case(EVENT_STREAM) && self.types.iter().any(|pattern| matches(pattern.as_bytes(), kind))
    }
}

/// Whether a media type is `pattern`, in which a star stands for anything.
fn matches(pattern: &[u8], kind: &[u8]) -> bool {
    match pattern.iter().position(|byte| *byte == b'*') {
        None => pattern.eq_ignore_ascii_case(kind),
        Some(star) => {
            let (before, after) =
                (pattern.get(..star).unwrap_or_default(), pattern.get(star + 1..).unwrap_or_default());
            let start = kind.get(..before.len());
            let rest = kind.get(before.len()..).unwrap_or_default();
            let end = rest.len().checked_sub(after.len()).and_then(|at| rest.get(at..));
            start.is_some_and(|start| start.eq_ignore_ascii_case(before))
                && end.is_some_and(|end| end.eq_ignore_ascii_case(after))
        }
    }
}

fn forbids_transforming(value: &HeaderValue) -> bool {
    value.as_bytes().split(|byte| *byte == b',').any(|word| word.trim_ascii().eq_ignore_ascii_case(b"no-transform"))
}

/// A coding and its weight in thousandths; `None` if it is written in no way that the standard knows.
fn weighted(item: &[u8]) -> Option<(&[u8], u16)> {
    let mut parts = item.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let name = parts.next().filter(|name| !name.is_empty())?;
    let Some(parameter) = parts.next() else { return Some((name, FULL)) };
    let written = parameter.strip_prefix(b"q=").or_else(|| parameter.strip_prefix(b"Q="))?;
    Some((name, thousandths(written)?))
}

/// `0`, `1`, or either with up to three decimals.
fn thousandths(written: &[u8]) -> Option<u16> {
    let (whole, decimals) = match written {
        [whole] => (whole, &[][..]),
        [whole, b'.', decimals @ ..] if decimals.len() <= 3 => (whole, decimals),
        _ => return None,
    };
    let mut value = u16::from(whole.checked_sub(b'0').filter(|digit| *digit <= 1)?);
    for place in 0..3 {
        let digit = decimals.get(place).copied().unwrap_or(b'0');
        value = value * 10 + u16::from(digit.checked_sub(b'0').filter(|digit| *digit <= 9)?);
    }
    (value <= FULL).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Response;

    fn ours() -> Compression {
        Compression::new(&manifest::Compression::default())
    }

    #[test]
    fn the_clients_wish_comes_before_ours() {
        for (accepted, expected) in [
            ("", None),
            ("gzip", Some(Coding::Gzip)),
            ("X-GZIP", Some(Coding::Gzip)),
            ("gzip, deflate, br, zstd", Some(Coding::Zstd)),
            ("gzip, br", Some(Coding::Brotli)),
            ("gzip;q=1.0, br;q=0.9", Some(Coding::Gzip)),
            ("gzip;q=0, *", Some(Coding::Zstd)),
            ("*;q=0, gzip;q=0.001", Some(Coding::Gzip)),
            ("*", Some(Coding::Zstd)),
            ("*;q=0", None),
            ("zstd;q=0, br;q=0.000, gzip;q=0.0", None),
            ("identity", None),
            ("identity;q=0.5, gzip;q=0.4", None),
            ("identity;q=0, gzip", Some(Coding::Gzip)),
            ("deflate, compress", None),
            ("gzip;q=2, br;q=-1, zstd;q=0.1234", None),
            ("gzip;q=abc", None),
            (" ,, gzip ; q=0.5 ,", Some(Coding::Gzip)),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(accepted));
            assert_eq!(ours().choose(&headers), expected, "{accepted:?}");
        }
        assert_eq!(ours().choose(&HeaderMap::new()), None);
        let mut gzip_first = ours();
        gzip_first.codings.reverse();
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip, br, zstd"));
        assert_eq!(gzip_first.choose(&headers), Some(Coding::Gzip));
    }

    #[test]
    fn only_what_may_change_its_form_is_compressed() {
        let fits = |status: u16, headers: &[(&str, &str)]| {
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(*name, *value);
            }
            ours().fits(&response.body(()).unwrap().into_parts().0)
        };
        let json = ("content-type", "application/json");
        for kind in
            ["text/html; charset=utf-8", "TEXT/CSS", "application/problem+json", "image/svg+xml", "application/wasm"]
        {
            assert!(fits(200, &[("content-type", kind)]), "{kind}");
        }
        for kind in [
            "image/png",
            "application/octet-stream",
            "text/event-stream",
            "Text/Event-Stream; x=y",
            "application/+",
            "text",
        ] {
            assert!(!fits(200, &[("content-type", kind)]), "{kind}");
        }
        assert!(fits(404, &[json]) && !fits(200, &[]));
        for status in [204, 205, 206, 304] {
            assert!(!fits(status, &[json]), "{status}");
        }
        for other in [
            ("content-encoding", "gzip"),
            ("content-range", "bytes 0-1/2"),
            ("content-digest", "sha-256=:x:"),
            ("cache-control", "public, No-Transform"),
        ] {
            assert!(!fits(200, &[json, other]), "{other:?}");
        }
    }
}
