//! Who a request comes from, as a verified token says, ready to be passed on.

use http::{HeaderName, HeaderValue};
use serde::Deserialize;

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
}

/// A verified caller.
#[derive(Debug)]
pub struct Identity {
    subject: String,
    role: String,
    permissions: Vec<String>,
    expires_at_s: u64,
    not_before_s: u64,
    issued_at_s: u64,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Identity {
    /// `None` for a token of another type, or claims that cannot be passed on in headers without becoming ambiguous.
    pub(super) fn from_claims(claims: Claims) -> Option<Self> {
        let commas = claims.permissions.iter().any(|permission| permission.contains(','));
        if claims.r#type != "access" || claims.sub.is_empty() || commas {
            return None;
        }
        let header = |value: &str| HeaderValue::from_bytes(value.as_bytes()).ok();
        let mut headers = vec![
            (HeaderName::from_static("x-user-id"), header(&claims.sub)?),
            (HeaderName::from_static("x-user-role"), header(&claims.role)?),
            (HeaderName::from_static("x-user-permissions"), header(&claims.permissions.join(","))?),
        ];
        if let Some(email) = &claims.email {
            headers.push((HeaderName::from_static("x-user-email"), header(email)?));
        }
        Some(Self {
            subject: claims.sub,
            role: claims.role,
            permissions: claims.permissions,
            expires_at_s: claims.exp,
            not_before_s: claims.nbf.unwrap_or_default(),
            issued_at_s: claims.iat.unwrap_or_default(),
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
        Self::from_claims(serde_json::from_value(claims).unwrap()).unwrap()
    }
}
