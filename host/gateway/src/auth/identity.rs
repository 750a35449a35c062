//! Who a request comes from, as a verified token or an API key says, ready to be passed on.

use std::collections::HashMap;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use serde::Deserialize;
use weft_core::manifest::is_service_name;

use super::api_key::ApiKey;

/// The claims that we read.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    sub: String,
    exp: u64,
    nbf: Option<u64>,
    iat: Option<u64>,
    email: Option<String>,
    #[serde(default)]
    role: String,
    #[serde(default)]
    permissions: Vec<String>,
    #[serde(alias = "typ")]
    r#type: TokenType,
    /// The manifest may name some of these.
    #[serde(flatten)]
    others: HashMap<String, serde_json::Value>,
}

/// Whose a token is. Those of another type identify nobody.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum TokenType {
    /// A user's.
    Access,
    /// A service's.
    Service,
}

/// Before the name of a service stands this where it could be taken for a user's id.
const SERVICE: &str = "service:";

/// The subject of a service.
#[must_use]
pub fn service_subject(name: &str) -> String {
    format!("{SERVICE}{name}")
}

/// Whether a subject is that of a service, which no user's can be.
#[must_use]
pub fn is_service(subject: &str) -> bool {
    subject.starts_with(SERVICE)
}

/// Which claims say more of a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimNames {
    /// The claim with the caller's tier.
    pub tier: String,
    /// The claim with the caller's tenant.
    pub tenant: String,
}

impl Default for ClaimNames {
    fn default() -> Self {
        Self { tier: "tier".to_owned(), tenant: "tenant".to_owned() }
    }
}

/// A verified caller.
#[derive(Debug)]
pub struct Identity {
    /// Of a service, with [`SERVICE`] before its name.
    subject: Arc<str>,
    role: String,
    permissions: Vec<String>,
    expires_at_s: u64,
    not_before_s: u64,
    issued_at_s: u64,
    tier: Option<Arc<str>>,
    tenant: Option<Arc<str>>,
    api_key: Option<Arc<str>>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Identity {
    /// `None` for claims that cannot be passed on in headers without becoming ambiguous, and for a user who would be taken for a
    /// service.
    pub(super) fn from_claims(claims: Claims, names: &ClaimNames) -> Option<Self> {
        let text = |name: &str| claims.others.get(name).and_then(|value| value.as_str()).map(Arc::from);
        let (tier, tenant) = (text(&names.tier), text(&names.tenant));
        let (subject, role, headers) = if claims.r#type == TokenType::Service {
            let headers = service_headers(&claims.sub, &claims.permissions)?;
            (service_subject(&claims.sub).into(), String::new(), headers)
        } else {
            let mut headers = user_headers(&claims.sub, &claims.role, &claims.permissions)?;
            if let Some(email) = &claims.email {
                headers.push((HeaderName::from_static("x-user-email"), header(email)?));
            }
            (claims.sub.into(), claims.role, headers)
        };
        Some(Self {
            subject,
            role,
            permissions: claims.permissions,
            expires_at_s: claims.exp,
            not_before_s: claims.nbf.unwrap_or_default(),
            issued_at_s: claims.iat.unwrap_or_default(),
            tier,
            tenant,
            api_key: None,
            headers,
        })
    }

    /// The caller behind an API key. `None` if owner, role or permissions cannot be passed on in headers, or the owner would be
    /// taken for a service.
    #[must_use]
    pub fn of_api_key(key: ApiKey) -> Option<Self> {
        let headers = user_headers(&key.owner, &key.role, &key.permissions)?;
        Some(Self {
            subject: key.owner,
            role: key.role,
            permissions: key.permissions,
            expires_at_s: key.expires_at_s.unwrap_or(u64::MAX),
            not_before_s: 0,
            issued_at_s: 0,
            tier: key.tier,
            tenant: key.tenant,
            api_key: Some(key.id),
            headers,
        })
    }

    /// The `sub` claim: the user's id, or `service:` and the name of a service.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The name of the service, if it is one.
    #[must_use]
    pub fn service(&self) -> Option<&str> {
        self.subject.strip_prefix(SERVICE)
    }

    /// The `role` claim; empty if the token has none, and for services.
    #[must_use]
    pub fn role(&self) -> &str {
        &self.role
    }

    /// The `permissions` claim.
    #[must_use]
    pub fn permissions(&self) -> &[String] {
        &self.permissions
    }

    /// The tier that the token or the API key names.
    #[must_use]
    pub fn tier(&self) -> Option<&Arc<str>> {
        self.tier.as_ref()
    }

    /// The tenant that the token or the API key names.
    #[must_use]
    pub fn tenant(&self) -> Option<&Arc<str>> {
        self.tenant.as_ref()
    }

    /// The id of the API key, if it was one.
    #[must_use]
    pub fn api_key(&self) -> Option<&Arc<str>> {
        self.api_key.as_ref()
    }

    /// As [`Identity::subject`], to keep.
    pub(crate) fn shared_subject(&self) -> &Arc<str> {
        &self.subject
    }

    pub(super) fn expires_at_s(&self) -> u64 {
        self.expires_at_s
    }

    pub(super) fn not_before_s(&self) -> u64 {
        self.not_before_s
    }

    /// 0 if the token does not say, so that any revocation voids it.
    pub(super) fn issued_at_s(&self) -> u64 {
        self.issued_at_s
    }

    /// The headers by which a function learns who calls.
    pub(crate) fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.headers
    }

    #[cfg(test)]
    pub(crate) fn for_tests(subject: &str) -> Self {
        let claims = serde_json::json!({ "sub": subject, "exp": u64::MAX, "type": "access" });
        Self::from_claims(serde_json::from_value(claims).unwrap(), &ClaimNames::default()).unwrap()
    }
}

fn header(value: &str) -> Option<HeaderValue> {
    HeaderValue::from_bytes(value.as_bytes()).ok()
}

/// `None` for what would be ambiguous in a header, or no value of one, and for a subject that would be taken for a service's.
fn user_headers(subject: &str, role: &str, permissions: &[String]) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let id = header(subject).filter(|_| !subject.is_empty() && !is_service(subject))?;
    Some(vec![
        (HeaderName::from_static("x-user-id"), id),
        (HeaderName::from_static("x-user-role"), header(role)?),
        (HeaderName::from_static("x-user-permissions"), joined(permissions)?),
    ])
}

/// The same of a service, which is no user. `None` also for what is no name of one: its tokens could not be voided by name.
fn service_headers(name: &str, permissions: &[String]) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let id = header(name).filter(|_| is_service_name(name))?;
    Some(vec![
        (HeaderName::from_static("x-service-id"), id),
        (HeaderName::from_static("x-service-permissions"), joined(permissions)?),
    ])
}

fn joined(permissions: &[String]) -> Option<HeaderValue> {
    let is_ambiguous = permissions.iter().any(|permission| permission.contains(','));
    if is_ambiguous { None } else { header(&permissions.join(",")) }
}
