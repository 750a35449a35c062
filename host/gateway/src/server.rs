//! The gateway: what it is made of, how its routes and rules are replaced, and how it serves and drains.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures::future::{Either, select};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use weft_core::Clock;
use weft_core::manifest::{Overload, RateLimits};

use crate::auth::{AuthSettings, Authenticator};
use crate::door::Door;
use crate::health::{HealthBoard, HealthCheck};
use crate::limit::LimitReport;
use crate::listen::Listeners;
use crate::overload::OverloadReport;
use crate::policy::Policy;
use crate::route::RouteTable;
use crate::settings::{Limits, Settings};
use crate::shared::Shared;
use crate::stack::Upstream;
use crate::tls::Tls;

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
        let auth = authenticator(auth);
        ensure_keys(&routes, auth.as_ref())?;
        let shared = Shared::new(clock, settings, HealthBoard::new(checks));
        shared.serve(routes, auth);
        let gateway = Self { shared: Arc::new(shared), upstream };
        Ok(gateway)
    }

    /// Replaces all routes. Requests in work go on with the old ones.
    ///
    /// # Errors
    /// [`ConfigError`] if a route needs a token and there is no key; the old routes then stay.
    pub fn set_routes(&self, routes: RouteTable) -> Result<(), ConfigError> {
        let auth = self.shared.served().auth.clone();
        ensure_keys(&routes, auth.as_ref())?;
        self.shared.serve(routes, auth);
        Ok(())
    }

    /// Replaces the routes, the rate limits, and all that is known of who may call: keys, claims and API keys. Tokens that were verified
    /// before are verified anew; requests in work go on as they began.
    ///
    /// # Errors
    /// As [`Gateway::deploy`].
    pub fn deploy_with_auth(
        &self,
        routes: RouteTable,
        rate_limits: &RateLimits,
        auth: Option<AuthSettings>,
    ) -> Result<(), ConfigError> {
        let auth = authenticator(auth);
        ensure_keys(&routes, auth.as_ref())?;
        self.shared.set_rate_limits(rate_limits);
        self.shared.serve(routes, auth);
        Ok(())
    }

    /// Replaces the bounds and the rules of the adaptive limit. Requests in work go on with the old ones, and connections that are
    /// open keep their timeouts. Nobody is cut off if there are more than there may be now.
    pub fn set_limits(&self, limits: Limits, overload: &Overload) {
        self.shared.set_limits(limits, overload);
    }

    /// Replaces all routes and rate limits. A limit that is defined as before goes on counting where it is; requests in
    /// work go on with the old ones.
    ///
    /// # Errors
    /// As [`Gateway::set_routes`]; the old limits then stay as well.
    pub fn deploy(&self, routes: RouteTable, rate_limits: &RateLimits) -> Result<(), ConfigError> {
        let auth = self.shared.served().auth.clone();
        ensure_keys(&routes, auth.as_ref())?;
        self.shared.set_rate_limits(rate_limits);
        self.shared.serve(routes, auth);
        Ok(())
    }

    /// How all rate limits stand, with so many of the callers that have used most of each.
    #[must_use]
    pub fn rate_limits(&self, callers: usize) -> Vec<LimitReport> {
        let now_ns = u64::try_from(self.shared.clock.monotonic().as_nanos()).unwrap_or(u64::MAX);
        self.shared.rate_limits().report(callers, now_ns)
    }

    /// How the adaptive limit on requests that run stands.
    #[must_use]
    pub fn overload(&self) -> OverloadReport {
        self.shared.overload.report()
    }

    /// Never ends.
    async fn keep_keys_fresh(&self) {
        loop {
            // Before it is looked who is asked now, so that no change goes unseen.
            let changed = self.shared.auth_changed.notified();
            let auth = self.shared.served().auth.clone();
            let keep = async {
                match &auth {
                    Some(auth) => auth.keep_keys_fresh(&*self.shared.clock).await,
                    None => std::future::pending().await,
                }
            };
            select(std::pin::pin!(keep), std::pin::pin!(changed)).await;
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

    /// Listens for HTTPS on this socket from now on, or not at all. Connections that are open, and those that have reached the
    /// socket before, are served.
    pub fn listen_tls(&self, secure: Option<(TcpListener, Arc<Tls>)>) {
        self.shared.set_secure(secure);
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
        let keyed = self.shared.idempotency.as_ref().map(|idempotency| &idempotency.in_work);
        // Requests under a key go on without their clients, so that their answers are kept.
        let ended = async {
            connections.wait().await;
            if let Some(in_work) = keyed {
                in_work.close();
                in_work.wait().await;
            }
        };
        let patience = self.shared.clock.sleep(drain_timeout);
        let cut_off = match select(std::pin::pin!(ended), patience).await {
            Either::Left(_) => 0,
            Either::Right(_) => connections.len(),
        };
        // Whoever still serves sees this and stops.
        drop(drain);
        connections.wait().await;
        Drained { cut_off }
    }
}

fn authenticator(auth: Option<AuthSettings>) -> Option<Arc<Authenticator>> {
    auth.filter(|auth| !auth.is_without_keys()).map(|auth| Arc::new(Authenticator::new(auth)))
}

fn ensure_keys(routes: &RouteTable, auth: Option<&Arc<Authenticator>>) -> Result<(), ConfigError> {
    if let Some(route) = routes.any_protected().filter(|_| auth.is_none()) {
        let (pattern, component) = (route.pattern.to_string(), Arc::clone(&route.component));
        return Err(ConfigError::NoKeys { pattern, component });
    }
    Ok(())
}
