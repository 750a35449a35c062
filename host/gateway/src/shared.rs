//! What all requests of a gateway share.

use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;
use weft_core::Clock;

use crate::auth::Authenticator;
use crate::compressed;
use crate::health::HealthBoard;
use crate::policy::Policy;
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
    pub application: About,
    /// Read once per request and replaced whole.
    routes: RwLock<Arc<RouteTable>>,
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
        routes: RouteTable,
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
            application: settings.application,
            routes: RwLock::new(Arc::new(routes)),
            in_flight: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            compressing: Arc::new(Semaphore::new(compressed::AT_ONCE)),
            https_port: OnceLock::new(),
        }
    }

    pub fn routes(&self) -> Arc<RouteTable> {
        Arc::clone(&self.routes.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn set_routes(&self, routes: RouteTable) {
        *self.routes.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(routes);
    }
}
