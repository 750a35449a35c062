//! Who a request comes from, as a verified token or an API key says, ready to be passed on.

use std::collections::HashMap;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use serde::Deserialize;

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
    r#type: String,
    /// The manifest may name some of these.
    #[serde(flatten)]
    others: HashMap<String, serde_json::Value>,
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
    /// `None` for a token of another type, or claims that cannot be passed on in headers without becoming ambiguous.
    pub(super) fn from_claims(claims: Claims, names: &ClaimNames) -> Option<Self> {
        if claims.r#type != "access" {
            return None;
        }
        let text = |name: &str| claims.others.get(name).and_then(|value| value.as_str()).map(Arc::from);
        let (tier, tenant) = (text(&names.tier), text(&names.tenant));
        let mut headers = headers(&claims.sub, &claims.role, &claims.permissions)?;
        if let Some(email) = &claims.email {
            headers.push((HeaderName::from_static("x-user-email"), header(email)?));
        }
        Some(Self {
            subject: claims.sub.into(),
            role: claims.role,
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

    /// The caller behind an API key. `None` if owner, role or permissions cannot be passed on in headers.
    #[must_use]
    pub fn of_api_key(key: ApiKey) -> Option<Self> {
        let headers = headers(&key.owner, &key.role, &key.permissions)?;
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

    /// The `sub` claim: the user's id.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The `role` claim; empty if the token has none.
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

/// `None` for what would be ambiguous in a header, or no value of one.
fn headers(subject: &str, role: &str, permissions: &[String]) -> Option<Vec<(HeaderName, HeaderValue)>> {
    if subject.is_empty() || permissions.iter().any(|permission| permission.contains(',')) {
        return None;
    }
    Some(vec![
        (HeaderName::from_static("x-user-id"), header(subject)?),
        (HeaderName::from_static("x-user-role"), header(role)?),
        (HeaderName::from_static("x-user-permissions"), header(&permissions.join(","))?),
    ])
}
