//! What all requests of a gateway share.

use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;
use weft_core::Clock;
use weft_core::manifest::RateLimits;

use crate::auth::Authenticator;
use crate::compressed;
use crate::health::HealthBoard;
use crate::limit::LimitSet;
use crate::policy::Policy;
use crate::push::Push;
use crate::route::RouteTable;
use crate::settings::{About, Limits};

#[derive(Debug)]
pub(crate) struct Shared {
    pub clock: Arc<dyn Clock>,
    pub limits: Limits,
    /// Read once per request and replaced whole.
    pub policy: ArcSwap<Policy>,
    pub clients_identity: bool,
    pub auth: Option<Authenticator>,
    pub health: HealthBoard,
    /// Push, if there is any.
    pub push: Option<Push>,
    pub application: About,
    /// Read once per request and replaced whole.
    routes: RwLock<Arc<RouteTable>>,
    /// What its routes are limited by.
    rate_limits: RwLock<Arc<LimitSet>>,
    /// Requests in work.
    pub in_flight: AtomicUsize,
    /// Set once the gateway takes no more connections.
    pub draining: AtomicBool,
    /// Places for answers that are being compressed.
    pub compressing: Arc<Semaphore>,
    /// Where HTTPS is listened for; known once it is.
    pub https_port: OnceLock<u16>,
}

impl Shared {
    pub fn new(
        clock: Arc<dyn Clock>,
        settings: crate::settings::Settings,
        auth: Option<Authenticator>,
        health: HealthBoard,
    ) -> Self {
        Self {
            clock,
            limits: settings.limits,
            policy: ArcSwap::from_pointee(settings.policy),
            clients_identity: settings.clients_identity,
            auth,
            health,
            push: settings.push.map(Push::new),
            application: settings.application,
            routes: RwLock::default(),
            rate_limits: RwLock::new(Arc::new(LimitSet::new(&settings.rate_limits, &LimitSet::default()))),
            in_flight: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            compressing: Arc::new(Semaphore::new(compressed::AT_ONCE)),
            https_port: OnceLock::new(),
        }
    }

    pub fn routes(&self) -> Arc<RouteTable> {
        Arc::clone(&self.routes.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn rate_limits(&self) -> Arc<LimitSet> {
        Arc::clone(&self.rate_limits.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the definitions; the routes that are served keep those that they have.
    pub fn set_rate_limits(&self, definitions: &RateLimits) {
        let mut current = self.rate_limits.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(LimitSet::new(definitions, &current));
    }

    pub fn set_routes(&self, routes: RouteTable) {
        routes.limit(&self.rate_limits());
        *self.routes.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(routes);
    }
}
