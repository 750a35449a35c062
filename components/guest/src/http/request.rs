//! A request as a handler sees it: parsed, bounded, with the identity that the gateway vouches for.

use std::cell::OnceCell;
use std::rc::Rc;

use serde::de::DeserializeOwned;

use super::Problem;
use crate::bindings::wasi::http::types as wasi;
use crate::{cursor, ids, json};

/// Who is asking, as the gateway's headers say. The gateway strips these headers from what clients send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Id of the account.
    pub id: String,
    /// `student`, `teacher` or `admin`; what the token says.
    pub role: String,
    /// Permissions of the token.
    pub permissions: Vec<String>,
    /// The account's e-mail, if the token has one.
    pub email: Option<String>,
}

/// The service that is asking, by a token of its own, as the gateway's headers say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub id: String,
    /// Permissions of the token.
    pub permissions: Vec<String>,
}

impl User {
    /// Whether the role is `admin`.
    pub fn is_admin(&self) -> bool {
        self.role == "admin"
    }
}

/// A request.
#[derive(Debug)]
pub struct Request {
    method: String,
    path: String,
    query: Vec<(String, String)>,
    headers: Rc<Headers>,
    body: Vec<u8>,
}

impl Request {
    /// A request out of its parts; header names in lower case.
    pub fn new(method: String, target: &str, headers: Vec<(String, String)>, body: Vec<u8>) -> Self {
        Self::received(method, target, Rc::new(Headers { fields: None, read: OnceCell::from(headers) }), body)
    }

    pub(super) fn received(method: String, target: &str, headers: Rc<Headers>, body: Vec<u8>) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Self { method, path: path.to_string(), query: query_pairs(query), headers, body }
    }

    /// The method, in capitals.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The path, without the query.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The body's bytes.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The first header of that name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.first(name)
    }

    /// The first query parameter of that name, decoded.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All query parameters, decoded, in their order.
    pub fn query_pairs(&self) -> &[(String, String)] {
        &self.query
    }

    /// A parameter of the path, such as `:id`, decoded.
    pub fn path_param(&self, name: &str) -> Option<String> {
        self.header(&format!("spin-path-match-{name}")).map(|value| percent_decoded(value, false))
    }

    /// The path parameter `:id`, which has to be a UUID: what cannot be an id names nothing.
    pub fn id_of(&self, what: &str) -> Result<String, Problem> {
        let id = self.path_param("id").filter(|id| ids::is_uuid(id)).ok_or_else(|| Problem::not_found(what))?;
        Ok(id.to_lowercase())
    }

    /// Who is asking, if anybody is signed in.
    pub fn user(&self) -> Option<User> {
        let id = self.header("x-user-id").filter(|id| !id.is_empty())?;
        Some(User {
            id: id.to_string(),
            role: self.header("x-user-role").unwrap_or_default().to_string(),
            permissions: self.permissions("x-user-permissions"),
            email: self.header("x-user-email").filter(|email| !email.is_empty()).map(str::to_string),
        })
    }

    /// The service that is asking, if one is.
    pub fn service(&self) -> Option<Service> {
        let id = self.header("x-service-id").filter(|id| !id.is_empty())?;
        Some(Service { id: id.to_string(), permissions: self.permissions("x-service-permissions") })
    }

    fn permissions(&self, header: &str) -> Vec<String> {
        let told = self.header(header).unwrap_or_default();
        told.split([',', ' ']).filter(|word| !word.is_empty()).map(str::to_string).collect()
    }

    /// Who is asking, or 401.
    pub fn require_user(&self) -> Result<User, Problem> {
        self.user().ok_or_else(Problem::unauthorized)
    }

    /// The client's IP address, as far as the gateway can vouch for it: the peer, or what the trusted proxy in front
    /// of us saw as its own peer. What stands further left in `X-Forwarded-For` anybody could have written.
    pub fn client_address(&self) -> Option<&str> {
        let mut nearest_first = self.header("x-forwarded-for")?.rsplit(',').map(str::trim);
        let peer = nearest_first.next();
        nearest_first.next().or(peer)
    }

    /// Seconds to wait for the outcome (RFC 7240 `Prefer: wait=N`), at most 30; `None` if the client does not ask.
    pub fn prefer_wait(&self) -> Option<u32> {
        let mut preferences =
            self.headers.all().iter().filter(|(name, _)| name == "prefer").flat_map(|(_, value)| value.split(','));
        preferences.find_map(|preference| {
            let (name, value) = preference.split(';').next()?.split_once('=')?;
            let wait = name.trim().eq_ignore_ascii_case("wait");
            let digits = value.trim().trim_matches('"');
            let number = wait && !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
            // A number too large to hold is a long wait all the same.
            number.then(|| digits.parse().unwrap_or(u32::MAX).min(30))
        })
    }

    /// The JSON body: 400 if it is not JSON, 422 naming the field if it is not of this shape.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        json::decode(&self.body).map_err(|error| match error {
            json::DecodeError::Malformed(message) => {
                Problem::new(400, "malformed-json", "The body is not JSON").detail(message)
            }
            json::DecodeError::Invalid { field, message } => Problem::invalid(field, message),
        })
    }

    /// The query parameter `limit`, or `default`; 422 unless it is 1 to `max`.
    pub fn limit(&self, default: u32, max: u32) -> Result<u32, Problem> {
        let Some(text) = self.query("limit") else { return Ok(default) };
        let limit = text.parse().ok().filter(|limit| (1..=max).contains(limit));
        limit.ok_or_else(|| Problem::invalid("limit", format!("has to be a number from 1 to {max}")))
    }

    /// The query parameter `cursor`, decoded to its `N` keys; 422 if it is none of ours.
    pub fn cursor<const N: usize>(&self) -> Result<Option<[String; N]>, Problem> {
        let Some(text) = self.query("cursor") else { return Ok(None) };
        cursor::decode(text).map(Some).ok_or_else(|| Problem::invalid("cursor", "is not a cursor of this listing"))
    }

    /// The key of the command that this request is: from `Idempotency-Key` and the user where the client sends one,
    /// else a new one. 422 for a key that is empty or over 255 bytes.
    pub fn command_key(&self) -> Result<String, Problem> {
        let Some(key) = self.header("idempotency-key") else { return Ok(ids::uuid()) };
        if key.is_empty() || key.len() > 255 {
            return Err(Problem::invalid("Idempotency-Key", "has to have 1 to 255 characters"));
        }
        let subject = self.user().map(|user| user.id).unwrap_or_default();
        Ok(ids::derived(&[&subject, &self.method, &self.path, key]))
    }
}

/// The headers of a request. They are copied out of the host when one is asked for first: the gateway adds a dozen, and
/// many a function looks at none.
#[derive(Debug)]
pub(super) struct Headers {
    fields: Option<wasi::Headers>,
    read: OnceCell<Vec<(String, String)>>,
}

impl Headers {
    pub(super) fn of(request: &wasi::Request) -> Self {
        Self { fields: Some(request.get_headers()), read: OnceCell::new() }
    }

    fn all(&self) -> &[(String, String)] {
        self.read.get_or_init(|| {
            let fields = self.fields.iter().flat_map(wasi::Headers::copy_all);
            fields.map(|(name, value)| (name.to_lowercase(), String::from_utf8_lossy(&value).into_owned())).collect()
        })
    }

    /// The first header of that name (lower case).
    pub(super) fn first(&self, name: &str) -> Option<&str> {
        self.all().iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }
}

pub(super) fn method_of(request: &wasi::Request) -> String {
    match request.get_method() {
        wasi::Method::Get => "GET",
        wasi::Method::Head => "HEAD",
        wasi::Method::Post => "POST",
        wasi::Method::Put => "PUT",
        wasi::Method::Delete => "DELETE",
        wasi::Method::Connect => "CONNECT",
        wasi::Method::Options => "OPTIONS",
        wasi::Method::Trace => "TRACE",
        wasi::Method::Patch => "PATCH",
        wasi::Method::Other(other) => return other,
    }
    .to_string()
}

fn query_pairs(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (percent_decoded(key, true), percent_decoded(value, true)))
        .collect()
}

/// Decodes `%XX`, and `+` as a space in a query. What is no escape stays as it is.
fn percent_decoded(text: &str, plus_is_space: bool) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let escaped = rest.as_slice_pair().filter(|_| byte == b'%');
        match (byte, escaped) {
            (_, Some(decoded)) => {
                bytes.push(decoded);
                rest.nth(1);
            }
            (b'+', _) if plus_is_space => bytes.push(b' '),
            (other, _) => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The next two bytes as a hexadecimal number, without taking them.
trait SlicePair {
    fn as_slice_pair(&self) -> Option<u8>;
}

impl SlicePair for std::str::Bytes<'_> {
    fn as_slice_pair(&self) -> Option<u8> {
        let mut ahead = self.clone();
        let high = char::from(ahead.next()?).to_digit(16)?;
        let low = char::from(ahead.next()?).to_digit(16)?;
        u8::try_from(high * 16 + low).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::Request;

    fn request(target: &str, headers: &[(&str, &str)]) -> Request {
        let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        Request::new("GET".into(), target, headers, Vec::new())
    }

    #[test]
    fn the_query_is_decoded() {
        let request = request("/a?q=a%20b+c&n&x=%zz%4", &[]);
        assert_eq!(request.path(), "/a");
        assert_eq!(request.query("q"), Some("a b c"));
        assert_eq!(request.query("n"), Some(""));
        assert_eq!(request.query("x"), Some("%zz%4"));
        assert_eq!(request.query("y"), None);
    }

    #[test]
    fn prefer_wait_is_found_among_preferences_and_capped() {
        let wait = |value: &str| request("/", &[("prefer", value)]).prefer_wait();
        assert_eq!(wait("wait=5"), Some(5));
        assert_eq!(wait("respond-async, Wait=\"90\";foo"), Some(30));
        assert_eq!(wait("respond-async"), None);
        assert_eq!(wait("wait=-1"), None);
        assert_eq!(wait("wait="), None);
        assert_eq!(wait("wait=99999999999"), Some(30));
        assert_eq!(request("/", &[]).prefer_wait(), None);
    }

    #[test]
    fn identity_comes_from_the_gateway_headers() {
        assert!(request("/", &[("x-user-id", "")]).user().is_none());
        let service = request("/", &[("x-service-id", "grading"), ("x-service-permissions", "a,b")]);
        assert!(service.user().is_none());
        assert_eq!(service.service().unwrap().permissions, ["a", "b"]);
        let user = request("/", &[("x-user-id", "u"), ("x-user-role", "admin"), ("x-user-permissions", "a, b")]).user();
        let user = user.unwrap();
        assert!(user.is_admin());
        assert_eq!(user.permissions, ["a", "b"]);
    }

    #[test]
    fn the_client_is_the_peer_or_what_the_nearest_proxy_saw() {
        let address = |chain: &str| request("/", &[("x-forwarded-for", chain)]).client_address().map(str::to_string);
        assert_eq!(address("192.0.2.1").as_deref(), Some("192.0.2.1"));
        assert_eq!(address("forged, 192.0.2.1, 10.0.0.1").as_deref(), Some("192.0.2.1"));
        assert!(request("/", &[]).client_address().is_none());
    }

    #[test]
    fn limits_and_ids_are_checked() {
        assert_eq!(request("/?limit=7", &[]).limit(20, 100).unwrap(), 7);
        assert_eq!(request("/?limit=0", &[]).limit(20, 100).unwrap_err().status(), 422);
        assert_eq!(request("/?limit=x", &[]).limit(20, 100).unwrap_err().status(), 422);
        assert_eq!(request("/", &[("spin-path-match-id", "nope")]).id_of("course").unwrap_err().status(), 404);
    }
}
