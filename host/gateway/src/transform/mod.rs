//! The manifest's rules that change requests and answers, worked out beforehand. What they do to heads is here, what they do
//! to JSON in [`json`]; when they are applied is the stack's business (`stack/transform.rs`).

mod json;

use http::header::{ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, IF_RANGE, RANGE};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Uri, request, response};
use weft_core::manifest;

pub(crate) use json::JsonRules;

/// Digests of a body that is changed are wrong.
const DIGESTS: [HeaderName; 4] = [
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-md5"),
];

/// One set of rules.
#[derive(Debug)]
pub(crate) struct Transform {
    pub name: String,
    /// The largest body whose JSON is changed, in bytes.
    pub max_json_bytes: usize,
    strip_prefix: Option<String>,
    add_prefix: Option<String>,
    query: manifest::Pairs,
    request_headers: HeaderRules,
    pub request_json: JsonRules,
    response_headers: HeaderRules,
    pub response_json: JsonRules,
}

#[derive(Debug)]
struct HeaderRules {
    remove: Vec<HeaderName>,
    rename: Vec<(HeaderName, HeaderName)>,
    set: Vec<(HeaderName, HeaderValue)>,
    add: Vec<(HeaderName, HeaderValue)>,
}

impl Transform {
    pub fn new(rules: &manifest::Transform) -> Self {
        Self {
            name: rules.name.to_string(),
            max_json_bytes: usize::try_from(rules.max_json_bytes).unwrap_or(usize::MAX),
            strip_prefix: rules.path.strip_prefix.as_ref().map(|prefix| prefix.value.to_string()),
            add_prefix: rules.path.add_prefix.as_ref().map(ToString::to_string),
            query: rules.query.clone(),
            request_headers: HeaderRules::new(&rules.request_headers),
            request_json: JsonRules::new(&rules.request_json),
            response_headers: HeaderRules::new(&rules.response_headers),
            response_json: JsonRules::new(&rules.response_json),
        }
    }

    /// Changes the head of a request. A part of what it asks for could not be changed as JSON, so that it is asked for whole.
    pub fn request(&self, head: &mut request::Parts) {
        self.request_headers.apply(&mut head.headers);
        if !self.response_json.is_empty() {
            for name in [RANGE, IF_RANGE] {
                head.headers.remove(name);
            }
        }
        if let Some(uri) = self.uri(&head.uri) {
            head.uri = uri;
        }
    }

    /// Changes the head of an answer.
    pub fn response(&self, head: &mut response::Parts) {
        self.response_headers.apply(&mut head.headers);
    }

    /// The URI with path and query changed; `None` if nothing is.
    fn uri(&self, uri: &Uri) -> Option<Uri> {
        let path = self.path(uri.path());
        let query = self.query_of(uri.query());
        if path.is_none() && query.is_none() {
            return None;
        }
        let path = path.unwrap_or_else(|| uri.path().to_owned());
        let query = query.unwrap_or_else(|| uri.query().unwrap_or_default().to_owned());
        let target = if query.is_empty() { path } else { format!("{path}?{query}") };
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = Some(PathAndQuery::try_from(target).ok()?);
        Uri::from_parts(parts).ok()
    }

    fn path(&self, path: &str) -> Option<String> {
        let rest = self.strip_prefix.as_ref().and_then(|prefix| {
            path.strip_prefix(prefix.as_str()).filter(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        let kept = rest.unwrap_or(path);
        match &self.add_prefix {
            Some(prefix) if kept == "/" => Some(prefix.clone()),
            Some(prefix) => Some(format!("{prefix}{kept}")),
            None => rest.map(|rest| if rest.is_empty() { "/".to_owned() } else { rest.to_owned() }),
        }
    }

    fn query_of(&self, query: Option<&str>) -> Option<String> {
        let manifest::Pairs { remove, set } = &self.query;
        if remove.is_empty() && set.is_empty() {
            return None;
        }
        let is_kept = |pair: &&str| {
            let name = form_urlencoded::parse(pair.as_bytes()).next().map(|(name, _)| name).unwrap_or_default();
            !pair.is_empty() && !remove.iter().chain(set.iter().map(|(name, _)| name)).any(|other| **other == *name)
        };
        // What is kept is kept byte for byte.
        let mut pairs: Vec<String> =
            query.unwrap_or_default().split('&').filter(is_kept).map(ToOwned::to_owned).collect();
        for (name, value) in set {
            pairs.push(form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish());
        }
        Some(pairs.join("&"))
    }
}

impl HeaderRules {
    /// The manifest has checked names and values.
    fn new(rules: &manifest::Headers) -> Self {
        let name = |text: &str| HeaderName::try_from(text).ok();
        let pairs = |pairs: &[(std::sync::Arc<str>, std::sync::Arc<str>)]| {
            let pair = |(key, value): &(std::sync::Arc<str>, std::sync::Arc<str>)| {
                Some((name(key)?, HeaderValue::from_bytes(value.as_bytes()).ok()?))
            };
            pairs.iter().filter_map(pair).collect()
        };
        Self {
            remove: rules.remove.iter().filter_map(|text| name(text)).collect(),
            rename: rules.rename.iter().filter_map(|(from, to)| Some((name(from)?, name(to)?))).collect(),
            set: pairs(&rules.set),
            add: pairs(&rules.add),
        }
    }

    fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (from, to) in &self.rename {
            let values: Vec<HeaderValue> = headers.get_all(from).iter().cloned().collect();
            if values.is_empty() {
                continue;
            }
            headers.remove(from);
            headers.remove(to);
            for value in values {
                headers.append(to, value);
            }
        }
        for (name, value) in &self.set {
            headers.insert(name, value.clone());
        }
        for (name, value) in &self.add {
            headers.append(name, value.clone());
        }
    }
}

/// Whether a body is JSON, `application/json` and nothing else.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

/// Whether a body has to be decoded before it can be read.
pub(crate) fn is_encoded(headers: &HeaderMap) -> bool {
    headers.get_all(CONTENT_ENCODING).iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// Takes away what was said of the body that there was.
pub(crate) fn unmeasured(headers: &mut HeaderMap) {
    for name in DIGESTS.iter().chain([&CONTENT_LENGTH, &ACCEPT_RANGES]) {
        headers.remove(name);
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
