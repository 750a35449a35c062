//! The gateway: what it is made of, how its routes and rules are replaced, and how it serves and drains.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures::future::{Either, select};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use weft_core::Clock;
use weft_core::manifest::RateLimits;

use crate::auth::{AuthSettings, Authenticator};
use crate::door::Door;
use crate::health::{HealthBoard, HealthCheck};
use crate::limit::LimitReport;
use crate::listen::Listeners;
use crate::policy::Policy;
use crate::route::RouteTable;
use crate::settings::Settings;
use crate::shared::Shared;
use crate::stack::Upstream;

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
    },
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that had to be cut off with a request in work, because the time was up.
    pub cut_off: usize,
}

/// The HTTP edge over an upstream.
#[derive(Debug)]
pub struct Gateway<S> {
    shared: Arc<Shared>,
    upstream: S,
}

impl<S: Upstream> Gateway<S> {
    /// A gateway that is not listening yet.
    ///
    /// # Errors
    /// [`ConfigError`] if a route needs a token and there is no key.
    pub fn new(
        clock: Arc<dyn Clock>,
        settings: Settings,
        routes: RouteTable,
        auth: Option<AuthSettings>,
        checks: Vec<Arc<dyn HealthCheck>>,
        upstream: S,
    ) -> Result<Self, ConfigError> {
        let auth = auth.filter(|auth| !auth.is_without_keys()).map(Authenticator::new);
        let shared = Shared::new(clock, settings, auth, HealthBoard::new(checks));
        let gateway = Self { shared: Arc::new(shared), upstream };
        gateway.set_routes(routes)?;
        Ok(gateway)
    }

    /// Replaces all routes. Requests in work go on with the old ones.
    ///
    /// # Errors
    /// [`ConfigError`] if a route needs a token and there is no key; the old routes then stay.
    pub fn set_routes(&self, routes: RouteTable) -> Result<(), ConfigError> {
        self.ensure_keys(&routes)?;
        self.shared.set_routes(routes);
        Ok(())
    }

    /// Replaces all routes and rate limits. A limit that is defined as before goes on counting where it is; requests in
    /// work go on with the old ones.
    ///
    /// # Errors
    /// As [`Gateway::set_routes`]; the old limits then stay as well.
    pub fn deploy(&self, routes: RouteTable, rate_limits: &RateLimits) -> Result<(), ConfigError> {
        self.ensure_keys(&routes)?;
        self.shared.set_rate_limits(rate_limits);
        self.shared.set_routes(routes);
        Ok(())
    }

    /// How all rate limits stand, with so many of the callers that have used most of each.
    #[must_use]
    pub fn rate_limits(&self, callers: usize) -> Vec<LimitReport> {
        let now_ns = u64::try_from(self.shared.clock.monotonic().as_nanos()).unwrap_or(u64::MAX);
        self.shared.rate_limits().report(callers, now_ns)
    }

    fn ensure_keys(&self, routes: &RouteTable) -> Result<(), ConfigError> {
        if let Some(route) = routes.any_protected().filter(|_| self.shared.auth.is_none()) {
            let (pattern, component) = (route.pattern.to_string(), Arc::clone(&route.component));
            return Err(ConfigError::NoKeys { pattern, component });
        }
        Ok(())
    }

    /// Never ends.
    async fn keep_keys_fresh(&self) {
        match &self.shared.auth {
            Some(auth) => auth.keep_keys_fresh(&*self.shared.clock).await,
            None => std::future::pending().await,
        }
    }

    /// Requests in work now.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.shared.in_flight.load(Relaxed)
    }

    /// Whether it has stopped taking connections; `/readyz` then answers 503.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.shared.draining.load(Relaxed)
    }

    /// Replaces the rules of the edge. Requests in work go on with the old ones, and so do connections as far as they
    /// concern who is trusted.
    pub fn set_policy(&self, policy: Policy) {
        self.shared.policy.store(Arc::new(policy));
    }

    /// Serves until `shutdown` resolves; then takes no more connections, lets requests in work finish for up to
    /// `drain_timeout`, and cuts off the rest.
    pub async fn serve(
        &self,
        listeners: impl Into<Listeners>,
        shutdown: impl Future<Output = ()>,
        drain_timeout: Duration,
    ) -> Drained {
        let (drain, draining) = watch::channel(());
        let connections = TaskTracker::new();
        let door = Door::new(&self.shared, &self.upstream, &connections, draining);
        tokio::select! {
            () = door.accept_all(listeners.into()) => {}
            () = self.keep_keys_fresh() => {}
            () = shutdown => {}
        }
        // The listeners are closed by now, for they went with the accepting half.
        self.shared.draining.store(true, Relaxed);
        // Their answers have no end by themselves.
        if let Some(push) = &self.shared.push {
            push.hub.close();
        }
        // Nobody listening means that no connection is open.
        let _ = drain.send(());
        connections.close();
        let patience = self.shared.clock.sleep(drain_timeout);
        let cut_off = match select(std::pin::pin!(connections.wait()), patience).await {
            Either::Left(_) => 0,
            Either::Right(_) => connections.len(),
        };
        // Whoever still serves sees this and stops.
        drop(drain);
        connections.wait().await;
        Drained { cut_off }
    }
}
