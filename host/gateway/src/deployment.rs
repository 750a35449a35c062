//! What a gateway is told to serve: routes, who may use them, and the rules for all of them. It is taken up as one, so that a request
//! sees all of one deployment and nothing of another; whatever may be wrong with it is said when it is made.

use std::sync::Arc;

use weft_core::Generation;
use weft_core::manifest::{Manifest, Overload, RateLimits};
use weft_core::shared_limits::SharedLimits;

use crate::auth::{AuthSettings, Authenticator};
use crate::policy::Policy;
use crate::route::RouteTable;
use crate::settings::Limits;

/// Routes and authentication that do not fit together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Nobody could ever use the route.
    #[error(
        "route {pattern:?} of {component:?} needs a token, but no key is set to verify one: \
         add [application.tool.weft.auth] with keys, or public = true"
    )]
    NoKeys {
        /// The route's pattern.
        pattern: String,
        /// Its component.
        component: Arc<str>,
        /// The line of the route in the manifest.
        line: usize,
    },
}

impl ConfigError {
    /// The line in the manifest.
    #[must_use]
    pub fn line(&self) -> usize {
        match self {
            Self::NoKeys { line, .. } => *line,
        }
    }
}

/// What is served from some time on.
#[derive(Debug)]
pub struct Deployment {
    pub(crate) routes: RouteTable,
    pub(crate) auth: Option<AuthSettings>,
    /// The bounds.
    pub limits: Limits,
    /// The rules of the edge.
    pub policy: Policy,
    /// How many requests are admitted. A limit that is defined as before goes on counting where it is.
    pub rate_limits: RateLimits,
    /// Who counts for several hosts together; without it each counts for itself.
    pub shared_limits: Option<Arc<dyn SharedLimits>>,
    /// How many of them run at a time. What was learned before stays.
    pub overload: Overload,
    /// What the upstream runs for these routes; it finds it in the requests.
    pub generation: Option<Generation>,
}

impl Deployment {
    /// These routes for these callers, and nothing else said.
    ///
    /// # Errors
    /// [`ConfigError`] if a route needs a token and there is no key.
    pub fn new(routes: RouteTable, auth: Option<AuthSettings>) -> Result<Self, ConfigError> {
        // Settings by which nobody can be verified are none.
        let auth = auth.filter(|auth| !auth.is_without_keys());
        if let Some(route) = routes.any_protected().filter(|_| auth.is_none()) {
            let (pattern, component) = (route.pattern.to_string(), Arc::clone(&route.component));
            return Err(ConfigError::NoKeys { pattern, component, line: route.line });
        }
        Ok(Self {
            routes,
            auth,
            limits: Limits::default(),
            policy: Policy::default(),
            rate_limits: RateLimits::default(),
            shared_limits: None,
            overload: Overload::default(),
            generation: None,
        })
    }

    /// What a manifest says, for these callers.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn of(manifest: &Manifest, auth: Option<AuthSettings>) -> Result<Self, ConfigError> {
        Ok(Self {
            limits: Limits::from(&manifest.gateway),
            policy: Policy::of(manifest),
            rate_limits: manifest.gateway.rate_limits.clone(),
            overload: manifest.gateway.overload.clone(),
            ..Self::new(RouteTable::of(manifest), auth)?
        })
    }
}

/// What is served now. A request reads it once and keeps to it.
#[derive(Debug, Default)]
pub(crate) struct Served {
    pub routes: RouteTable,
    /// Who looks at tokens and API keys: a route that needs a token needs somebody to look at it.
    pub auth: Option<Arc<Authenticator>>,
    pub policy: Arc<Policy>,
    pub limits: Arc<Limits>,
    pub shared_limits: Option<Arc<dyn SharedLimits>>,
    pub generation: Option<Generation>,
}
