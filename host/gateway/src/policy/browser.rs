//! The headers that restrain a browser, and what it and plain HTTP are told of HTTPS.

use http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use http::{HeaderName, HeaderValue};
use weft_core::manifest::{self, SecurityHeaders};

const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");

/// What every answer has; the manifest has seen to it that these are header values.
pub(super) fn headers(settings: &SecurityHeaders) -> Vec<(HeaderName, HeaderValue)> {
    let written = [
        (X_FRAME_OPTIONS, &settings.frame_options),
        (CONTENT_SECURITY_POLICY, &settings.content_security_policy),
        (REFERRER_POLICY, &settings.referrer_policy),
        (PERMISSIONS_POLICY, &settings.permissions_policy),
    ];
    let written = written.into_iter().filter(|(_, text)| !text.is_empty());
    let written = written.filter_map(|(name, text)| Some((name, HeaderValue::from_str(text).ok()?)));
    [(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"))].into_iter().chain(written).collect()
}

/// What is done about HTTPS where it is served.
#[derive(Debug)]
pub(crate) struct Https {
    /// `Strict-Transport-Security` of answers over HTTPS.
    pub hsts: Option<HeaderValue>,
    /// Whether plain HTTP is sent there.
    pub redirect: bool,
    /// The port it is sent to, if it is not the one that is listened on.
    pub redirect_port: Option<u16>,
}

impl Https {
    pub fn new(tls: &manifest::Tls) -> Self {
        let hsts = tls.hsts.and_then(|hsts| {
            let subdomains = if hsts.subdomains { "; includeSubDomains" } else { "" };
            HeaderValue::try_from(format!("max-age={}{subdomains}", hsts.max_age_s)).ok()
        });
        Self { hsts, redirect: tls.redirect, redirect_port: tls.redirect_port }
    }
}
